"""Snapshots and what is made from them, through CSI's sockets and the Agent service, on simulated hosts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc import StatusCode, aio

from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.testing.faults import DelayAt
from csi_driver.testing.host import SimHost
from csi_driver.testing.network import SimNetwork
from tests.driver.served import Csi, Walk, cluster, one_host
from tests.unit.rpc_driver import BLOCK, MOUNT

SIZE = 1 << 28


def from_snapshot(snapshot: pb.Snapshot) -> pb.VolumeContentSource:
    source = pb.VolumeContentSource.SnapshotSource(snapshot_id=snapshot.snapshot_id)
    return pb.VolumeContentSource(snapshot=source)


def from_volume(volume: pb.Volume) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=volume.volume_id))


async def create(
    csi: Csi, name: str, capability: pb.VolumeCapability, source: pb.VolumeContentSource | None = None, size: int = SIZE
) -> pb.Volume:
    request = pb.CreateVolumeRequest(
        name=name,
        volume_capabilities=[capability],
        capacity_range=pb.CapacityRange(required_bytes=size) if size else None,
        volume_content_source=source,
    )
    return (await csi.controller.CreateVolume(request, timeout=20)).volume


async def snapshot(csi: Csi, name: str, volume: pb.Volume, timeout: float = 20) -> pb.Snapshot:
    request = pb.CreateSnapshotRequest(name=name, source_volume_id=volume.volume_id)
    return (await csi.controller.CreateSnapshot(request, timeout=timeout)).snapshot


async def until_cut(csi: Csi, name: str, volume: pb.Volume) -> None:
    """Asked again while it still runs."""
    async with asyncio.timeout(20):
        cut = False
        while not cut:
            try:
                cut = (await snapshot(csi, name, volume)).ready_to_use
            except aio.AioRpcError as error:
                if error.code() is not StatusCode.ABORTED:
                    raise


async def test_a_snapshot_s_life_over_the_network(tmp_path: Path) -> None:
    network = SimNetwork()
    storage, consumer = SimHost("n1", network), SimHost("n2", network)
    storage.add_group("vg0", thin_pool="thin0")
    async with cluster(tmp_path, storage, consumer) as made:
        csi = made.controller
        volume = await create(csi, "pvc-1", MOUNT)
        walk = Walk(csi, made.nodes["n1"], "n1", volume, MOUNT)
        await walk.there(storage)
        await storage.write(f"{walk.target}/file", b"before")
        cut = await snapshot(csi, "snap-1", volume)
        await storage.write(f"{walk.target}/file", b"behind")
        assert (cut.ready_to_use, cut.size_bytes, cut.source_volume_id) == (True, SIZE, volume.volume_id)
        assert await snapshot(csi, "snap-1", volume) == cut
        restored = await create(csi, "pvc-2", MOUNT, from_snapshot(cut), 2 * SIZE)
        cloned = await create(csi, "pvc-3", MOUNT, from_volume(volume), 0)
        assert restored.content_source == from_snapshot(cut)
        assert (restored.capacity_bytes, cloned.capacity_bytes) == (2 * SIZE, SIZE)
        await walk.back()
        for copy, content in ((restored, b"before"), (cloned, b"behind")):
            there = Walk(csi, made.nodes["n2"], "n2", copy, MOUNT)
            assert (await there.there(consumer))["transport"] == "iscsi"
            assert await consumer.read(f"{there.target}/file", 6) == content
            await there.back()
        await csi.controller.DeleteSnapshot(pb.DeleteSnapshotRequest(snapshot_id=cut.snapshot_id))
        assert not (await csi.controller.ListSnapshots(pb.ListSnapshotsRequest())).entries
        for each in (volume, restored, cloned):
            await csi.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=each.volume_id))
    assert storage.leftovers() == ()
    assert consumer.leftovers() == ()


async def test_a_cut_goes_on_after_a_deadline_and_the_retry_finds_it(tmp_path: Path) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    go_on = asyncio.Event()
    async with one_host(tmp_path, host) as csi:
        volume = await create(csi, "pvc-1", BLOCK)
        host.effects.layer = layer = DelayAt(1, go_on)
        with pytest.raises(aio.AioRpcError) as caught:
            await snapshot(csi, "snap-1", volume, timeout=0.6)
        assert caught.value.code() is StatusCode.ABORTED
        go_on.set()
        await until_cut(csi, "snap-1", volume)
        assert layer.names.count("lvm.create_snapshot") == 1
        assert len((await csi.controller.ListSnapshots(pb.ListSnapshotsRequest())).entries) == 1


async def test_a_started_process_knows_its_snapshots(tmp_path: Path) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    async with one_host(tmp_path, host) as csi:
        cut = await snapshot(csi, "snap-1", await create(csi, "pvc-1", BLOCK))
    host.process_crash()
    async with one_host(tmp_path, host) as csi:
        listed = (await csi.controller.ListSnapshots(pb.ListSnapshotsRequest())).entries
        assert [entry.snapshot for entry in listed] == [cut]
        assert (await csi.controller.GetSnapshot(pb.GetSnapshotRequest(snapshot_id=cut.snapshot_id))).snapshot == cut
