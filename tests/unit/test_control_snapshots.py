"""The controller's snapshots, and volumes made from them and from other volumes."""

from __future__ import annotations

import dataclasses

import pytest

from csi_driver.control.requests import (
    CreateSnapshot,
    DeleteSnapshot,
    DeleteVolume,
    GetSnapshot,
    ListSnapshots,
    SnapshotView,
)
from csi_driver.errors import (
    BadToken,
    Busy,
    DriverError,
    Incompatible,
    InvalidRequest,
    NotFound,
    OutOfRange,
    Unavailable,
)
from csi_driver.model.access import FsType
from csi_driver.model.ids import SnapshotId, volume_key
from csi_driver.model.inventory import Change
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.volume import Content, Volume, VolumeSpec
from tests.unit.create_orders import XFS, at, create
from tests.unit.fake_agents import BLOCK, MOUNT, Cluster, FakeAgent, made, until

UNKNOWN = "snap-" + "a" * 26 + "-" + "b" * 8


def nodes(*names: str) -> Cluster:
    return Cluster(*map(FakeAgent, names))


async def cut(cluster: Cluster, name: str, volume: object) -> SnapshotView:
    return await cluster.controller.create_snapshot(CreateSnapshot(name=name, source=str(volume)))


# -- create


async def test_a_snapshot_is_cut_where_its_volume_lies_and_a_repeat_finds_it() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n2")
        first = await cut(cluster, "s", volume)
        assert (first.source, first.size) == (str(volume), GIB)
        assert SnapshotId.parse(first.id) in cluster["n2"].snapshots
        await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))
        assert await cut(cluster, "s", volume) == first
        assert cluster["n2"].calls.count("cut") == 1


async def test_a_name_of_another_volume_s_snapshot_is_taken() -> None:
    async with nodes("n1", "n2") as cluster:
        one, other = await made(cluster, "one", on="n1"), await made(cluster, "other", on="n2")
        await cut(cluster, "s", one)
        with pytest.raises(Incompatible, match="of volume"):
            await cut(cluster, "s", other)
        assert cluster["n2"].snapshots == {}


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (CreateSnapshot(name="", source="vol"), InvalidRequest, "name is missing"),
        (CreateSnapshot(name="s", source=""), InvalidRequest, "source_volume_id is missing"),
        (CreateSnapshot(name="s", source="nonsense"), NotFound, "there is no volume"),
        (CreateSnapshot(name="s", source="vol-x", parameters={"speed": "9"}), InvalidRequest, "'speed'"),
        (CreateSnapshot(name="s\x00", source="vol-x"), InvalidRequest, "control characters"),
    ],
)
async def test_what_cannot_be_cut(request_: CreateSnapshot, error: type[DriverError], words: str) -> None:
    async with nodes("n1") as cluster:
        with pytest.raises(error, match=words):
            await cluster.controller.create_snapshot(request_)
        assert "cut" not in cluster["n1"].calls


async def test_kubernetes_words_are_no_parameters_and_name_the_object() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        words = {
            "csi.storage.k8s.io/volumesnapshot/name": "nightly",
            "csi.storage.k8s.io/volumesnapshot/namespace": "shop",
        }
        await cluster.controller.create_snapshot(CreateSnapshot(name="s", source=str(volume), parameters=words))
        (snapshot,) = cluster["n1"].snapshots.values()
        assert (snapshot.object_namespace, snapshot.object_name) == ("shop", "nightly")


async def test_a_claim_is_no_volume_to_cut() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        agent = cluster["n1"]
        agent.volumes[volume] = dataclasses.replace(agent.volumes[volume], content=Content.CLAIMED)
        agent.tell(Change(volumes_gone=(volume,)))
        await until(lambda: cluster.fleet.locate(volume) is None)
        with pytest.raises(NotFound):
            await cut(cluster, "s", volume)


async def test_two_at_once_for_a_name_make_one() -> None:
    class Slow(FakeAgent):
        pass

    agent = Slow("n1")
    agent.stall.add("find_snapshots")
    async with Cluster(agent, look=5) as cluster:
        cluster.context.cutting.add(volume_key("s"))
        with pytest.raises(Busy):
            await cut(cluster, "s", "vol-x")


# -- silence


async def test_a_silent_node_s_snapshots_are_neither_absent_nor_gone() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        view = await cut(cluster, "s", volume)
        await cluster.silence("n1")
        for verb in (
            cut(cluster, "new", volume),
            cut(cluster, "s", volume),
            cluster.controller.delete_snapshot(DeleteSnapshot(id=view.id)),
            cluster.controller.delete_snapshot(DeleteSnapshot(id=UNKNOWN)),
            cluster.controller.get_snapshot(GetSnapshot(id=view.id)),
            cluster.controller.list_snapshots(ListSnapshots(id=UNKNOWN)),
            cluster.controller.create_volume(create("copy", source=view.id)),
        ):
            with pytest.raises(Unavailable, match="n1"):
                await verb
        assert (await cluster.controller.list_snapshots(ListSnapshots())).snapshots == (view,)


# -- delete, list, get


async def test_deleting_leaves_source_and_copies_and_may_be_repeated() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        view = await cut(cluster, "s", volume)
        await cluster.controller.create_volume(create("copy", source=view.id))
        for _ in range(2):
            await cluster.controller.delete_snapshot(DeleteSnapshot(id=view.id))
        await cluster.controller.delete_snapshot(DeleteSnapshot(id="of-unknown-form"))
        assert len(cluster.ready()) == 2
        assert (await cluster.controller.list_snapshots(ListSnapshots())).snapshots == ()
        with pytest.raises(NotFound):
            await cluster.controller.get_snapshot(GetSnapshot(id=view.id))


