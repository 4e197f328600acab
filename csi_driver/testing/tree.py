"""The shape of the target's configfs tree: what may be made where, and what appears with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

STORE_ATTRIB = {
    "block_size": "512",
    "emulate_3pc": "1",
    "emulate_caw": "1",
    "emulate_fua_write": "1",
    "emulate_pr": "1",
    "emulate_tpu": "0",
    "emulate_tpws": "0",
    "emulate_write_cache": "0",
    "is_nonrot": "1",
    "max_unmap_block_desc_count": "1",
    "queue_depth": "128",
    "unmap_zeroes_data": "0",
}
TPG_ATTRIB = {
    "authentication": "1",
    "cache_dynamic_acls": "0",
    "default_cmdsn_depth": "64",
    "demo_mode_discovery": "1",
    "demo_mode_write_protect": "1",
    "generate_node_acls": "0",
    "login_timeout": "15",
    "prod_mode_write_protect": "0",
}
AUTH = {"userid": "NULL", "password": "NULL", "userid_mutual": "NULL", "password_mutual": "NULL"}
PARAM = {"ImmediateData": "Yes", "InitialR2T": "Yes", "MaxConnections": "1", "MaxRecvDataSegmentLength": "8192"}
ACL_ATTRIB = {"dataout_timeout": "3", "nopin_timeout": "15", "nopin_response_timeout": "30"}

ATTRIBUTES: dict[str, dict[str, str]] = {
    "hba": {"hba_info": "", "hba_mode": "0"},
    "store": {"control": "", "enable": "0", "info": "", "udev_path": "", "alias": ""},
    "store_attrib": STORE_ATTRIB,
    "wwn": {"vpd_unit_serial": "", "vendor_id": "LIO-ORG", "product_id": "", "revision": "4.0"},
    "pr": {"res_aptpl_active": "APTPL Bit Status: Disabled", "res_aptpl_metadata": ""},
    "tpg": {"enable": "0", "dynamic_sessions": ""},
    "tpg_attrib": TPG_ATTRIB,
    "auth": AUTH,
    "param": PARAM,
    "np": {"tcp": "1"},
    "lun": {"alua_tg_pt_gp": ""},
    "acl": {"info": "", "cmdsn_depth": "64", "tag": ""},
    "acl_attrib": ACL_ATTRIB,
    "mapped": {"write_protect": "0"},
}
"""Attribute files of each kind of directory and what they read at first."""

DEFAULTS: dict[str, dict[str, str]] = {
    "root": {"core": "core"},
    "core": {"alua": "plain"},
    "store": {"alua": "plain", "attrib": "store_attrib", "pr": "pr", "statistics": "plain", "wwn": "wwn"},
    "fabric": {"discovery_auth": "auth"},
    "iqn": {"fabric_statistics": "plain"},
    "tpg": {
        "acls": "acls", "attrib": "tpg_attrib", "auth": "auth", "lun": "luns", "np": "nps", "param": "param",
    },
    "lun": {"statistics": "plain"},
    "acl": {"attrib": "acl_attrib", "auth": "auth", "fabric_statistics": "plain", "param": "param"},
    "mapped": {"statistics": "plain"},
}  # fmt: skip
"""Directories that come with a directory and cannot be removed by themselves."""

MAKE: dict[str, tuple[str, str]] = {
    "root": (r"iscsi", "fabric"),
    "core": (r"(iblock|fileio)_\d+", "hba"),
    "hba": (r"[^/]{1,200}", "store"),
    "fabric": (r"(iqn|eui|naa)\.[^/]{1,219}", "iqn"),
    "iqn": (r"tpgt_\d+", "tpg"),
    "luns": (r"lun_\d+", "lun"),
    "nps": (r"(\d+(\.\d+){3}|\[[0-9a-fA-F:]+\]):\d+", "np"),
    "acls": (r"[^/]{1,223}", "acl"),
    "acl": (r"lun_\d+", "mapped"),
}
"""In which kind of directory which names may be made, and what they become."""


@dataclass(eq=False)
class Folder:
    """One directory. ``links`` go by name to the path they point at."""

    kind: str
    fixed: bool = False
    going: bool = False
    """Its rmdir has begun: nobody logs in by it any more."""
    attributes: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.attributes = dict(ATTRIBUTES.get(self.kind, {}))
        self.folders = {name: Folder(kind, fixed=True) for name, kind in DEFAULTS.get(self.kind, {}).items()}

    def find(self, path: str) -> Folder | None:
        """The directory at ``path`` below this one, or None."""
        here: Folder | None = self
        for name in filter(None, path.split("/")):
            here = here.folders.get(name) if here else None
        return here

    def at(self, path: str) -> Folder:
        """The directory at ``path``, which is there. KeyError."""
        found = self.find(path)
        if found is None:
            raise KeyError(path)
        return found

    def new(self, name: str) -> Folder | None:
        """A directory that mkdir ``name`` makes here, or None when that name cannot be."""
        pattern, kind = MAKE.get(self.kind, ("(?!)", ""))
        if not re.fullmatch(pattern, name):
            return None
        self.folders[name] = Folder(kind)
        return self.folders[name]

    def in_use(self) -> bool:
        """Whether something was made in it or in what came with it: rmdir says ENOTEMPTY."""
        return bool(self.links) or any(not each.fixed or each.in_use() for each in self.folders.values())

    def all_links(self) -> list[str]:
        """Where every link in this tree points at."""
        below = [target for folder in self.folders.values() for target in folder.all_links()]
        return list(self.links.values()) + below
