"""The fence, and taking an export down. Everything here may find half of it gone."""

from __future__ import annotations

from csi_driver.host.doors.configfs import Configfs
from csi_driver.host.lio import backstores, paths
from csi_driver.host.lio.attributes import read_or_empty
from csi_driver.model.ids import VolumeId


async def remove_acl(configfs: Configfs, volume: VolumeId, initiator: str) -> None:
    """The fence: the initiator has no session to the volume and can get none; fine when it has no entry.

    Returns only when the kernel has closed every session of the initiator and each of its writes has ended
    (mechanisms.md 2): that is the proof. Hangs as long as the disk does.
    """
    acl = paths.acl(volume, initiator)
    for name in await configfs.listing(acl):
        if name.startswith("lun_"):
            await _remove_linked(configfs, f"{acl}/{name}")
    await configfs.remove(acl)


async def remove_target(configfs: Configfs, volume: VolumeId) -> None:
    """No target and no backstore of the volume is left. Each initiator still in it is fenced on the way."""
    group = paths.group(volume)
    if await read_or_empty(configfs, f"{group}/enable") == "1":
        await configfs.write(f"{group}/enable", "0")
    for initiator in await configfs.listing(paths.acls(volume)):
        await remove_acl(configfs, volume, initiator)
    for name in await configfs.listing(f"{group}/lun"):
        await _remove_linked(configfs, f"{group}/lun/{name}")
    for portal in await configfs.listing(paths.portals(volume)):
        await configfs.remove(f"{paths.portals(volume)}/{portal}")
    await configfs.remove(group)
    await configfs.remove(paths.target(volume))
    await backstores.remove_backstore(configfs, volume)


async def _remove_linked(configfs: Configfs, path: str) -> None:
    """Remove a LUN, or a mapped LUN, and the link in it, whatever its name."""
    for name in await configfs.listing(path):
        if name in _LINKS:
            await configfs.unlink(f"{path}/{name}")
    await configfs.remove(path)


_LINKS = {paths.LINK, paths.MAPPED_LINK}
