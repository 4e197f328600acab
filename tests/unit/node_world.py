"""Two simulated hosts for the tests of the node plugin: one that has the disks, one that pods run on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from csi_driver.host import wrapper
from csi_driver.host.lio import targets
from csi_driver.kit.effects import Effects
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.publication import Attachment, PublishContext, Transport
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import GIB, MIB, SECTOR
from csi_driver.node.attachments import Attachments
from csi_driver.node.context import NodeContext, Patience
from csi_driver.node.requests import BindRequest, StageRequest, UnbindRequest, UnstageRequest
from csi_driver.node.service import NodePlugin
from csi_driver.node.stages import Stages
from csi_driver.node.start import start
from csi_driver.testing.faults import Recorder
from csi_driver.testing.host import SimHost
from csi_driver.testing.network import SimNetwork

SIZE = 64 * MIB
VOLUME = VolumeId(volume_key("one"), "abcdefgh")
OTHER = VolumeId(volume_key("two"), "bcdefghi")
STAGING = "/var/lib/kubelet/plugins/kubernetes.io/csi/globalmount"
TARGET = "/var/lib/kubelet/pods/one/volumes/mount"
SECOND = "/var/lib/kubelet/pods/two/volumes/mount"
MOUNT = Capability(AccessMode.SINGLE_NODE_MULTI_WRITER, AccessType.MOUNT, FsType.EXT4)
BLOCK = Capability(AccessMode.SINGLE_NODE_MULTI_WRITER, AccessType.BLOCK)
SHORT = Patience(disk=0.05, session=0.05, look=0.005, busy=0.1, logout=0.01)

EVERY_USE = pytest.mark.parametrize(
    ("transport", "fs"), [(transport, fs) for transport in Transport for fs in (FsType.EXT4, None)]
)
BOTH = pytest.mark.parametrize("transport", list(Transport))
NEVER = Patience(session=3600, look=0.005, busy=0.1, logout=0.01)
"""For tests in which nobody may lose patience."""


class World:
    """``store`` has the volume, ``user`` stages it. With ``transport`` LOCAL both are one host."""

    def __init__(
        self, transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4, patience: Patience = SHORT
    ) -> None:
        self.network = SimNetwork()
        self.transport, self.fs, self.patience = transport, fs, patience
        self.store = SimHost("store", self.network)
        self.store.add_group("vg0", 2 * GIB)
        self.user = self.store if transport is Transport.LOCAL else SimHost("user", self.network)
        self.readonly = False
        self.context = self._context()

    def _context(self) -> NodeContext:
        doors = self.user.consumer
        return NodeContext(
            node=self.user.name,
            doors=doors,
            attachments=Attachments(self.user.records("attachments"), doors.initiator),
            stages=Stages(self.user.records("stages")),
            patience=self.patience,
        )

    @property
    def plugin(self) -> NodePlugin:
        return NodePlugin(self.context)

    async def restart(self, effects: Effects | None = None) -> None:
        """The driver process of the user's host ends at once, and another one starts."""
        self.user.process_crash(effects)
        self.context = self._context()
        await start(self.context)

    async def reboot(self) -> None:
        """The user's host loses power and comes back."""
        self.user.reboot()
        self.context = self._context()
        await start(self.context)

    def use(self, effects: Effects) -> None:
        """From now on the user's effects pass through ``effects``."""
        self.user.effects.layer = effects

    # -- the storage side

    async def make(self, volume: VolumeId = VOLUME, size: int = SIZE) -> None:
        """The volume, with its file system."""
        await self.store.lvm.create_thick(str(volume), vg="vg0", size=size, tags=frozenset())
        if self.fs is not None:
            await self.store.formatter.make(await self._lv_path(volume), fs=self.fs, options=())

    async def _lv(self, volume: VolumeId) -> tuple[tuple[int, int], int]:
        lv = (await self.store.lvm.group("vg0")).volume(str(volume))
        assert lv is not None
        assert lv.devno is not None
        return lv.devno, lv.size

    async def _lv_path(self, volume: VolumeId) -> str:
        devno, _ = await self._lv(volume)
        return self.store.devices.path(devno)

    async def publish(self, number: int = 1, *, hold: bool = True, secret: str = "s") -> None:
        """What ControllerPublishVolume does at both ends."""
        devno, size = await self._lv(VOLUME)
        uuid = VOLUME.wrapper_uuid(number)
        made = await wrapper.ensure(self.store.dm, str(VOLUME), uuid=uuid, over=devno, sectors=size // SECTOR)
        if self.transport is Transport.LOCAL:
            return
        spec = targets.TargetSpec(
            volume=VOLUME,
            device=self.store.devices.path(made.devno),
            portals=(self.store.portal,),
            initiator=self.user.machine.initiator,
            chap_user="user",
            secret=Secret(secret * 32),
            write_protected=self.readonly,
        )
        await targets.ensure_target(self.store.configfs, spec)
        if hold:
            await self.context.attachments.hold(self.attachment(number, secret))

    async def unpublish(self, number: int = 1) -> None:
        """The fence: what ControllerUnpublishVolume does at the storage side."""
        if self.transport is Transport.ISCSI:
            await targets.remove_acl(self.store.configfs, VOLUME, self.user.machine.initiator)
            await targets.remove_target(self.store.configfs, VOLUME)
        device = await self.store.dm.find(str(VOLUME))
        if device is not None and device.open_count:
            await wrapper.sever(self.store.dm, str(VOLUME), number)
        else:
            await wrapper.remove(self.store.dm, str(VOLUME))

    async def extend(self, size: int) -> None:
        """What ControllerExpandVolume does."""
        await self.store.lvm.extend(str(VOLUME), vg="vg0", size=size, metadata_only=False)
        devno, _ = await self._lv(VOLUME)
        await wrapper.grow(self.store.dm, str(VOLUME), over=devno, sectors=size // SECTOR)

    def attachment(self, number: int = 1, secret: str = "s", volume: VolumeId = VOLUME) -> Attachment:
        return Attachment(
            volume=volume, number=number, portals=(self.store.portal,), chap_user="user", secret=Secret(secret * 32)
        )

    # -- requests

    @property
    def capability(self) -> Capability:
        return BLOCK if self.fs is None else replace(MOUNT, fs=self.fs)

    def publish_context(self, number: int = 1) -> dict[str, str]:
        portals = () if self.transport is Transport.LOCAL else (self.store.portal,)
        context = PublishContext(
            transport=self.transport, number=number, readonly=self.readonly, portals=portals, fs=self.fs
        )
        return context.to_map()

    def stage_request(
        self, number: int = 1, *, path: str = STAGING, capability: Capability | None = None
    ) -> StageRequest:
        return StageRequest(
            volume=str(VOLUME),
            staging_path=path,
            capability=capability or self.capability,
            publish_context=self.publish_context(number),
        )

    def bind_request(
        self,
        target: str = TARGET,
        *,
        number: int = 1,
        mode: AccessMode | None = None,
        readonly: bool = False,
        staging: str = STAGING,
    ) -> BindRequest:
        capability = self.capability if mode is None else replace(self.capability, mode=mode)
        return BindRequest(
            volume=str(VOLUME),
            staging_path=staging,
            target_path=target,
            capability=capability,
            readonly=readonly,
            publish_context=self.publish_context(number),
        )

    async def stage(self, number: int = 1) -> None:
        await self.plugin.stage(self.stage_request(number))

    async def unstage(self, path: str = STAGING) -> None:
        await self.plugin.unstage(UnstageRequest(volume=str(VOLUME), staging_path=path))

    async def bind(self, target: str = TARGET) -> None:
        await self.plugin.publish(self.bind_request(target))

    async def unbind(self, target: str = TARGET) -> None:
        await self.plugin.unpublish(UnbindRequest(volume=str(VOLUME), target_path=target))

    # -- looking

    @property
    def device(self) -> str:
        """The dm name of what is staged."""
        return str(VOLUME) if self.transport is Transport.LOCAL else VOLUME.consumer_device

    def mounts(self) -> list[str]:
        """Where anything is mounted on the user's host."""
        return sorted(mount.target for mount in self.user.machine.mounts)

    def leftovers(self) -> list[str]:
        """What the volume has left on the user's host, what belongs to the storage side apart, and the secret,
        which stays until the publication is over.
        """
        left = [line for line in self.user.leftovers() if not line.startswith("file attachments/")]
        if self.transport is Transport.LOCAL:
            left = [line for line in left if not line.startswith("lv ") and line != f"dm {VOLUME}"]
        return left


async def published(
    transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4, patience: Patience = SHORT
) -> World:
    """A world in which the volume is published to the user as publication 1."""
    world = World(transport, fs, patience)
    await world.make()
    await world.publish()
    return world


async def staged(
    transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4, patience: Patience = SHORT
) -> World:
    """A world in which the volume is staged as publication 1."""
    world = await published(transport, fs, patience)
    await world.stage()
    return world


def queue(world: World) -> None:
    """I/O waits while the session is down, as within ``replacement_timeout``."""
    for session in world.user.machine.sessions:
        session.queueing = True


async def effects_of_unstage(transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4) -> list[str]:
    """The effects of an undisturbed unstage, in order."""
    world = await staged(transport, fs)
    seen = Recorder()
    world.use(seen)
    await world.unstage()
    return seen.names


async def effects_of_stage(transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4) -> list[str]:
    """The effects of an undisturbed stage, in order; of a volume that has grown meanwhile."""
    world = await published(transport, fs)
    await world.extend(2 * SIZE)
    seen = Recorder()
    world.use(seen)
    await world.stage()
    return seen.names


def step(names: list[str], name: str) -> int:
    """Which effect it is, counted from 1."""
    return names.index(name) + 1
