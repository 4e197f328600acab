"""Volumes of every layout at their agent: room, what an earlier tenant left, and wiping at the end."""

from __future__ import annotations

import dataclasses

import pytest

from csi_driver.agent import claim, commit, delete, extend, find, publish
from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.errors import InvalidRequest, NoCapacity, OutOfRange, Precondition
from csi_driver.host.doors import DmDevice
from csi_driver.model.access import AccessMode, AccessType, FsType
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.publication import PublishRequest, Transport
from csi_driver.model.sizes import MIB
from csi_driver.model.volume import Content, Layout, VolumeSpec, Wipe
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import KillAt, Killed, Recorder
from csi_driver.testing.host import SimHost

THICK = [layout for layout in Layout if layout is not Layout.THIN]
SECRET = b"an earlier tenant's secret"
SIZE = 16 * MIB


async def nobody(_: DmDevice) -> bool:
    """No consumer here has anything of it."""
    return False


class Storage:
    """A host with four disks of 64 MiB in one volume group."""

    def __init__(self, **settings: float) -> None:
        self.effects = Recorder()
        self.host = SimHost("n1", effects=self.effects)
        self.group = self.host.add_group("vg0", 256 * MIB, disks=4)
        self.settings = AgentSettings(pools=(PoolSettings(name="fast", vg="vg0", **settings),))  # type: ignore[arg-type]
        self.context = self.start()

    def start(self) -> AgentContext:
        self.context = AgentContext(
            node="n1",
            cluster="test",
            doors=self.host.storage,
            settings=self.settings,
            offer=Offer(self.host.records("offer"), self.settings.pools),
            journal=Journal(self.host.records("journal")),
            picture=Picture(),
            refers=nobody,
        )
        return self.context

    async def make(self, name: str, layout: Layout, size: int = SIZE, wipe: Wipe = Wipe.CREATE) -> VolumeId:
        key = VolumeId(volume_key(name), "aaaaaaaa")
        await claim.claim(self.context, VolumeSpec(id=key, name=name, size=size, pool="fast", layout=layout, wipe=wipe))
        await commit.commit(self.context, key)
        return key

    def path(self, volume: VolumeId) -> str:
        return f"/dev/mapper/vg0-{str(volume).replace('-', '--')}"

    async def everything(self) -> bytes:
        """All that lies on the disks."""
        disk = self.group.disk
        return await self.host.read(f"/dev/{disk.name}", disk.size)


@pytest.mark.parametrize("layout", THICK)
async def test_no_byte_of_an_earlier_tenant_is_ever_read(layout: Layout) -> None:
    storage = Storage()
    first = await storage.make("first", layout)
    for at in range(0, SIZE, MIB):
        await storage.host.write(storage.path(first), SECRET, at + 8192)
    await delete.delete(storage.context, first)
    assert SECRET in await storage.everything()
    other = await storage.make("other", layout)
    assert not any(await storage.host.read(storage.path(other), SIZE))
    grown = (await extend.extend(storage.context, other, 2 * SIZE)).size
    assert not any(await storage.host.read(storage.path(other), grown))


@pytest.mark.parametrize("layout", THICK)
async def test_wiped_at_delete_nothing_is_left_on_the_disk(layout: Layout) -> None:
    storage = Storage()
    volume = await storage.make("v", layout, wipe=Wipe.DELETE)
    await storage.host.write(storage.path(volume), SECRET, 8 * MIB)
    await delete.delete(storage.context, volume)
    assert SECRET not in await storage.everything()
    assert (await storage.host.lvm.group("vg0")).volumes == ()


WIPING = ["lvm.change_tags", "devices.zero", "lvm.remove"]


