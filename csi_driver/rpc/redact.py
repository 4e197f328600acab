"""Requests as log text, without what must not be read.

Left out are fields that carry the CSI option ``csi_secret`` or the Agent service's ``agent_secret``, and mount flags,
which may hold something private as well (csi.proto, MountVolume).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from csi_driver.rpc.gen import agent_pb2, csi_pb2

STRIPPED = "***"
_PRIVATE_NAMES = frozenset({"csi.v1.VolumeCapability.MountVolume.mount_flags"})


def redact(message: Message) -> dict[str, object]:
    """The fields that are set, by name, with every secret replaced."""
    return {field.name: _shown(field, value) for field, value in message.ListFields()}


def is_secret(field: FieldDescriptor) -> bool:
    """Whether the field's content must not be seen."""
    options = field.GetOptions()
    return (
        options.Extensions[csi_pb2.csi_secret]
        or options.Extensions[agent_pb2.agent_secret]
        or field.full_name in _PRIVATE_NAMES
    )


def _shown(field: FieldDescriptor, value: object) -> object:
    if is_secret(field):
        return STRIPPED
    if isinstance(value, Message):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: redact(item) if isinstance(item, Message) else item for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [redact(item) if isinstance(item, Message) else item for item in value]
    return value
