"""The CSI services on a real Unix socket over in-memory verbs: what is asked, what is answered, what is refused."""

from __future__ import annotations

import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from grpc import StatusCode
from prometheus_client import CollectorRegistry

from csi_driver.control import requests as control
from csi_driver.errors import InternalError, InvalidRequest, NotFound
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.model.ids import parse_source
from csi_driver.model.topology import Segment, Topology
from csi_driver.model.volume import Limits
from csi_driver.node import requests as node
from csi_driver.rpc.csi_server import CsiServer, remove_stale, socket_path
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.gen.csi_pb2_grpc import GroupControllerStub
from tests.unit.rpc_driver import BLOCK, MOUNT, MOUNTED, RAW, Driver, refusal, serving
from tests.unit.rpc_fakes import CUT_ID, ID


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    async with serving(tmp_path) as driver:
        yield driver


# -- Identity


async def test_who_we_are(driver: Driver) -> None:
    info = await driver.identity.GetPluginInfo(pb.GetPluginInfoRequest())
    assert info.name == "csi.clinker.io"
    assert info.vendor_version
    answer = await driver.identity.GetPluginCapabilities(pb.GetPluginCapabilitiesRequest())
    kinds = pb.PluginCapability.Service
    services = [each.service.type for each in answer.capabilities if each.HasField("service")]
    assert services == [kinds.CONTROLLER_SERVICE, kinds.VOLUME_ACCESSIBILITY_CONSTRAINTS]
    expansions = [each.volume_expansion.type for each in answer.capabilities if each.HasField("volume_expansion")]
    assert expansions == [pb.PluginCapability.VolumeExpansion.ONLINE]


async def test_probe_tells_whether_we_are_ready(driver: Driver) -> None:
    assert (await driver.identity.Probe(pb.ProbeRequest())).ready.value is True
    driver.ready = False
    answer = await driver.identity.Probe(pb.ProbeRequest())
    assert answer.HasField("ready")
    assert answer.ready.value is False


# -- Controller


async def test_a_create_request_arrives_whole(driver: Driver) -> None:
    place = {"csi.clinker.io/node": "n1"}
    answer = await driver.controls.CreateVolume(
        pb.CreateVolumeRequest(
            name="pvc-ü",
            capacity_range=pb.CapacityRange(required_bytes=5),
            volume_capabilities=[MOUNT, BLOCK],
            parameters={"pool": "fast"},
            mutable_parameters={"x": "y"},
            secrets={"k": "hush"},
            accessibility_requirements=pb.TopologyRequirement(
                requisite=[pb.Topology(segments=place)], preferred=[pb.Topology(segments=place)]
            ),
        )
    )
    assert driver.controller.asked == [
        control.CreateVolume(
            name="pvc-ü",
            capabilities=(MOUNTED, RAW),
            limits=Limits(5, None),
            parameters={"pool": "fast"},
            mutable_parameters={"x": "y"},
            topology=Topology(requisite=(Segment.of(place),), preferred=(Segment.of(place),)),
        )
    ]
    assert answer.volume.volume_id == str(ID)
    assert answer.volume.capacity_bytes == 1 << 30
    assert dict(answer.volume.volume_context) == {"pool": "fast"}
    assert not answer.volume.accessible_topology


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (pb.VolumeContentSource(snapshot=pb.VolumeContentSource.SnapshotSource(snapshot_id=str(CUT_ID))), str(CUT_ID)),
        (pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=str(ID))), str(ID)),
        (pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=str(CUT_ID))), f"?{CUT_ID}"),
    ],
)
async def test_a_content_source_arrives_and_is_told_again(
    driver: Driver, source: pb.VolumeContentSource, told: str
) -> None:
    driver.controller.view = control.VolumeView(id=str(ID), size=1, source=parse_source(told.lstrip("?")))
    request = pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT], volume_content_source=source)
    answer = await driver.controls.CreateVolume(request)
    assert driver.controller.asked == [control.CreateVolume(name="x", capabilities=(MOUNTED,), source=told)]
    if not told.startswith("?"):
        assert answer.volume.content_source == source


