"""The agent's snapshots and copies on a simulated host: room, rest for local writers, what others must not disturb."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from csi_driver.agent import claim, commit, quiesce, snapshot, tags
from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.agent.publish import publish
from csi_driver.agent.service import Agent
from csi_driver.errors import Incompatible, InvalidRequest, NoCapacity, NotFound, OutOfRange, Precondition
from csi_driver.host.dm.tables import mapper_name
from csi_driver.host.doors import DmDevice
from csi_driver.model.access import AccessMode, AccessType, FsType
from csi_driver.model.ids import SnapshotId, VolumeId, volume_key
from csi_driver.model.inventory import AgentInfo
from csi_driver.model.publication import PublishRequest, Transport
from csi_driver.model.sizes import GIB
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Layout, Volume, VolumeSpec
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import DelayAt
from csi_driver.testing.host import SimHost
from csi_driver.testing.mounts import SimMounts

BLANK = VolumeSpec(id=VolumeId(volume_key("v"), "aaaaaaaa"), name="v", size=GIB, pool="fast", fs=FsType.EXT4)
CUT = SnapshotSpec(
    id=SnapshotId(volume_key("s"), "aaaaaaaa"), name="s", source=BLANK.id, object_namespace="ns", object_name="nightly"
)


class Storage:
    """A host with a thin pool of 4 GiB."""

    def __init__(self, **pool: float) -> None:
        self.host = SimHost("n1")
        self.host.add_group("vg0", 8 * GIB, thin_pool="pool")
        settings = PoolSettings(name="fast", vg="vg0", thin_pool="pool", **pool)  # type: ignore[arg-type]  # figures
        self.context = AgentContext(
            node="n1",
            cluster="test",
            doors=self.host.storage,
            settings=AgentSettings(pools=(settings,)),
            offer=Offer(self.host.records("offer"), (settings,)),
            journal=Journal(self.host.records("journal")),
            picture=Picture(),
            refers=_to_nothing,
        )

    async def volume(self, spec: VolumeSpec = BLANK) -> Volume:
        await claim.claim(self.context, spec)
        return await commit.commit(self.context, spec.id)

    async def cut(self, spec: SnapshotSpec = CUT) -> Snapshot:
        return await snapshot.snapshot(self.context, spec)

    async def mount(self, volume: VolumeId, at: str = "/mnt") -> None:
        """As a pod of this node uses it."""
        order = PublishRequest(
            volume=volume,
            node="n1",
            transport=Transport.LOCAL,
            mode=AccessMode.SINGLE_NODE_WRITER,
            access=AccessType.MOUNT,
        )
        await publish(self.context, order)
        mounts = SimMounts(self.host.machine)
        await mounts.make_folder(at)
        await mounts.mount(f"/dev/mapper/{volume}", at, fs=FsType.EXT4, options=())

    async def names(self) -> list[str]:
        return sorted(lv.name for lv in (await self.host.lvm.group("vg0")).volumes if lv.name != "pool")


def another(name: str, **changes: object) -> SnapshotSpec:
    return dataclasses.replace(CUT, id=SnapshotId(volume_key(name), "aaaaaaaa"), name=name, **changes)  # type: ignore[arg-type]


def copy_of(source: VolumeId | SnapshotId, **changes: object) -> VolumeSpec:
    made = {"id": VolumeId(volume_key("c"), "aaaaaaaa"), "name": "c", "source": source} | changes
    return dataclasses.replace(BLANK, **made)  # type: ignore[arg-type]  # fields by name


async def test_what_is_told_stands_in_the_tags() -> None:
    storage = Storage()
    volume = await storage.volume()
    made = await storage.cut()
    lv = (await storage.host.lvm.group("vg0")).volume(str(CUT.id))
    assert lv is not None
    assert tags.snapshot(lv, node="n1", cluster="test") == made
    assert tags.snapshot(lv, node="n1", cluster="other") is None
    assert tags.volume(lv, node="n1", cluster="test") is None
    assert (made.size, made.fs, made.pool, made.object_name) == (volume.size, FsType.EXT4, "fast", "nightly")
    assert await snapshot.find_snapshots(storage.context, CUT.id.key) == (made,)


async def test_a_name_is_cut_once_whatever_copy_is_drawn() -> None:
    storage = Storage()
    await storage.volume()
    first = await storage.cut()
    assert await storage.cut(dataclasses.replace(CUT, id=SnapshotId(CUT.id.key, "bbbbbbbb"))) == first
    other = dataclasses.replace(CUT, source=VolumeId(volume_key("w"), "aaaaaaaa"))
    with pytest.raises(Incompatible):
        await storage.cut(other)
    assert await storage.names() == [str(CUT.id), str(BLANK.id)]


async def test_a_snapshot_takes_its_share_of_the_room() -> None:
    storage = Storage()
    await storage.volume()
    for number in range(3):
        await storage.cut(another(f"s{number}"))
    with pytest.raises(NoCapacity, match="left"):
        await storage.cut(another("s3"))
    cheap = Storage(snapshot_share=0.0)
    await cheap.volume()
    for number in range(9):
        await cheap.cut(another(f"s{number}"))


async def test_what_has_no_snapshot() -> None:
    storage = Storage()
    with pytest.raises(NotFound):
        await storage.cut()
    await storage.volume(dataclasses.replace(BLANK, layout=Layout.THICK))
    with pytest.raises(InvalidRequest, match="only thin volumes have snapshots"):
        await storage.cut()
    assert await storage.names() == [str(BLANK.id)]


async def test_a_claim_has_no_snapshot() -> None:
    storage = Storage()
    await claim.claim(storage.context, BLANK)
    with pytest.raises(NotFound):
        await storage.cut()
    with pytest.raises(NotFound):
        await claim.claim(storage.context, copy_of(BLANK.id))


async def test_deleting_takes_only_what_is_proven_ours() -> None:
    storage = Storage()
    await storage.volume()
    await storage.cut()
    await storage.host.lvm.change_tags(str(CUT.id), vg="vg0", add=frozenset(), remove=frozenset({tags.tag("v", "1")}))
    with pytest.raises(Precondition, match="left alone"):
        await snapshot.delete_snapshot(storage.context, CUT.id)
    await storage.host.lvm.change_tags(str(CUT.id), vg="vg0", add=frozenset({tags.tag("v", "1")}), remove=frozenset())
    for _ in range(2):
        await snapshot.delete_snapshot(storage.context, CUT.id)
    assert await storage.names() == [str(BLANK.id)]


async def test_a_local_writer_is_at_rest_when_it_is_cut_and_goes_on() -> None:
    storage = Storage()
    await storage.volume()
    await storage.mount(BLANK.id)
    await storage.host.write("/mnt/file", b"before")
    await storage.cut()
    await storage.host.write("/mnt/file", b"behind")
    lvm = storage.host.lvm
    await lvm.activate(str(CUT.id), vg="vg0")
    node = storage.host.machine.kernel.named(mapper_name("vg0", str(CUT.id)))
    assert node is not None
    assert b'"clean": true' in await storage.host.read(f"/dev/mapper/{node.dm_name}", 4096)
    assert await storage.host.read(f"/dev/mapper/{node.dm_name}", 6, 1 << 20) == b"before"
    device = await storage.host.dm.find(str(BLANK.id))
    assert device is not None
    assert not device.suspended


async def test_nobody_stands_still_for_longer_than_the_limit() -> None:
    storage = Storage()
    await storage.volume()
    await storage.mount(BLANK.id)
    go_on = asyncio.Event()
    context = storage.context

    async def held() -> None:
        async with quiesce.at_rest(context, BLANK.id, longest=0.01):
            await go_on.wait()

    task = asyncio.create_task(held())
    await asyncio.sleep(0.05)
    await asyncio.wait_for(storage.host.write("/mnt/file", b"on"), 5)
    go_on.set()
    await task


async def test_a_source_left_suspended_by_a_crash_is_woken_first() -> None:
    """An lvcreate -s of a suspended origin leaves the pool unfit for any change (kernel.md 7)."""
    storage = Storage()
    await storage.volume()
    await storage.host.dm.suspend(mapper_name("vg0", str(BLANK.id)))
    await storage.cut()
    assert storage.host.network.violations == []


async def test_a_copy_is_not_cut_while_its_source_grows() -> None:
    storage = Storage()
    await storage.volume()
    agent = Agent(storage.context, consumer=None, describe_node=_nobody)  # type: ignore[arg-type]  # not asked
    gate = asyncio.Event()
    storage.host.effects.layer = DelayAt(3, gate)
    growing = asyncio.create_task(agent.extend(BLANK.id, GIB + GIB // 2))
    await asyncio.sleep(0.01)
    copying = asyncio.create_task(agent.claim(copy_of(BLANK.id, size=2 * GIB)))
    await asyncio.sleep(0.01)
    gate.set()
    assert (await growing).size == GIB + GIB // 2
    assert (await copying).size == 2 * GIB
    assert storage.host.network.violations == []


async def test_a_claim_that_was_cut_short_before_it_grew_is_finished() -> None:
    storage = Storage()
    await storage.volume()
    await claim.claim(storage.context, copy_of(BLANK.id))
    made = await claim.claim(storage.context, copy_of(BLANK.id, size=2 * GIB))
    assert (made.size, made.formatted, made.source) == (2 * GIB, True, BLANK.id)


async def test_copies_that_cannot_be() -> None:
    storage = Storage()
    await storage.volume()
    for spec, error in (
        (copy_of(BLANK.id, size=GIB // 2), OutOfRange),
        (copy_of(BLANK.id, fs=FsType.XFS), InvalidRequest),
        (copy_of(BLANK.id, fs=None), InvalidRequest),
        (copy_of(BLANK.id, layout=Layout.THICK), InvalidRequest),
        (copy_of(CUT.id), NotFound),
        (copy_of(BLANK.id, size=9 * GIB), NoCapacity),
    ):
        with pytest.raises(error):
            await claim.claim(storage.context, spec)
    assert await storage.names() == [str(BLANK.id)]
    assert storage.host.machine.formats == [(f"/dev/{_device(storage)}", "ext4", ())]


async def _to_nothing(_device: DmDevice) -> bool:
    return False


def _nobody() -> AgentInfo:
    raise AssertionError("nobody asks")


def _device(storage: Storage) -> str:
    node = storage.host.machine.kernel.named(mapper_name("vg0", str(BLANK.id)))
    assert node is not None
    return node.name
