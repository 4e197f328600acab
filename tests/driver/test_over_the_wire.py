"""Processes as ``wiring`` puts them together, over simulated hosts and real sockets: CSI in, mTLS between them."""

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

GIB = 1 << 30


async def create(csi: Csi, capability: pb.VolumeCapability, name: str = "pvc-1", timeout: float = 10) -> pb.Volume:
    request = pb.CreateVolumeRequest(
        name=name, volume_capabilities=[capability], capacity_range=pb.CapacityRange(required_bytes=GIB)
    )
    return (await csi.controller.CreateVolume(request, timeout=timeout)).volume


@pytest.mark.parametrize("capability", [MOUNT, BLOCK], ids=["mount", "block"])
async def test_a_life_on_one_host(tmp_path: Path, capability: pb.VolumeCapability) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    async with one_host(tmp_path, host) as csi:
        volume = await create(csi, capability)
        walk = Walk(csi, csi, "n1", volume, capability)
        await walk.there(host)
        stats = pb.NodeGetVolumeStatsRequest(volume_id=volume.volume_id, volume_path=walk.target)
        assert (await csi.node.NodeGetVolumeStats(stats)).usage[0].total == GIB
        listed = (await csi.controller.ListVolumes(pb.ListVolumesRequest())).entries
        assert [list(entry.status.published_node_ids) for entry in listed] == [["n1"]]
        larger = pb.CapacityRange(required_bytes=2 * GIB)
        expand = pb.ControllerExpandVolumeRequest(volume_id=volume.volume_id, capacity_range=larger)
        assert (await csi.controller.ControllerExpandVolume(expand)).capacity_bytes == 2 * GIB
        grow = pb.NodeExpandVolumeRequest(
            volume_id=volume.volume_id, volume_path=walk.target, staging_target_path=walk.staging
        )
        assert (await csi.node.NodeExpandVolume(grow)).capacity_bytes == 2 * GIB
        await walk.back()
        await csi.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume.volume_id))
    assert host.leftovers() == ()


async def test_a_life_over_the_network(tmp_path: Path) -> None:
    network = SimNetwork()
    storage, consumer = SimHost("n1", network), SimHost("n2", network)
    storage.add_group("vg0", thin_pool="thin0")
    async with cluster(tmp_path, storage, consumer) as made:
        volume = await create(made.controller, MOUNT)
        walk = Walk(made.controller, made.nodes["n2"], "n2", volume, MOUNT)
        context = await walk.there(consumer)
        assert context["transport"] == "iscsi"
        (session,) = consumer.machine.sessions
        assert session.iqn.endswith(volume.volume_id)
        await consumer.write(f"{walk.target}/file", b"data")
        await walk.back()
        there = Walk(made.controller, made.nodes["n1"], "n1", volume, MOUNT)
        assert (await there.there(storage))["transport"] == "local"
        assert await storage.read(f"{there.target}/file", 4) == b"data"
        await there.back()
        await made.controller.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume.volume_id))
    assert storage.leftovers() == ()
    assert consumer.leftovers() == ()


async def test_what_goes_on_after_a_deadline_is_joined_by_the_retry(tmp_path: Path) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    go_on = asyncio.Event()
    async with one_host(tmp_path, host) as csi:
        host.effects.layer = layer = DelayAt(1, go_on)
        with pytest.raises(aio.AioRpcError) as caught:
            await create(csi, MOUNT, timeout=0.6)
        assert caught.value.code() is StatusCode.ABORTED  # told before the caller gave up
        go_on.set()
        volume = await create(csi, MOUNT)
        assert layer.names.count("lvm.create_thin") == 1
        assert (await create(csi, MOUNT)).volume_id == volume.volume_id


async def test_a_caller_who_hangs_up_ends_no_work(tmp_path: Path) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    go_on = asyncio.Event()
    async with one_host(tmp_path, host) as csi:
        host.effects.layer = layer = DelayAt(1, go_on)
        call = asyncio.ensure_future(create(csi, MOUNT))
        await layer.reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go_on.set()
        await create(csi, MOUNT)
        assert layer.names.count("lvm.create_thin") == 1


async def test_a_process_that_stops_lets_its_jobs_end(tmp_path: Path) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    go_on = asyncio.Event()
    async with one_host(tmp_path, host) as csi:
        host.effects.layer = layer = DelayAt(1, go_on)
        with pytest.raises(aio.AioRpcError):
            await create(csi, MOUNT, timeout=0.4)
        asyncio.get_running_loop().call_later(0.1, go_on.set)
    assert "formatter.make" in layer.names  # the claim was finished while everything was being closed


async def test_a_started_process_knows_what_was_published(tmp_path: Path) -> None:
    host = SimHost("n1")
    host.add_group("vg0", thin_pool="thin0")
    async with one_host(tmp_path, host) as csi:
        volume = await create(csi, MOUNT)
        walk = Walk(csi, csi, "n1", volume, MOUNT)
        await walk.there(host)
    host.process_crash()
    async with one_host(tmp_path, host) as csi:
        refused = csi.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume.volume_id))
        with pytest.raises(aio.AioRpcError) as caught:
            await refused
        assert caught.value.code() is StatusCode.FAILED_PRECONDITION
        await Walk(csi, csi, "n1", volume, MOUNT).back()
        await csi.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=volume.volume_id))
    assert host.leftovers() == ()
