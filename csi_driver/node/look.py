"""What is there: the devices of a volume on this node, and what is mounted where.

Things are known by device number and dm uuid, never by the name in the mount table: it lies after a rename
(mechanisms.md 1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from csi_driver.errors import NotFound, Precondition, Unavailable
from csi_driver.host.doors import Dm, DmDevice, Mount
from csi_driver.model.ids import DM_UUID_PREFIX, VolumeId
from csi_driver.node.context import NodeContext

_TAIL = re.compile(r"(\d+)(-iscsi)?")
DEAD = frozenset({"emergency_ro", "shutdown"})
"""How the mount table shows a file system that has stopped writing after an error (failures.md I4)."""


@dataclass(frozen=True, slots=True)
class Own:
    """A dm device of one volume. ``consumer``: over an iSCSI disk, made here; else the owner's wrapper."""

    device: DmDevice
    number: int
    consumer: bool

    @property
    def devno(self) -> tuple[int, int]:
        """Its kernel device number."""
        return self.device.devno


@dataclass(frozen=True, slots=True)
class Place:
    """A volume found at a path: mounted there, or, without ``mount``, as a device node."""

    own: Own
    mount: Mount | None


async def devices(dm: Dm, volume: VolumeId) -> tuple[Own, ...]:
    """Every dm device of the volume, fenced ones of earlier publications too."""
    found = []
    for device in await dm.devices():
        tail = device.uuid.removeprefix(f"{DM_UUID_PREFIX}{volume}-")
        match = _TAIL.fullmatch(tail)
        if match:
            found.append(Own(device, int(match[1]), consumer=match[2] is not None))
    return tuple(found)


async def with_uuid(dm: Dm, volume: VolumeId, uuid: str) -> Own | None:
    """The device of the volume that has this very uuid, whatever its name is by now."""
    return next((own for own in await devices(dm, volume) if own.device.uuid == uuid), None)


async def check_live(dm: Dm, volume: VolumeId, own: Own) -> None:
    """Raise Precondition when I/O to the device was ended, Unavailable when it is held just now."""
    if own.device.suspended or not own.device.has_table:
        raise Unavailable(f"volume {volume}: its device on this node is held at the moment; ask again")
    if not await is_linear(dm, own):
        raise Precondition(
            f"volume {volume}: I/O of publication {own.number} was ended on this node; it has to be unstaged, and "
            "published anew if it was fenced"
        )


async def is_linear(dm: Dm, own: Own) -> bool:
    """Whether its live table is one linear line: it leads to data."""
    lines = await dm.table(own.device.name)
    return len(lines) == 1 and lines[0].target == "linear"


def on_top(table: tuple[Mount, ...], path: str) -> Mount | None:
    """What is seen at ``path``: of several mounts on one target the last (``Mounts.table``)."""
    return next((mount for mount in reversed(table) if mount.target == path), None)


def has_stopped(mount: Mount) -> bool:
    """Whether the file system has stopped writing."""
    shown = mount.options | mount.super_options
    return bool(shown & DEAD) or "ro" in mount.super_options


async def place(context: NodeContext, volume: VolumeId, path: str) -> Place:
    """Where the volume is at ``path``: a staging or a target path, or the staging path of a block volume.

    NotFound when this volume is not there.
    """
    owns = await devices(context.doors.dm, volume)
    mount = on_top(await context.doors.mounts.table(), path)
    if mount is not None and (mounted := _by_devno(owns, mount.devno)):
        return Place(mounted, mount)
    if owns and path.startswith("/") and (own := await _as_device(context, volume, path, owns)):
        return Place(own, None)
    raise NotFound(f"volume {volume} is not at {path!r} on this node")


async def _as_device(context: NodeContext, volume: VolumeId, path: str, owns: tuple[Own, ...]) -> Own | None:
    stage = context.stages.get(volume)
    if stage is not None and stage.done and stage.fs is None and stage.staging_path == path:
        return next((own for own in owns if own.device.uuid == stage.uuid), None)
    return _by_devno(owns, await context.doors.mounts.device_at(path))


def _by_devno(owns: tuple[Own, ...], devno: tuple[int, int] | None) -> Own | None:
    return next((own for own in owns if own.devno == devno), None)


async def shown(context: NodeContext, table: tuple[Mount, ...], own: Own, staging_path: str) -> tuple[Mount, ...]:
    """The mounts that publish the device: binds of the staged file system, or of the device's node."""
    found = []
    for mount in table:
        if mount.devno == own.devno:
            if mount.target != staging_path:
                found.append(mount)
        elif is_bind_of_node(mount) and await context.doors.mounts.device_at(mount.target) == own.devno:
            found.append(mount)
    return tuple(found)


async def refers(context: NodeContext, device: DmDevice) -> bool:
    """Whether something on this node may still lead to the device, which nobody need have open for that.

    A stage: its pods' containers may have nodes of their own with the device's number, which no mount table shows,
    until the volume is unstaged. A bind of its node, or a mount, also when their record is lost. (A loop device, and
    whoever reads or writes, has it open.)
    """
    if any(stage.uuid == device.uuid for stage in context.stages.all()):
        return True
    table = await context.doors.mounts.table()
    return any(mount.devno == device.devno or _is_bound_by_number(mount, device) for mount in table)


def _is_bound_by_number(mount: Mount, device: DmDevice) -> bool:
    """By the kernel's name for the node, which tells its number; of one that is removed it reads ``/dm-3//deleted``."""
    return is_bind_of_node(mount) and mount.root.partition("//")[0] == f"/dm-{device.devno[1]}"


def is_bind_of_node(mount: Mount) -> bool:
    """Whether the mount is of one file of the file system that holds /dev: that is how a bound device node shows."""
    return mount.root != "/" and mount.fs == "devtmpfs"


def tidy(path: str) -> str:
    """``path`` as the mount table spells it; a relative one stays relative, and nothing is ever found there."""
    slash = "/" if path.startswith("/") else ""
    return slash + "/".join(part for part in path.split("/") if part not in ("", "."))