async def test_pages_and_filters() -> None:
    async with nodes("n1", "n2") as cluster:
        one, other = await made(cluster, "one", on="n1"), await made(cluster, "other", on="n2")
        views = [await cut(cluster, f"s{number}", one if number % 2 else other) for number in range(5)]
        listing = cluster.controller.list_snapshots
        first = await listing(ListSnapshots(maximum=3))
        rest = await listing(ListSnapshots(maximum=3, token=first.token))
        assert [len(first.snapshots), len(rest.snapshots), rest.token] == [3, 2, ""]
        assert {view.id for page in (first, rest) for view in page.snapshots} == {view.id for view in views}
        assert len((await listing(ListSnapshots(source=str(one)))).snapshots) == 2
        assert (await listing(ListSnapshots(id=views[0].id))).snapshots == (views[0],)
        assert (await listing(ListSnapshots(id=views[0].id, source=str(one)))).snapshots == ()
        assert (await listing(ListSnapshots(id=UNKNOWN))).snapshots == ()
        assert (await listing(ListSnapshots(id="nonsense"))).snapshots == ()
        assert (await listing(ListSnapshots(source="nonsense"))).snapshots == ()
        with pytest.raises(BadToken):
            await listing(ListSnapshots(token="nonsense"))
        with pytest.raises(InvalidRequest):
            await listing(ListSnapshots(maximum=-1))


async def test_one_that_another_controller_cut_a_moment_ago_is_found_by_its_id() -> None:
    async with nodes("n1") as cluster:
        view = await cut(cluster, "s", await made(cluster))
        identity = SnapshotId.parse(view.id)
        assert identity is not None
        cluster["n1"].tell(Change(snapshots_gone=(identity,)))
        await until(lambda: cluster.fleet.locate_snapshot(identity) is None)
        assert (await cluster.controller.list_snapshots(ListSnapshots(id=view.id))).snapshots == (view,)


# -- volumes from sources


async def test_a_copy_is_made_in_the_pool_of_its_source_as_large_as_asked() -> None:
    async with nodes("n1", "n2", "n3") as cluster:
        volume = await made(cluster, on="n2")
        view = await cut(cluster, "s", volume)
        for number, source in enumerate((view.id, str(volume))):
            same = await cluster.controller.create_volume(create(f"same{number}", size=None, source=source))
            more = await cluster.controller.create_volume(create(f"more{number}", size=3 * GIB, source=source))
            assert (same.size, more.size) == (GIB, 3 * GIB)
            assert str(same.source) == str(more.source) == source
            again = await cluster.controller.create_volume(create(f"same{number}", size=None, source=source))
            assert again == same
        assert len(cluster["n2"].volumes) == 5
        assert all(each.fs is FsType.EXT4 for each in cluster["n2"].volumes.values())


async def test_a_copy_stays_what_it_is_when_its_source_is_gone() -> None:
    async with nodes("n1") as cluster:
        view = await cut(cluster, "s", await made(cluster))
        copy = await cluster.controller.create_volume(create("copy", source=view.id))
        await cluster.controller.delete_snapshot(DeleteSnapshot(id=view.id))
        assert await cluster.controller.create_volume(create("copy", source=view.id)) == copy
        with pytest.raises(Incompatible, match="made from"):
            await cluster.controller.create_volume(create("copy"))
        with pytest.raises(NotFound):
            await cluster.controller.create_volume(create("new", source=view.id))


async def test_what_no_copy_can_be() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        thick = await cluster.controller.create_volume(create("thick", parameters={"layout": "thick"}))
        view = await cut(cluster, "s", volume)
        refused: tuple[tuple[object, type[DriverError], str], ...] = (
            (create("c", BLOCK, source=view.id), InvalidRequest, "mount access"),
            (create("c", XFS, source=view.id), InvalidRequest, "ext4"),
            (create("c", XFS, source=str(volume)), InvalidRequest, "ext4"),
            (create("c", size=GIB - MIB, source=view.id), OutOfRange, "1 GiB"),
            (create("c", size=None, limit=GIB // 2, source=view.id), OutOfRange, "1 GiB"),
            (create("c", source=view.id, parameters={"layout": "thick"}), InvalidRequest, "thin"),
            (create("c", source=view.id, parameters={"pool": "other"}), InvalidRequest, "pool data"),
            (create("c", source=thick.id), InvalidRequest, "thick"),
            (create("c", source=UNKNOWN), NotFound, "no snapshot"),
            (create("c", source="?vol-in-the-wrong-field"), NotFound, "no snapshot 'vol-in-the-wrong-field'"),
            (create("c", source=view.id, topology=at("n2"), parameters={"access": "local"}), DriverError, "n1/data"),
        )
        for request, error, words in refused:
            with pytest.raises(error, match=words):
                await cluster.controller.create_volume(request)  # type: ignore[arg-type]
        assert {each.name for each in cluster.ready()} == {"v", "thick"}


async def test_a_source_that_goes_while_it_is_copied_is_final() -> None:
    async with nodes("n1", "n2") as cluster:
        view = await cut(cluster, "s", await made(cluster, on="n1"))
        cluster["n1"].snapshots.clear()
        with pytest.raises(NotFound):
            await cluster.controller.create_volume(create("copy", source=view.id))


async def test_an_agent_too_old_for_sources_makes_no_empty_copy() -> None:
    class Old(FakeAgent):
        def _claim(self, spec: VolumeSpec) -> Volume:
            return super()._claim(dataclasses.replace(spec, source=None))

    async with Cluster(Old("n1")) as cluster:
        volume = await made(cluster, capability=MOUNT)
        with pytest.raises(Unavailable, match="too old"):
            await cluster.controller.create_volume(create("copy", source=str(volume)))
        assert set(cluster["n1"].volumes) == {volume}