@pytest.mark.parametrize("last", WIPING)
async def test_a_wipe_that_was_cut_short_is_done_again_and_nobody_gets_the_rest(last: str) -> None:
    storage = Storage()
    await delete.delete(storage.context, await storage.make("before", Layout.THICK, wipe=Wipe.DELETE))
    effects = storage.effects.names[storage.effects.names.index("lvm.change_tags") + 1 :]
    assert [name for name in effects if name in WIPING] == WIPING
    number = effects.index(last) + 1
    volume = await storage.make("v", Layout.THICK, wipe=Wipe.DELETE)
    await storage.host.write(storage.path(volume), SECRET, 8 * MIB)
    storage.host.effects.layer = KillAt(number, when="after")
    with pytest.raises(Killed):
        await delete.delete(storage.context, volume)
    storage.host.process_crash()
    context = storage.start()
    if last != "lvm.remove":
        assert (await find.get(context, volume)).content is Content.DELETING
        order = PublishRequest(
            volume=volume,
            node="n1",
            transport=Transport.LOCAL,
            mode=AccessMode.SINGLE_NODE_WRITER,
            access=AccessType.BLOCK,
        )
        with pytest.raises(Precondition):
            await publish.publish(context, order)
    await delete.delete(context, volume)
    assert SECRET not in await storage.everything()
    assert (await storage.host.lvm.group("vg0")).volumes == ()


async def test_what_someone_has_open_is_not_overwritten() -> None:
    storage = Storage()
    volume = await storage.make("v", Layout.THICK, wipe=Wipe.DELETE)
    await storage.host.write(storage.path(volume), SECRET, 8 * MIB)
    node = storage.host.machine.node_at(storage.path(volume))
    assert node is not None
    node.open()
    with pytest.raises(Precondition, match="open"):
        await delete.delete(storage.context, volume)
    assert await storage.host.read(storage.path(volume), len(SECRET), 8 * MIB) == SECRET
    assert (await find.get(storage.context, volume)).content is Content.READY
    node.close()
    await delete.delete(storage.context, volume)


async def test_sizes_are_whole_stripes() -> None:
    storage = Storage(stripes=3)
    volume = await storage.make("v", Layout.STRIPED, size=20 * MIB)
    assert (await find.get(storage.context, volume)).size == 24 * MIB
    assert (await extend.extend(storage.context, volume, 25 * MIB)).size == 36 * MIB
    # Asked for again, it has that size.
    assert (await extend.extend(storage.context, volume, 25 * MIB)).size == 36 * MIB


@pytest.mark.parametrize("layout", THICK)
async def test_what_is_said_to_be_free_can_be_had_and_no_more(layout: Layout) -> None:
    from csi_driver.agent.pools import describe

    storage = Storage()

    async def free() -> int:
        group = await storage.host.lvm.group("vg0")
        return describe(storage.settings.pools[0], group, "n1").free(layout) or 0

    room = await free()
    with pytest.raises(NoCapacity, match=f"for {layout.value} volumes.*256 MiB of 256 MiB free"):
        await storage.make("too-large", layout, size=room + 1)
    volume, number = None, 0
    while room := await free():
        volume = await storage.make(f"v{number}", layout, size=room)
        assert (await find.get(storage.context, volume)).size == room
        number += 1
    assert volume is not None
    with pytest.raises(OutOfRange, match="it has 0 bytes left"):
        await extend.extend(storage.context, volume, 300 * MIB)


async def test_a_missing_disk_is_health_and_no_loss() -> None:
    storage = Storage()
    volume = await storage.make("v", Layout.RAID1)
    storage.group.missing = 1
    seen = await find.get(storage.context, volume)
    assert (seen.content, seen.condition) == (Content.READY, "a disk of this raid1 volume is missing")
    with pytest.raises(NoCapacity, match="1 of the disks of volume group vg0 are missing"):
        await storage.make("w", Layout.THICK)


async def test_options_of_the_class_reach_mkfs() -> None:
    from csi_driver.control.order import Order
    from csi_driver.control.requests import CreateVolume
    from csi_driver.model.access import Capability
    from csi_driver.model.volume import Limits

    capability = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT, FsType.EXT4)
    wanted = CreateVolume(
        name="v",
        capabilities=(capability,),
        limits=Limits(required=SIZE),
        parameters={"mkfsOptions": "-i 8192", "layout": "raid10"},
    )
    spec = Order.of(wanted).spec("aaaaaaaa", size=SIZE, pool="fast")
    storage = Storage()
    await claim.claim(storage.context, spec)
    done = await commit.commit(storage.context, spec.id)
    assert (done.mkfs_options, done.layout) == (("-i", "8192"), Layout.RAID10)
    assert [options for _, _, options in storage.host.machine.formats] == [("-i", "8192")]
    with pytest.raises(InvalidRequest, match=r"cannot be given to mkfs.ext4"):
        Order.of(dataclasses.replace(wanted, parameters={"mkfsOptions": "-m reflink=1"}))