async def test_snapshots(driver: Driver) -> None:
    cut = await driver.controls.CreateSnapshot(
        pb.CreateSnapshotRequest(name="s", source_volume_id=str(ID), parameters={"a": "b"}, secrets={"k": "hush"})
    )
    assert (cut.snapshot.snapshot_id, cut.snapshot.source_volume_id) == (str(CUT_ID), str(ID))
    assert (cut.snapshot.size_bytes, cut.snapshot.creation_time.seconds) == (1 << 30, 1_800_000_000)
    assert cut.snapshot.ready_to_use
    listed = await driver.controls.ListSnapshots(
        pb.ListSnapshotsRequest(max_entries=2, starting_token="t", source_volume_id="v", snapshot_id="s")
    )
    assert [entry.snapshot for entry in listed.entries] == [cut.snapshot]
    assert listed.next_token == "next"
    assert (await driver.controls.GetSnapshot(pb.GetSnapshotRequest(snapshot_id="s"))).snapshot == cut.snapshot
    await driver.controls.DeleteSnapshot(pb.DeleteSnapshotRequest(snapshot_id="s"))
    assert driver.controller.asked == [
        control.CreateSnapshot(name="s", source=str(ID), parameters={"a": "b"}),
        control.ListSnapshots(maximum=2, token="t", id="s", source="v"),
        control.GetSnapshot(id="s"),
        control.DeleteSnapshot(id="s"),
    ]


@pytest.mark.parametrize(
    ("verb", "request_"),
    [
        ("CreateSnapshot", pb.CreateSnapshotRequest(source_volume_id="v")),
        ("CreateSnapshot", pb.CreateSnapshotRequest(name="s")),
        ("DeleteSnapshot", pb.DeleteSnapshotRequest()),
        ("GetSnapshot", pb.GetSnapshotRequest()),
        ("ListSnapshots", pb.ListSnapshotsRequest(max_entries=-1)),
    ],
)
async def test_what_is_missing_for_a_snapshot_is_told(driver: Driver, verb: str, request_: Message) -> None:
    code, _ = await refusal(getattr(driver.controls, verb)(request_))
    assert code is StatusCode.INVALID_ARGUMENT
    assert driver.controller.asked == []


async def test_where_a_volume_can_be_used_is_told(driver: Driver) -> None:
    driver.controller.view = control.VolumeView(id=str(ID), size=1, topology=(Segment.node("n1"),))
    answer = await driver.controls.CreateVolume(pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT]))
    assert [dict(each.segments) for each in answer.volume.accessible_topology] == [{"csi.clinker.io/node": "n1"}]


async def test_publish_and_unpublish(driver: Driver) -> None:
    answer = await driver.controls.ControllerPublishVolume(
        pb.ControllerPublishVolumeRequest(
            volume_id=str(ID), node_id="n2", volume_capability=MOUNT, readonly=True, volume_context={"pool": "fast"}
        )
    )
    assert answer.publish_context["readonly"] == "true"
    await driver.controls.ControllerUnpublishVolume(pb.ControllerUnpublishVolumeRequest(volume_id=str(ID)))
    assert driver.controller.asked == [
        control.PublishVolume(id=str(ID), node="n2", capability=MOUNTED, readonly=True, context={"pool": "fast"}),
        control.UnpublishVolume(id=str(ID), node=""),
    ]


async def test_list_get_expand_capacity_delete(driver: Driver) -> None:
    page = await driver.controls.ListVolumes(pb.ListVolumesRequest(max_entries=1, starting_token="t"))
    assert page.next_token == "next"
    assert list(page.entries[0].status.published_node_ids) == ["n2"]
    got = await driver.controls.ControllerGetVolume(pb.ControllerGetVolumeRequest(volume_id="v"))
    assert list(got.status.published_node_ids) == ["n2"]
    expand = pb.ControllerExpandVolumeRequest(volume_id="v", capacity_range=pb.CapacityRange(required_bytes=7))
    expanded = await driver.controls.ControllerExpandVolume(expand)
    assert (expanded.capacity_bytes, expanded.node_expansion_required) == (2 << 30, True)
    place = pb.Topology(segments={"csi.clinker.io/node": "n1"})
    capacity = await driver.controls.GetCapacity(pb.GetCapacityRequest(accessible_topology=place))
    assert (capacity.available_capacity, capacity.maximum_volume_size.value) == (5 << 30, 4 << 30)
    await driver.controls.DeleteVolume(pb.DeleteVolumeRequest(volume_id="v"))
    assert driver.controller.asked == [
        control.ListVolumes(maximum=1, token="t"),
        control.GetVolume(id="v"),
        control.ExpandVolume(id="v", limits=Limits(7, None)),
        control.GetCapacity(segment=Segment.node("n1")),
        control.DeleteVolume(id="v"),
    ]


