"""What one create costs at its agent, what a commit may leave out, and what is done again after a crash."""

from __future__ import annotations

import dataclasses

import pytest

from csi_driver.agent import claim, commit, find
from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.errors import Incompatible, NoCapacity, NotFound
from csi_driver.host.doors import DmDevice, VolumeGroup
from csi_driver.model.access import FsType
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Content, Layout, Volume, VolumeSpec
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import Recorder
from csi_driver.testing.filesystems import SimFormatter
from csi_driver.testing.host import SimHost
from csi_driver.testing.lvm import SimLvm

SPEC = VolumeSpec(id=VolumeId(volume_key("v"), "aaaaaaaa"), name="v", size=GIB, pool="fast", fs=FsType.EXT4)


class Formatter(SimFormatter):
    """Remembers of each format whether it was told that all is blank."""

    def __init__(self, host: SimHost) -> None:
        super().__init__(host.machine, host.effects)
        self.told: list[bool] = []

    async def make(self, path: str, *, fs: FsType, options: tuple[str, ...], blank: bool = False) -> None:
        self.told.append(blank)
        await super().make(path, fs=fs, options=options, blank=blank)


async def nobody(_: DmDevice) -> bool:
    """No consumer's half, which could still lead to a device."""
    return False


class Unzeroed(SimLvm):
    """LVM with a thin pool that an operator made with ``--zero n``."""

    async def group(self, vg: str, *, within: float = 0.0) -> VolumeGroup:
        group = await super().group(vg)
        return dataclasses.replace(group, volumes=tuple(dataclasses.replace(lv, zeroing=False) for lv in group.volumes))


class Storage:
    """A host with disks; ``restart`` is a new process over the same disks."""

    def __init__(self, *, zeroing: bool = True) -> None:
        self.effects = Recorder()
        self.host = SimHost("n1", effects=self.effects)
        self.host.add_group("vg0", 8 * GIB, thin_pool="pool")
        self.formatter = Formatter(self.host)
        self._lvm = self.host.lvm if zeroing else Unzeroed(self.host.machine, self.host.effects)
        self.context = self.restart()

    def restart(self) -> AgentContext:
        self.context = AgentContext(
            node="n1",
            cluster="test",
            doors=dataclasses.replace(self.host.storage, lvm=self._lvm, formatter=self.formatter),
            settings=AgentSettings(),
            offer=Offer(self.host.records("offer"), (PoolSettings(name="fast", vg="vg0", thin_pool="pool"),)),
            journal=Journal(self.host.records("journal")),
            picture=Picture(),
            refers=nobody,
        )
        return self.context

    async def now(self) -> Volume:
        (volume,) = await find.find(self.context, SPEC.id.key)
        return volume


async def test_a_thin_create_changes_lvm_twice_and_zeroes_nothing() -> None:
    storage = Storage()
    await claim.claim(storage.context, SPEC)
    assert (await storage.now()).content is Content.CLAIMED
    done = await commit.commit(storage.context, SPEC.id)
    assert storage.effects.names == ["lvm.create_thin", "formatter.make", "lvm.change_tags"]
    assert storage.formatter.told == [True]
    assert done == await storage.now()
    assert (done.content, done.formatted) == (Content.READY, True)


async def test_a_pool_that_does_not_zero_gives_no_blank_volume() -> None:
    storage = Storage(zeroing=False)
    await claim.claim(storage.context, SPEC)
    assert storage.formatter.told == [False]
    assert storage.effects.names.count("devices.zero") == 2


async def test_a_thick_volume_is_cleared_before_it_is_formatted_as_blank() -> None:
    storage = Storage()
    await claim.claim(storage.context, dataclasses.replace(SPEC, layout=Layout.THICK))
    await commit.commit(storage.context, SPEC.id)
    assert storage.effects.names == ["lvm.create_thick", "devices.zero", "formatter.make", "lvm.change_tags"]
    assert storage.formatter.told == [True]
    (lv,) = (lv for lv in (await storage.host.lvm.group("vg0")).volumes if lv.name == str(SPEC.id))
    assert f"clinker.clean={GIB}" in lv.tags


@pytest.mark.parametrize("layout", [Layout.THIN, Layout.THICK])
async def test_what_a_dead_process_made_is_made_again_by_the_next(layout: Layout) -> None:
    storage = Storage()
    await claim.claim(storage.context, dataclasses.replace(SPEC, layout=layout))
    storage.restart()
    del storage.effects.seen[:]
    done = await commit.commit(storage.context, SPEC.id)
    assert (done.content, done.formatted) == (Content.READY, True)
    assert done == await storage.now()
    assert "formatter.make" in storage.effects.names
    # Part of a file system lies there: only a thick volume, cleared once more, counts as blank.
    assert storage.formatter.told == [True, layout is Layout.THICK]


