"""Make an export stand. Looks before each step: after a crash at any of them, doing it again finishes it.

The order is the kernel's (kernel.md 9): backstore, target, LUN, portals, ACL, and the group enabled last, so that
a consumer whose session comes back never meets a target without its disk.
"""

from __future__ import annotations

from csi_driver.errors import Precondition
from csi_driver.host.doors.configfs import Configfs
from csi_driver.host.lio import backstores, paths
from csi_driver.host.lio.attributes import settle, settle_if_known
from csi_driver.host.lio.removal import remove_target
from csi_driver.host.lio.spec import Admission, TargetSpec
from csi_driver.model.secret import TARGET_USER

_GROUP_ATTRIBUTES = {
    "authentication": "1",
    # No session without an ACL (no "demo mode"), and none shown to whoever asks.
    "generate_node_acls": "0",
    "cache_dynamic_acls": "0",
    "demo_mode_write_protect": "1",
    "demo_mode_discovery": "0",
}


async def ensure_target(configfs: Configfs, spec: TargetSpec) -> None:
    """The volume is exported as ``spec`` says, to all its initiators; ACLs of others stay.

    Precondition when other initiators still use the volume over another device. InternalError with the kernel's
    errno when it refuses a step, because of the device for one; nothing is enabled then. An address that this host
    does not have (yet) is not refused: the kernel binds to it all the same.
    """
    await _clear_stale(configfs, spec)
    await backstores.ensure_backstore(configfs, spec)
    await _ensure_group(configfs, spec)
    await _ensure_lun(configfs, spec)
    await _ensure_portals(configfs, spec)
    for admission in spec.admissions:
        await _ensure_acl(configfs, spec, admission)
    await settle(configfs, f"{paths.group(spec.volume)}/enable", "1")


async def _clear_stale(configfs: Configfs, spec: TargetSpec) -> None:
    """An export over another device is one whose wrapper was replaced: taken down, if nobody else is on it."""
    device = await backstores.device_of(configfs, spec.volume)
    if device in ("", spec.device):
        return
    known = {each.initiator.lower() for each in spec.admissions}
    others = [name for name in await configfs.listing(paths.acls(spec.volume)) if name not in known]
    if others:
        raise Precondition(
            f"volume {spec.volume} is exported from {device} to {', '.join(others)}; "
            f"it cannot be exported from {spec.device} too"
        )
    await remove_target(configfs, spec.volume)


async def _ensure_group(configfs: Configfs, spec: TargetSpec) -> None:
    group = paths.group(spec.volume)
    await configfs.make(paths.FABRIC)
    await configfs.make(paths.target(spec.volume))
    await configfs.make(group)
    for name, value in _GROUP_ATTRIBUTES.items():
        await settle_if_known(configfs, f"{group}/attrib/{name}", value)


async def _ensure_lun(configfs: Configfs, spec: TargetSpec) -> None:
    lun = paths.lun(spec.volume)
    await configfs.make(lun)
    await configfs.link(f"{lun}/{paths.LINK}", paths.backstore(spec.volume, paths.kind_of(spec.write_cache)))


async def _ensure_portals(configfs: Configfs, spec: TargetSpec) -> None:
    """Exactly the portals of ``spec``: new ones first, so that the target is always reachable by one."""
    folder = paths.portals(spec.volume)
    standing = await configfs.listing(folder)
    for portal in spec.portals:
        if portal not in standing:
            await configfs.make(f"{folder}/{portal}")
    for portal in standing:
        if portal not in spec.portals:
            await configfs.remove(f"{folder}/{portal}")


async def _ensure_acl(configfs: Configfs, spec: TargetSpec, admission: Admission) -> None:
    """The initiator's entry. Its CHAP comes last: without it nobody can log in, and write protection stands then."""
    acl = paths.acl(spec.volume, admission.initiator)
    await configfs.make(acl)
    await configfs.make(f"{acl}/lun_0")
    await configfs.link(f"{acl}/lun_0/{paths.MAPPED_LINK}", paths.lun(spec.volume))
    await settle(configfs, f"{acl}/lun_0/write_protect", "1" if admission.write_protected else "0")
    await configfs.write(f"{acl}/auth/userid", admission.chap_user)
    if spec.mutual:
        await configfs.write(f"{acl}/auth/userid_mutual", TARGET_USER)
        await configfs.write(f"{acl}/auth/password_mutual", admission.secret.answer().reveal())
    await configfs.write(f"{acl}/auth/password", admission.secret.reveal())
