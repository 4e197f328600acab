import pytest
from google.protobuf.message import Message

from csi_driver.errors import InvalidRequest
from csi_driver.rpc import limits
from csi_driver.rpc.gen import csi_pb2 as pb

LONG_MOUNT = pb.VolumeCapability.MountVolume(mount_flags=["x" * 100] * 41)
TOO_LARGE = {
    "name": pb.CreateVolumeRequest(name="n" * 129),
    "volume_id": pb.DeleteVolumeRequest(volume_id="ü" * 65),
    "node_id": pb.ControllerPublishVolumeRequest(node_id="n" * 257),
    "parameters": pb.CreateVolumeRequest(parameters={str(n): "v" * 100 for n in range(41)}),
    "staging_target_path": pb.NodeStageVolumeRequest(staging_target_path="/" * 4097),
    "fs_type": pb.NodeStageVolumeRequest(
        volume_capability=pb.VolumeCapability(mount=pb.VolumeCapability.MountVolume(fs_type="f" * 129))
    ),
    "mount_flags": pb.CreateVolumeRequest(volume_capabilities=[pb.VolumeCapability(mount=LONG_MOUNT)]),
    "segments": pb.CreateVolumeRequest(
        accessibility_requirements=pb.TopologyRequirement(requisite=[pb.Topology(segments={"k": "v" * 4096})])
    ),
}
AS_LARGE_AS_MAY_BE = [
    pb.CreateVolumeRequest(name="n" * 128, parameters={"k" * 96: "v" * 4000}),
    pb.ControllerPublishVolumeRequest(node_id="n" * 256, readonly=True),
    pb.NodePublishVolumeRequest(target_path="/" * 4096, staging_target_path="/" * 4096),
    pb.NodeExpandVolumeRequest(volume_path="/" * 4096, capacity_range=pb.CapacityRange(required_bytes=1 << 60)),
]


@pytest.mark.parametrize(("field", "message"), TOO_LARGE.items(), ids=list(TOO_LARGE))
def test_a_field_that_is_too_large_is_named(field: str, message: Message) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field} has"):
        limits.check(message)


@pytest.mark.parametrize("message", AS_LARGE_AS_MAY_BE)
def test_the_limits_themselves_are_allowed(message: Message) -> None:
    limits.check(message)