async def test_a_claim_repeated_is_not_formatted_again() -> None:
    storage = Storage()
    first = await claim.claim(storage.context, SPEC)
    assert await claim.claim(storage.context, SPEC) == first
    assert len(storage.formatter.told) == 1


async def test_a_commit_repeated_changes_nothing() -> None:
    storage = Storage()
    await claim.claim(storage.context, SPEC)
    first = await commit.commit(storage.context, SPEC.id)
    del storage.effects.seen[:]
    assert await commit.commit(storage.context, SPEC.id) == first
    assert storage.effects.names == []


async def test_what_was_dropped_is_not_committed_and_not_taken_for_made() -> None:
    storage = Storage()
    await claim.claim(storage.context, SPEC)
    await commit.drop(storage.context, SPEC.id)
    with pytest.raises(NotFound):
        await commit.commit(storage.context, SPEC.id)
    await claim.claim(storage.context, SPEC)
    assert len(storage.formatter.told) == 2


async def test_what_an_operator_removed_is_not_committed() -> None:
    storage = Storage()
    await claim.claim(storage.context, SPEC)
    await storage.host.lvm.remove(str(SPEC.id), vg="vg0")
    for _ in range(2):
        with pytest.raises(NotFound):
            await commit.commit(storage.context, SPEC.id)


class Counting(SimLvm):
    """LVM that counts how often a group is read."""

    reads = 0

    def _read(self, vg: str) -> VolumeGroup:
        self.reads += 1
        return super()._read(vg)


def counting(storage: Storage) -> Counting:
    """The storage's LVM from now on."""
    storage._lvm = Counting(storage.host.machine, storage.host.effects)
    storage.restart()
    return storage._lvm


async def test_a_thin_create_reads_no_group_that_was_read_before() -> None:
    storage = Storage()
    lvm = counting(storage)
    await lvm.group("vg0")
    lvm.reads = 0
    for key in (SPEC.id.key, volume_key("w")):
        spec = dataclasses.replace(SPEC, id=VolumeId(key, "aaaaaaaa"))
        assert await find.find(storage.context, key) == ()
        made = await claim.claim(storage.context, spec)
        (found,) = await find.find(storage.context, key)
        assert (found.id, found.content, found.size) == (made.id, Content.CLAIMED, made.size)
        await commit.commit(storage.context, spec.id)
    assert lvm.reads == 0
    known, read = await lvm.group("vg0", within=60), await lvm.group("vg0")
    assert lvm.reads == 1
    assert len(known.volumes) == len(read.volumes) == 3
    for one in known.volumes:
        other = read.volume(one.name)
        if one.layout == "thin":
            # What the kernel counts changes without us.
            assert other is not None
            assert one == dataclasses.replace(other, thin_id=None, data_percent=0.0)


async def test_what_an_operator_removed_is_not_found() -> None:
    """A change by hand is unseen until the next report; what would be answered is looked at anew."""
    storage = Storage()
    lvm = counting(storage)
    await claim.claim(storage.context, SPEC)
    await commit.commit(storage.context, SPEC.id)
    await lvm.group("vg0")
    await SimLvm(storage.host.machine).remove(str(SPEC.id), vg="vg0")
    assert await find.find(storage.context, SPEC.id.key) == ()
    await claim.claim(storage.context, SPEC)
    assert (await storage.now()).content is Content.CLAIMED


@pytest.mark.parametrize("layout", [Layout.THIN, Layout.THICK])
async def test_what_an_operator_made_meanwhile_is_neither_passed_over_nor_written_to(layout: Layout) -> None:
    """lvcreate itself refuses the name and the size."""
    storage = Storage()
    lvm, other = counting(storage), SimLvm(storage.host.machine)
    spec = dataclasses.replace(SPEC, layout=layout)
    await lvm.group("vg0")
    await other.create_thick(str(SPEC.id), vg="vg0", size=GIB, tags=frozenset())
    with pytest.raises(Incompatible):
        await claim.claim(storage.context, spec)
    assert storage.formatter.told == []
    await other.remove(str(SPEC.id), vg="vg0")
    await lvm.group("vg0")
    group = await other.group("vg0")
    await other.create_thick("all", vg="vg0", size=group.free, tags=frozenset())
    if layout is Layout.THICK:
        with pytest.raises(NoCapacity):
            await claim.claim(storage.context, spec)
    assert storage.formatter.told == []