async def test_what_is_confirmed_is_repeated(driver: Driver) -> None:
    asked = pb.ValidateVolumeCapabilitiesRequest(
        volume_id=str(ID), volume_capabilities=[MOUNT], parameters={"pool": "fast"}, volume_context={"a": "b"}
    )
    confirmed = (await driver.controls.ValidateVolumeCapabilities(asked)).confirmed
    assert list(confirmed.volume_capabilities) == [MOUNT]
    assert dict(confirmed.parameters) == {"pool": "fast"}
    assert dict(confirmed.volume_context) == {"a": "b"}


async def test_a_capability_that_we_do_not_know_is_not_confirmed_and_no_error(driver: Driver) -> None:
    odd = pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type="zfs"), access_mode=MOUNT.access_mode)
    asked = pb.ValidateVolumeCapabilitiesRequest(volume_id=str(ID), volume_capabilities=[odd])
    answer = await driver.controls.ValidateVolumeCapabilities(asked)
    assert not answer.HasField("confirmed")
    assert "zfs" in answer.message
    driver.controller.failure = NotFound("no such volume")
    assert (await refusal(driver.controls.ValidateVolumeCapabilities(asked)))[0] is StatusCode.NOT_FOUND


async def test_advertised_is_what_is_built(driver: Driver) -> None:
    rpc = pb.ControllerServiceCapability.RPC
    answer = await driver.controls.ControllerGetCapabilities(pb.ControllerGetCapabilitiesRequest())
    assert {rpc.Type.Name(each.rpc.type) for each in answer.capabilities} == {
        "CREATE_DELETE_VOLUME",
        "PUBLISH_UNPUBLISH_VOLUME",
        "LIST_VOLUMES",
        "LIST_VOLUMES_PUBLISHED_NODES",
        "GET_CAPACITY",
        "EXPAND_VOLUME",
        "GET_VOLUME",
        "SINGLE_NODE_MULTI_WRITER",
        "PUBLISH_READONLY",
        "CREATE_DELETE_SNAPSHOT",
        "LIST_SNAPSHOTS",
        "GET_SNAPSHOT",
        "CLONE_VOLUME",
    }
    node_rpc = pb.NodeServiceCapability.RPC
    nodes = await driver.nodes.NodeGetCapabilities(pb.NodeGetCapabilitiesRequest())
    assert {node_rpc.Type.Name(each.rpc.type) for each in nodes.capabilities} == {
        "STAGE_UNSTAGE_VOLUME",
        "GET_VOLUME_STATS",
        "EXPAND_VOLUME",
        "SINGLE_NODE_MULTI_WRITER",
    }


async def test_what_is_not_built_is_unimplemented_in_words(driver: Driver) -> None:
    code, words = await refusal(driver.controls.ControllerModifyVolume(pb.ControllerModifyVolumeRequest(volume_id="v")))
    assert code is StatusCode.UNIMPLEMENTED
    assert words
    group = GroupControllerStub(driver.channel)
    code, _ = await refusal(group.GroupControllerGetCapabilities(pb.GroupControllerGetCapabilitiesRequest()))
    assert code is StatusCode.UNIMPLEMENTED


# -- Node


async def test_a_node_s_verbs(driver: Driver) -> None:
    context = {"transport": "local"}
    await driver.nodes.NodeStageVolume(
        pb.NodeStageVolumeRequest(
            volume_id="v", staging_target_path="/s", volume_capability=MOUNT, publish_context=context
        )
    )
    await driver.nodes.NodePublishVolume(
        pb.NodePublishVolumeRequest(volume_id="v", target_path="/t", volume_capability=BLOCK, readonly=True)
    )
    await driver.nodes.NodeUnpublishVolume(pb.NodeUnpublishVolumeRequest(volume_id="v", target_path="/t"))
    await driver.nodes.NodeUnstageVolume(pb.NodeUnstageVolumeRequest(volume_id="v", staging_target_path="/s"))
    expand = pb.NodeExpandVolumeRequest(volume_id="v", volume_path="/t", staging_target_path="/s")
    assert (await driver.nodes.NodeExpandVolume(expand)).capacity_bytes == 2 << 30
    assert driver.node.asked == [
        node.StageRequest(volume="v", staging_path="/s", capability=MOUNTED, publish_context=context),
        node.BindRequest(volume="v", staging_path="", target_path="/t", capability=RAW, readonly=True),
        node.UnbindRequest(volume="v", target_path="/t"),
        node.UnstageRequest(volume="v", staging_path="/s"),
        node.ExpandRequest(volume="v", volume_path="/t", staging_path="/s"),
    ]


