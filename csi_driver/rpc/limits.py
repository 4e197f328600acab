"""The size limits of the CSI spec, held for every request alike (csi.md 1.1, "Sizes")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from csi_driver.errors import InvalidRequest

STRING_LIMIT = 128
MAP_LIMIT = 4096
"""Of the keys and values of one map together; also of all ``mount_flags`` of one capability."""
_LONGER = {
    "node_id": 256,
    "staging_target_path": 4096,  # PATH_MAX of Linux: kubelet's paths are regularly longer than 128
    "target_path": 4096,
    "volume_path": 4096,
}


def check(message: Message) -> None:
    """Raise InvalidRequest naming the first field of ``message``, however deep, that is larger than may be."""
    for field, value in message.ListFields():
        _check_field(field, value)


def _check_field(field: FieldDescriptor, value: object) -> None:
    if isinstance(value, str):
        _check_size(field, len(value.encode()), _LONGER.get(field.name, STRING_LIMIT))
    elif isinstance(value, Message):
        check(value)
    elif isinstance(value, Mapping):
        texts = [text for pair in value.items() for text in pair if isinstance(text, str)]
        _check_size(field, sum(len(text.encode()) for text in texts), MAP_LIMIT)
    elif isinstance(value, Iterable) and not isinstance(value, bytes):
        _check_list(field, list(value))


def _check_list(field: FieldDescriptor, items: list[object]) -> None:
    texts = [item for item in items if isinstance(item, str)]
    _check_size(field, sum(len(text.encode()) for text in texts), MAP_LIMIT)
    for item in items:
        if isinstance(item, Message):
            check(item)


def _check_size(field: FieldDescriptor, size: int, limit: int) -> None:
    if size > limit:
        raise InvalidRequest(f"{field.name} has {size} bytes; at most {limit} are allowed")
