"""The real doors of this host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from csi_driver.errors import InvalidRequest
from csi_driver.host.configfs import KernelConfigfs
from csi_driver.host.devices.kernel import KernelDevices
from csi_driver.host.dm.kernel import KernelDm
from csi_driver.host.doors import ConsumerDoors, StorageDoors
from csi_driver.host.filesystems import KernelFilesystems
from csi_driver.host.formatter import Mkfs
from csi_driver.host.identity import ThisHost
from csi_driver.host.iscsi import place
from csi_driver.host.iscsi.initiator import OpenIscsi
from csi_driver.host.lvm.shell import LvmShell
from csi_driver.host.mounts.kernel import KernelMounts
from csi_driver.host.reservations import TargetFiles
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import HostRunner
from csi_driver.kit.state import RecordFiles, Records
from csi_driver.settings import Settings

JOURNAL, ATTACHMENTS, STAGES, OFFER, PLANS = "journal", "attachments", "stages", "offer", "plans"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDoors:
    """Everything that a process may do to its host, the small files among it."""

    storage: StorageDoors
    consumer: ConsumerDoors
    journal: Records
    attachments: Records
    stages: Records
    offer: Records
    plans: Records
    """Of pools that are being made."""


def host_doors(settings: Settings, effects: Effects) -> HostDoors:
    """The real ones. Both sides share one door where they touch the same thing. Raises InvalidRequest for settings
    that no door can be made of.
    """
    dm, devices, host = KernelDm(effects), KernelDevices(effects), ThisHost()
    here = HostRunner()
    state = settings.state_folder
    return HostDoors(
        storage=StorageDoors(
            lvm=LvmShell(settings.run_folder / "lvm", settings.agent, effects),
            dm=dm,
            devices=devices,
            configfs=KernelConfigfs(effects),
            reservations=TargetFiles(effects, root=_host_root(settings)),
            formatter=Mkfs(here, effects),
            host=host,
        ),
        consumer=ConsumerDoors(
            dm=dm,
            devices=devices,
            initiator=_initiator(settings, effects),
            filesystems=KernelFilesystems(here, effects),
            mounts=KernelMounts(effects),
            host=host,
        ),
        journal=_records(state / JOURNAL, effects),
        attachments=_records(state / ATTACHMENTS, effects),
        stages=_records(state / STAGES, effects),
        offer=_records(state / OFFER, effects),
        plans=_records(state / PLANS, effects),
    )


def _initiator(settings: Settings, effects: Effects) -> OpenIscsi:
    root = _host_root(settings)
    return OpenIscsi(HostRunner(prefix=place.iscsiadm_prefix(settings.consumer.iscsiadm)), effects, root=root)


def _host_root(settings: Settings) -> Path:
    """The host's root folder, from wherever we run."""
    way = settings.consumer.iscsiadm
    try:
        return place.host_root(way)
    except OSError as error:
        raise InvalidRequest(
            f"consumer.iscsiadm is {way!r}, and the namespaces of PID 1 cannot be seen ({error.strerror}): "
            "run as root, or set direct or host"
        ) from error


def _records(folder: Path, effects: Effects) -> Records:
    return RecordFiles(folder, effects)
