"""What a volume is stands in its LV tags (DESIGN 3): this module writes and reads them. Pure.

``clinker.<field>=<value>``; characters that LVM does not allow in tags are written ``#hh`` for each byte
(allowed are letters, digits and ``_+.-/=!:#&``: lvm(8), measured in mechanisms.md 7). Never a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from csi_driver.host.doors import LogicalVolume
from csi_driver.model.access import FsType
from csi_driver.model.ids import SnapshotId, VolumeId, parse_source
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Content, Layout, Volume, VolumeSpec, Wipe, WriteCache

PREFIX = "clinker."
SCHEMA = "1"
_PLAIN = re.compile(rb"[A-Za-z0-9_+.\-/=!:&]")
_ESCAPED = re.compile(r"#([0-9a-f]{2})")


def encode(text: str) -> str:
    """``text`` in characters that a tag may hold."""
    return "".join(chr(byte) if _PLAIN.match(bytes([byte])) else f"#{byte:02x}" for byte in text.encode())


def decode(text: str) -> str:
    """Inverse of ``encode``."""
    raw = re.sub(_ESCAPED, lambda match: chr(int(match[1], 16)), text)
    return raw.encode("latin-1").decode(errors="replace")


def tag(field: str, value: str) -> str:
    """One tag."""
    return f"{PREFIX}{field}={encode(value)}"


def content(state: Content) -> str:
    """The tag that says how far the making has come."""
    return tag("content", state.value)


def formatted(fs: FsType) -> str:
    """The tag that says that the file system was made and must never be made again."""
    return tag("formatted", fs.value)


def clean(size: int) -> str:
    """The tag that says how many bytes of a thick volume, from its start, hold nothing of an earlier tenant."""
    return tag("clean", str(size))


def of(spec: VolumeSpec, *, cluster: str, created: int) -> frozenset[str]:
    """The tags that ``lvcreate`` writes with a new claim. ``created`` is Unix seconds."""
    values = {
        "v": SCHEMA,
        "cluster": cluster,
        "id": str(spec.id),
        "name": spec.name,
        "pool": spec.pool,
        "layout": spec.layout.value,
        "content": Content.CLAIMED.value,
        "fs": spec.fs.value if spec.fs else "",
        "mkfs": " ".join(spec.mkfs_options),
        "cache": spec.write_cache.value,
        # The default is left out: it is what volumes of older versions have.
        "wipe": spec.wipe.value if spec.wipe is not Wipe.CREATE else "",
        "params": spec.params_hash,
        "pvc": f"{spec.pvc_namespace}/{spec.pvc_name}" if spec.pvc_name else "",
        "created": str(created),
        "source": str(spec.source) if spec.source else "",
        # It comes with the content.
        "formatted": spec.fs.value if spec.source and spec.fs else "",
    }
    return frozenset(tag(field, value) for field, value in values.items() if value)


def of_snapshot(spec: SnapshotSpec, source: Volume, *, cluster: str, created: int) -> frozenset[str]:
    """The tags that ``lvcreate -s`` writes. ``created`` is Unix seconds."""
    values = {
        "v": SCHEMA,
        "cluster": cluster,
        "id": str(spec.id),
        "name": spec.name,
        "pool": source.pool,
        "source": str(spec.source),
        "fs": source.fs.value if source.fs else "",
        "object": f"{spec.object_namespace}/{spec.object_name}" if spec.object_name else "",
        "created": str(created),
    }
    return frozenset(tag(field, value) for field, value in values.items() if value)


def fields(tags: Iterable[str]) -> dict[str, str]:
    """Field to value, of our tags only."""
    found = {}
    for each in tags:
        if each.startswith(PREFIX) and "=" in each:
            field, _, value = each.removeprefix(PREFIX).partition("=")
            found[field] = decode(value)
    return found


def clean_bytes(lv: LogicalVolume) -> int:
    """How many bytes of a thick LV are known to hold nothing old."""
    return int(fields(lv.tags).get("clean", "0"))


def volume(lv: LogicalVolume, *, node: str, cluster: str) -> Volume | None:
    """The volume that ``lv`` is, or None when it is not proven to be one of this cluster."""
    told = fields(lv.tags)
    identity = VolumeId.parse(lv.name)
    if identity is None or not _ours(lv, told, cluster):
        return None
    size = lv.size
    if told.get("layout") != Layout.THIN and told.get("content") == Content.READY:
        # What a crash has kept from being cleared is not part of the volume yet.
        size = min(size, clean_bytes(lv))
    namespace, _, claim = told.get("pvc", "").partition("/")
    try:
        return Volume(
            id=identity,
            name=told["name"],
            size=size,
            pool=told["pool"],
            layout=Layout(told["layout"]),
            fs=FsType(told["fs"]) if "fs" in told else None,
            mkfs_options=tuple(told.get("mkfs", "").split()),
            write_cache=WriteCache(told["cache"]),
            wipe=Wipe(told.get("wipe", Wipe.CREATE.value)),
            params_hash=told.get("params", ""),
            pvc_namespace=namespace,
            pvc_name=claim,
            node=node,
            vg=lv.vg,
            content=Content(told["content"]),
            formatted="formatted" in told,
            created=int(told["created"]),
            condition=condition(lv),
            source=parse_source(told.get("source", "")),
        )
    except (KeyError, ValueError):
        return None


def condition(lv: LogicalVolume) -> str:
    """What is wrong with a volume that can be used nevertheless; empty when nothing is."""
    if lv.health == "partial":
        return f"a disk of this {lv.layout} volume is missing"
    if lv.health:
        return f"{lv.layout}: {lv.health}"
    if lv.sync_percent is not None and lv.sync_percent < 100:
        return f"{lv.layout}: {lv.sync_percent:.0f} % of it is on all its disks"
    return ""


def snapshot(lv: LogicalVolume, *, node: str, cluster: str) -> Snapshot | None:
    """The snapshot that ``lv`` is, or None when it is not proven to be one of this cluster."""
    told = fields(lv.tags)
    identity, source = SnapshotId.parse(lv.name), VolumeId.parse(told.get("source", ""))
    if identity is None or source is None or not _ours(lv, told, cluster):
        return None
    namespace, _, name = told.get("object", "").partition("/")
    try:
        return Snapshot(
            id=identity,
            name=told["name"],
            source=source,
            object_namespace=namespace,
            object_name=name,
            node=node,
            vg=lv.vg,
            pool=told["pool"],
            size=lv.size,
            fs=FsType(told["fs"]) if "fs" in told else None,
            created=int(told["created"]),
        )
    except (KeyError, ValueError):
        return None


def _ours(lv: LogicalVolume, told: Mapping[str, str], cluster: str) -> bool:
    return told.get("v") == SCHEMA and told.get("cluster") == cluster and told.get("id") == lv.name
