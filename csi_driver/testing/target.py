"""The kernel's iSCSI target as simulated: backstores, portals, ACLs and the sessions of initiators to it.

What the tree of ``SimConfigfs`` stands for; rules from the kernel's ``target_core_configfs.c``,
``target_core_fabric_configfs.c`` and ``iscsi_target_configfs.c``, and kernel.md 6 and 9.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from csi_driver.errors import Denied, Unavailable
from csi_driver.model.secret import TARGET_USER
from csi_driver.testing.nodes import Kernel, Node, trouble
from csi_driver.testing.store import Io, reading
from csi_driver.testing.tree import Folder

DUMMY_SIZE = 64 * 512
"""What an initiator reads of a LUN 0 that is no longer mapped (kernel.md 6)."""


@dataclass(eq=False)
class Backstore:
    """An enabled backstore: it has the device open. iblock takes it exclusively, fileio does not."""

    path: str
    node: Node
    read_only: bool

    @property
    def claim(self) -> str:
        """In whose name the device is held; empty when it is not held exclusively."""
        return self.path if "/iblock_" in self.path else ""


@dataclass(eq=False)
class Nexus:
    """The target's end of one session."""

    iqn: str
    initiator: str
    is_open: bool = True
    in_flight: int = 0


class Target:
    """The target of one boot."""

    def __init__(self, kernel: Kernel, address: str) -> None:
        self.kernel, self.address = kernel, address
        self.root = Folder("root")
        self.backstores: dict[str, Backstore] = {}
        self.nexuses: list[Nexus] = []

    def enable_backstore(self, path: str, control: str) -> None:
        """Open the device that ``control`` names. EINVAL without one, ENOENT, EBUSY."""
        fields = dict(re.findall(r"(\w+)=([^,\n]+)", control))
        device = fields.get("udev_path") if "/iblock_" in path else fields.get("fd_dev_name")
        if not device:
            raise trouble(errno.EINVAL, f"{path} has no device")
        node = self.kernel.at(device)
        if node is None:
            raise trouble(errno.ENOENT, device)
        backstore = Backstore(path, node, read_only=node.read_only)
        node.open(backstore.claim)
        self.backstores[path] = backstore

    def free_backstore(self, path: str) -> None:
        """Close the device again."""
        backstore = self.backstores.pop(path, None)
        if backstore is not None:
            backstore.node.close(backstore.claim)

    def listens(self, portal: str) -> bool:
        """Whether any enabled target portal group has this network portal."""
        return any(portal in tpg.at("np").folders for _, tpg in self._enabled())

    def login(self, iqn: str, portal: str, initiator: str, chap: tuple[str, str], answer: str = "") -> Nexus:
        """A new session. Unavailable when nothing of the kind is offered here, Denied when this one may not.

        With ``answer`` the target has to prove itself: the initiator leaves when it does not (also Denied).
        """
        if not self.listens(portal):
            raise Unavailable(f"{portal}: connection refused")
        tpg = next((tpg for name, tpg in self._enabled() if name == iqn and portal in tpg.at("np").folders), None)
        if tpg is None:
            raise Unavailable(f"{portal} offers no target {iqn}")
        acl = tpg.at("acls").folders.get(initiator)
        if acl is None or acl.going:
            raise Denied(f"{iqn}: {initiator} is not authorized")
        auth = acl.at("auth").attributes
        if tpg.at("attrib").attributes["authentication"] == "1" and (auth["userid"], auth["password"]) != chap:
            raise Denied(f"{iqn}: CHAP of {initiator} failed")
        if answer and (auth["userid_mutual"], auth["password_mutual"]) != (TARGET_USER, answer):
            raise Denied(f"{iqn}: the target does not prove itself")
        nexus = Nexus(iqn, initiator)
        self.nexuses.append(nexus)
        return nexus

    def close(self, iqn: str, initiator: str = "") -> list[Nexus]:
        """Close the sessions to a target, of one initiator or all; what was in flight may still be."""
        ended = [n for n in self.nexuses if n.iqn == iqn and initiator in ("", n.initiator)]
        for nexus in ended:
            nexus.is_open = False
            self.nexuses.remove(nexus)
        self.kernel.pulse.fire()
        return ended

    def close_all(self) -> None:
        """The machine goes down."""
        for nexus in list(self.nexuses):
            self.close(nexus.iqn)

    def mapped(self, nexus: Nexus, lun: int = 0) -> tuple[Backstore, bool] | None:
        """What the initiator sees as that LUN, and whether it may not write to it; None when nothing is mapped."""
        acl = self.root.find(f"iscsi/{nexus.iqn}/tpgt_1/acls/{nexus.initiator}/lun_{lun}")
        source = next(iter(acl.links.values()), None) if acl else None
        inner = self.root.find(source) if source else None
        path = next(iter(inner.links.values()), None) if inner else None
        if acl is None or path is None:
            return None
        backstore = self.backstores[path]
        return backstore, backstore.read_only or acl.attributes["write_protect"] == "1"

    def serial(self, backstore: Backstore) -> str:
        """The unit serial in force."""
        return self.root.at(f"{backstore.path}/wwn").attributes["vpd_unit_serial"]

    async def io(self, nexus: Nexus, io: Io) -> bytes:
        """A request that arrived. Once here it is done, or the closing of the session waits for it."""
        seen = self.mapped(nexus)
        if seen is None:
            if io.op != "read" or io.offset + io.length > DUMMY_SIZE:
                raise trouble(errno.EREMOTEIO, nexus.iqn)
            return bytes(io.length)
        backstore, protected = seen
        if protected and io.op != "read":
            raise trouble(errno.EREMOTEIO, f"{nexus.iqn} is write-protected")
        nexus.in_flight += 1
        try:
            return await backstore.node.io(io)
        finally:
            nexus.in_flight -= 1
            self.kernel.pulse.fire()

    async def probe(self, nexus: Nexus) -> None:
        """Read one sector: an answer says that the disk is alive."""
        await self.io(nexus, reading(0, 512))

    def _enabled(self) -> list[tuple[str, Folder]]:
        fabric = self.root.find("iscsi")
        groups = [
            (iqn, tpg) for iqn, folder in (fabric.folders if fabric else {}).items() for tpg in folder.folders.values()
        ]
        return [(iqn, tpg) for iqn, tpg in groups if tpg.attributes.get("enable") == "1"]


def naa_of(serial: str) -> str:
    """The NAA name LIO builds: its company id, then 25 hex digits of the serial, others passed over."""
    digits = re.sub(r"[^0-9a-fA-F]", "", serial).lower()
    return f"6001405{digits[:25]:0<25}"