async def test_stats_of_a_file_system_and_of_a_block_volume(driver: Driver) -> None:
    asked = pb.NodeGetVolumeStatsRequest(volume_id="v", volume_path="/t")
    usage = (await driver.nodes.NodeGetVolumeStats(asked)).usage
    assert [(each.unit, each.total, each.used, each.available) for each in usage] == [
        (pb.VolumeUsage.BYTES, 100, 40, 60),
        (pb.VolumeUsage.INODES, 10, 4, 6),
    ]
    driver.node.stats_answer = node.VolumeStats(bytes=node.Bytes(total=100))
    usage = (await driver.nodes.NodeGetVolumeStats(asked)).usage
    assert [(each.unit, each.total, each.used) for each in usage] == [(pb.VolumeUsage.BYTES, 100, 0)]


async def test_which_node_this_is(driver: Driver) -> None:
    answer = await driver.nodes.NodeGetInfo(pb.NodeGetInfoRequest())
    assert answer.node_id == "n1"
    assert dict(answer.accessible_topology.segments) == {"csi.clinker.io/node": "n1"}


# -- errors, logs, metrics


async def test_an_error_is_told_by_its_code_and_words(driver: Driver) -> None:
    driver.controller.failure = NotFound("there is no volume v")
    call = driver.controls.ControllerGetVolume(pb.ControllerGetVolumeRequest(volume_id="v"))
    assert await refusal(call) == (StatusCode.NOT_FOUND, "there is no volume v")


async def test_a_bug_is_told_in_the_log_alone(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    driver.controller.failure = ZeroDivisionError("private words")
    call = driver.controls.DeleteVolume(pb.DeleteVolumeRequest(volume_id="v"))
    assert await refusal(call) == (StatusCode.INTERNAL, "internal error, see the log")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "private words" in caplog.text


async def test_each_request_is_logged_once_without_secrets(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "csi_driver")
    await driver.controls.DeleteVolume(pb.DeleteVolumeRequest(volume_id="v", secrets={"k": "hush"}))
    await driver.identity.Probe(pb.ProbeRequest())
    lines = [(each.levelname, vars(each)["rpc"], vars(each)["request"]) for each in caplog.records]
    assert lines == [("INFO", "DeleteVolume", {"volume_id": "v", "secrets": "***"}), ("DEBUG", "Probe", {})]


async def test_answers_are_counted_by_method_and_code(driver: Driver) -> None:
    await driver.identity.Probe(pb.ProbeRequest())
    await refusal(driver.controls.DeleteVolume(pb.DeleteVolumeRequest()))

    def count(service: str, method: str, code: str) -> float | None:
        labels = {"service": f"csi.v1.{service}", "method": method, "code": code}
        return driver.registry.get_sample_value("clinker_rpc_seconds_count", labels)

    assert count("Identity", "Probe", "OK") == 1
    assert count("Controller", "DeleteVolume", "INVALID_ARGUMENT") == 1


# -- the socket


async def test_the_socket_replaces_a_stale_one_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    before = os.umask(0o077)
    server = CsiServer(str(path), RpcMetrics(CollectorRegistry()), ready=lambda: True)
    try:
        await server.start()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    await server.stop(grace=0)


async def test_a_served_socket_is_not_taken_over(driver: Driver) -> None:
    second = CsiServer(f"unix:{driver.path}", RpcMetrics(CollectorRegistry()), ready=lambda: True)
    with pytest.raises(InvalidRequest, match="another process serves"):
        await second.start()
    assert (await driver.identity.Probe(pb.ProbeRequest())).ready.value


async def test_what_is_not_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    path.write_text("mine")
    with pytest.raises(InvalidRequest, match="left alone"):
        remove_stale(path)
    assert path.read_text() == "mine"


async def test_a_socket_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server = CsiServer(f"unix:{tmp_path}/file/csi.sock", RpcMetrics(CollectorRegistry()), ready=lambda: True)
    with pytest.raises(InternalError, match="no socket can be made"):
        await server.start()


@pytest.mark.parametrize("endpoint", ["unix:///run/x/csi.sock", "unix:/run/x/csi.sock", "/run/x/csi.sock"])
def test_every_spelling_of_an_endpoint(endpoint: str) -> None:
    assert socket_path(endpoint) == Path("/run/x/csi.sock")


@pytest.mark.parametrize("endpoint", ["", "tcp://1.2.3.4:5", "unix://", "csi.sock", "unix:csi.sock", "/" + "x" * 107])
def test_what_is_no_endpoint(endpoint: str) -> None:
    with pytest.raises(InvalidRequest, match="endpoint"):
        socket_path(endpoint)
