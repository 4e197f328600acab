"""Backstores: the device behind a LUN.

fileio over the wrapper, for ``writeCache: through``: opened O_DSYNC it flushes before each acknowledgement, so a crash
of this host loses no acknowledged write (mechanisms.md 5). It does each command in the thread that receives them: of
one session there is never more than one in flight at the device, and the fence has no more than that to wait for.

iblock, for ``back``: writes are acknowledged as the device below does, with flushes and FUA passed on. It holds the
wrapper exclusively, where fileio only has it open.

Growing the device below is seen by both without being told.
"""

from __future__ import annotations

import re

from csi_driver.errors import Busy, DriverError, NotFound
from csi_driver.host.doors.configfs import Configfs
from csi_driver.host.lio import paths
from csi_driver.host.lio.attributes import read_or_empty, settle, settle_if_known
from csi_driver.host.lio.spec import TargetSpec
from csi_driver.model.ids import VolumeId

_DEVICE = re.compile(r"\b(?:File|UDEV PATH): (\S+)")
_CONTROL = {paths.Kind.FILEIO: "fd_dev_name", paths.Kind.IBLOCK: "udev_path"}


async def ensure_backstore(configfs: Configfs, spec: TargetSpec) -> None:
    """The backstore of the volume stands over ``spec.device``; one that stands is taken as it is."""
    kind = paths.kind_of(spec.write_cache)
    path = paths.backstore(spec.volume, kind)
    if not await _is_enabled(configfs, path):
        # What a crash left half made may have been given registrations, and would have them twice.
        await configfs.remove(path)
        await configfs.make(paths.adapter(spec.volume, kind))
        await configfs.make(path)
        await _set_up(configfs, spec, path)
    attributes = f"{path}/attrib"
    if spec.unmap and await read_or_empty(configfs, f"{attributes}/max_unmap_block_desc_count") not in ("", "0"):
        # Both are needed, before login, for an initiator to offer discard (mechanisms.md 5).
        await settle(configfs, f"{attributes}/emulate_tpu", "1")
        await settle(configfs, f"{attributes}/emulate_tpws", "1")


async def _set_up(configfs: Configfs, spec: TargetSpec, path: str) -> None:
    try:
        # Without a size fileio takes a block device and nothing else. Given one, it would make a regular file at a
        # path where no device is any more, and export that.
        await configfs.write(f"{path}/control", f"{_CONTROL[paths.kind_of(spec.write_cache)]}={spec.device}")
        await configfs.write(f"{path}/wwn/vpd_unit_serial", spec.volume.serial)
        await settle_if_known(configfs, f"{path}/attrib/emulate_pr", "1" if spec.reservations else "0")
        for registration in spec.remembered:
            # Each counts when its initiator is let in; the kernel takes them only before the export.
            await configfs.write(f"{path}/pr/res_aptpl_metadata", registration)
        await configfs.write(f"{path}/enable", "1")
    except DriverError:
        # The kernel refused. What is half made holds no device, and the next try must not find it (kernel.md 9).
        await remove_backstore(configfs, spec.volume)
        raise


async def remove_backstore(configfs: Configfs, volume: VolumeId) -> None:
    """The backstore and its adapter are gone, whatever their kind. Busy while a LUN leads to it."""
    for kind in paths.Kind:
        if paths.adapter(volume, kind).removeprefix("core/") in await configfs.listing("core"):
            await _remove(configfs, volume, kind)


async def _remove(configfs: Configfs, volume: VolumeId, kind: paths.Kind) -> None:
    await configfs.remove(paths.backstore(volume, kind))
    neighbours = await configfs.listing(paths.adapter(volume, kind))
    if any(VolumeId.parse(name) for name in neighbours):
        return
    try:
        await configfs.remove(paths.adapter(volume, kind))
    except Busy:
        return  # another volume has just come to the same number; it will take the adapter away


async def _is_enabled(configfs: Configfs, path: str) -> bool:
    """Whether the backstore is there and holds its device."""
    return await read_or_empty(configfs, f"{path}/enable") == "1"


async def device_of(configfs: Configfs, volume: VolumeId) -> str:
    """The path that the backstore was opened by; empty when there is no such backstore."""
    for kind in paths.Kind:
        path = paths.backstore(volume, kind)
        if await _is_enabled(configfs, path):
            try:
                return parse_device(await configfs.read(f"{path}/info"))
            except NotFound:
                return ""
    return ""


def parse_device(info: str) -> str:
    """The device in a backstore's ``info``; empty when it has none."""
    match = _DEVICE.search(info)
    return match[1] if match else ""
