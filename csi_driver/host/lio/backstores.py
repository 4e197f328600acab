"""Backstores: the device behind a LUN.

fileio over the wrapper, not iblock: opened O_DSYNC it flushes before each acknowledgement, so a crash of this
host loses no acknowledged write (mechanisms.md 5). Growing the device below is seen without being told.

fileio does each command in the thread that receives them: of one session there is never more than one in flight at
the device, and the fence has no more than that to wait for.
"""

from __future__ import annotations

import re

from csi_driver.errors import Busy, DriverError, NotFound
from csi_driver.host.doors.configfs import Configfs
from csi_driver.host.lio import paths
from csi_driver.host.lio.attributes import read_or_empty, settle, settle_if_known
from csi_driver.host.lio.spec import TargetSpec
from csi_driver.model.ids import VolumeId

_FILE = re.compile(r"\bFile: (\S+)")


async def ensure_backstore(configfs: Configfs, spec: TargetSpec) -> None:
    """The backstore of the volume stands over ``spec.device``; one that stands is taken as it is."""
    path = paths.backstore(spec.volume)
    if not await is_enabled(configfs, spec.volume):
        # What a crash left half made may have been given registrations, and would have them twice.
        await configfs.remove(path)
        await configfs.make(paths.adapter(spec.volume))
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
        await configfs.write(f"{path}/control", f"fd_dev_name={spec.device}")
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
    """The backstore and its adapter are gone. Busy while a LUN leads to it."""
    await configfs.remove(paths.backstore(volume))
    neighbours = await configfs.listing(paths.adapter(volume))
    if any(VolumeId.parse(name) for name in neighbours):
        return
    try:
        await configfs.remove(paths.adapter(volume))
    except Busy:
        return  # another volume has just come to the same number; it will take the adapter away


async def is_enabled(configfs: Configfs, volume: VolumeId) -> bool:
    """Whether the backstore is there and holds its device."""
    return await read_or_empty(configfs, f"{paths.backstore(volume)}/enable") == "1"


async def device_of(configfs: Configfs, volume: VolumeId) -> str:
    """The path that the backstore was opened by; empty when there is no such backstore."""
    if not await is_enabled(configfs, volume):
        return ""
    try:
        return parse_device(await configfs.read(f"{paths.backstore(volume)}/info"))
    except NotFound:
        return ""


def parse_device(info: str) -> str:
    """The device in a fileio backstore's ``info``; empty when it has none."""
    match = _FILE.search(info)
    return match[1] if match else ""
