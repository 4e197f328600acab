from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from csi_driver.rpc.gen import agent_pb2, csi_pb2
from csi_driver.rpc.redact import is_secret, redact


def every_field() -> Iterator[FieldDescriptor]:
    for module in (agent_pb2, csi_pb2):
        for message in module.DESCRIPTOR.message_types_by_name.values():
            yield from _fields(message)


def _fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from _fields(nested)


def test_every_field_that_is_called_secret_is_one() -> None:
    called = {field.full_name for field in every_field() if field.name in ("secret", "secrets")}
    assert called
    assert called <= {field.full_name for field in every_field() if is_secret(field)}


@pytest.mark.parametrize("message", [agent_pb2.Publication(secret="hush"), agent_pb2.Attachment(secret="hush")])
def test_a_chap_secret_does_not_reach_the_log(message: agent_pb2.Publication) -> None:
    assert redact(message) == {"secret": "***"}


def test_secrets_and_mount_flags_do_not_reach_the_log() -> None:
    mount = csi_pb2.VolumeCapability.MountVolume(fs_type="ext4", mount_flags=["context=hush"])
    request = csi_pb2.CreateVolumeRequest(
        name="pvc-1",
        secrets={"password": "hush"},
        parameters={"pool": "fast"},
        volume_capabilities=[csi_pb2.VolumeCapability(mount=mount)],
        capacity_range=csi_pb2.CapacityRange(required_bytes=5),
    )
    shown = redact(request)
    assert "hush" not in str(shown)
    assert shown["name"] == "pvc-1"
    assert shown["parameters"] == {"pool": "fast"}
    assert shown["capacity_range"] == {"required_bytes": 5}
    assert shown["volume_capabilities"] == [{"mount": {"fs_type": "ext4", "mount_flags": "***"}}]
