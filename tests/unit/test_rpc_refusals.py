"""What is refused before any verb is asked: each error names the field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from csi_driver.rpc.gen import csi_pb2 as pb
from tests.unit.rpc_driver import MOUNT, Driver, Mode, refusal, serving


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    async with serving(tmp_path) as driver:
        yield driver


NO_MODE = pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume())
NO_TYPE = pb.VolumeCapability(access_mode=MOUNT.access_mode)
ODD_MODE = pb.VolumeCapability(block=pb.VolumeCapability.BlockVolume(), access_mode=Mode(mode=99))  # type: ignore[arg-type]
GROUP = pb.VolumeCapability(
    mount=pb.VolumeCapability.MountVolume(volume_mount_group="5"), access_mode=MOUNT.access_mode
)
RANGE = pb.CapacityRange

CONTROLLER_REFUSALS: list[tuple[str, str, Message]] = [
    ("name is missing", "CreateVolume", pb.CreateVolumeRequest(volume_capabilities=[MOUNT])),
    ("volume_capabilities are missing", "CreateVolume", pb.CreateVolumeRequest(name="x")),
    ("U+0007", "CreateVolume", pb.CreateVolumeRequest(name="x\a", volume_capabilities=[MOUNT])),
    ("access_mode", "CreateVolume", pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT, NO_MODE])),
    ("access_type", "CreateVolume", pb.CreateVolumeRequest(name="x", volume_capabilities=[NO_TYPE])),
    ("access mode 99", "CreateVolume", pb.CreateVolumeRequest(name="x", volume_capabilities=[ODD_MODE])),
    ("volume_mount_group", "CreateVolume", pb.CreateVolumeRequest(name="x", volume_capabilities=[GROUP])),
    ("name has 129", "CreateVolume", pb.CreateVolumeRequest(name="x" * 129, volume_capabilities=[MOUNT])),
    (
        "negative",
        "CreateVolume",
        pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT], capacity_range=RANGE(required_bytes=-1)),
    ),
    (
        "below required",
        "CreateVolume",
        pb.CreateVolumeRequest(
            name="x", volume_capabilities=[MOUNT], capacity_range=RANGE(required_bytes=2, limit_bytes=1)
        ),
    ),
    (
        "volume_content_source",
        "CreateVolume",
        pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT], volume_content_source=pb.VolumeContentSource()),
    ),
    ("volume_id is missing", "DeleteVolume", pb.DeleteVolumeRequest()),
    (
        "volume_id is missing",
        "ControllerPublishVolume",
        pb.ControllerPublishVolumeRequest(node_id="n", volume_capability=MOUNT),
    ),
    (
        "node_id is missing",
        "ControllerPublishVolume",
        pb.ControllerPublishVolumeRequest(volume_id="v", volume_capability=MOUNT),
    ),
    (
        "volume_capability is missing",
        "ControllerPublishVolume",
        pb.ControllerPublishVolumeRequest(volume_id="v", node_id="n"),
    ),
    ("volume_id is missing", "ControllerUnpublishVolume", pb.ControllerUnpublishVolumeRequest(node_id="n")),
    (
        "volume_id is missing",
        "ValidateVolumeCapabilities",
        pb.ValidateVolumeCapabilitiesRequest(volume_capabilities=[MOUNT]),
    ),
    (
        "volume_capabilities are missing",
        "ValidateVolumeCapabilities",
        pb.ValidateVolumeCapabilitiesRequest(volume_id="v"),
    ),
    ("max_entries", "ListVolumes", pb.ListVolumesRequest(max_entries=-1)),
    (
        "volume_id is missing",
        "ControllerExpandVolume",
        pb.ControllerExpandVolumeRequest(capacity_range=RANGE(required_bytes=1)),
    ),
    ("capacity_range is missing", "ControllerExpandVolume", pb.ControllerExpandVolumeRequest(volume_id="v")),
    ("volume_id is missing", "ControllerGetVolume", pb.ControllerGetVolumeRequest()),
]
NODE_REFUSALS = {
    ("NodeStageVolume", "volume_id"): pb.NodeStageVolumeRequest(staging_target_path="/s", volume_capability=MOUNT),
    ("NodeStageVolume", "staging_target_path"): pb.NodeStageVolumeRequest(volume_id="v", volume_capability=MOUNT),
    ("NodeStageVolume", "volume_capability"): pb.NodeStageVolumeRequest(volume_id="v", staging_target_path="/s"),
    ("NodeUnstageVolume", "volume_id"): pb.NodeUnstageVolumeRequest(staging_target_path="/s"),
    ("NodeUnstageVolume", "staging_target_path"): pb.NodeUnstageVolumeRequest(volume_id="v"),
    ("NodePublishVolume", "volume_id"): pb.NodePublishVolumeRequest(target_path="/t", volume_capability=MOUNT),
    ("NodePublishVolume", "target_path"): pb.NodePublishVolumeRequest(volume_id="v", volume_capability=MOUNT),
    ("NodePublishVolume", "volume_capability"): pb.NodePublishVolumeRequest(volume_id="v", target_path="/t"),
    ("NodeUnpublishVolume", "volume_id"): pb.NodeUnpublishVolumeRequest(target_path="/t"),
    ("NodeUnpublishVolume", "target_path"): pb.NodeUnpublishVolumeRequest(volume_id="v"),
    ("NodeGetVolumeStats", "volume_id"): pb.NodeGetVolumeStatsRequest(volume_path="/p"),
    ("NodeGetVolumeStats", "volume_path"): pb.NodeGetVolumeStatsRequest(volume_id="v"),
    ("NodeExpandVolume", "volume_id"): pb.NodeExpandVolumeRequest(volume_path="/p"),
    ("NodeExpandVolume", "volume_path"): pb.NodeExpandVolumeRequest(volume_id="v"),
}


@pytest.mark.parametrize(("words", "method", "message"), CONTROLLER_REFUSALS)
async def test_the_controller_refuses_naming_the_field(
    driver: Driver, words: str, method: str, message: Message
) -> None:
    code, told = await refusal(getattr(driver.controls, method)(message))
    assert code is StatusCode.INVALID_ARGUMENT
    assert words in told
    assert driver.controller.asked == []


@pytest.mark.parametrize(("where", "message"), NODE_REFUSALS.items(), ids=str)
async def test_the_node_refuses_naming_the_field(driver: Driver, where: tuple[str, str], message: Message) -> None:
    method, field = where
    code, told = await refusal(getattr(driver.nodes, method)(message))
    assert code is StatusCode.INVALID_ARGUMENT
    assert told == f"{field} is missing"
    assert driver.node.asked == []
