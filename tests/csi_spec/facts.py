"""States a proto file as sorted lines of text, one for each thing that the wire depends on."""

from collections.abc import Iterable, Iterator
from typing import cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

# Says something to one language's generator and nothing about the wire.
IGNORED_OPTIONS = frozenset({"go_package"})


def facts(encoded: bytes) -> list[str]:
    """The lines for a serialized FileDescriptorProto; comments and order leave no trace."""
    file = _parse(encoded)
    scope = f".{file.package}"
    return sorted(
        [
            f"syntax {file.syntax}",
            f"package {file.package}{_options(file.options)}",
            *(f"import {name}" for name in file.dependency),
            *(f"extend {field.extendee} {_field(field)}" for field in file.extension),
            *_enums(scope, file.enum_type),
            *_messages(scope, file.message_type),
            *_services(file.service),
        ]
    )


def _parse(encoded: bytes) -> descriptor_pb2.FileDescriptorProto:
    """Reads it with a class that knows no extensions: every custom option stays a number."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    bare = pool.FindMessageTypeByName("google.protobuf.FileDescriptorProto")
    parsed = message_factory.GetMessageClass(bare).FromString(encoded)
    return cast(descriptor_pb2.FileDescriptorProto, parsed)


def _messages(scope: str, messages: Iterable[descriptor_pb2.DescriptorProto]) -> Iterator[str]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield f"message {name}{_options(message.options)}"
        yield from (f"{name} reserves {r.start} to {r.end - 1}" for r in message.reserved_range)
        yield from (f"{name} reserves {reserved}" for reserved in message.reserved_name)
        for field in message.field:
            yield f"{name}.{_field(field)}{_choice(message, field)}"
        yield from _enums(name, message.enum_type)
        yield from _messages(name, message.nested_type)


def _field(field: descriptor_pb2.FieldDescriptorProto) -> str:
    label = descriptor_pb2.FieldDescriptorProto.Label.Name(field.label)
    kind = descriptor_pb2.FieldDescriptorProto.Type.Name(field.type)
    presence = " with presence" if field.proto3_optional else ""
    line = f"{field.name} = {field.number} {label} {kind} {field.type_name}".rstrip()
    return f"{line}{presence}{_options(field.options)}"


def _choice(message: descriptor_pb2.DescriptorProto, field: descriptor_pb2.FieldDescriptorProto) -> str:
    if not field.HasField("oneof_index"):
        return ""
    return f" in oneof {message.oneof_decl[field.oneof_index].name}"


def _enums(scope: str, enums: Iterable[descriptor_pb2.EnumDescriptorProto]) -> Iterator[str]:
    for enum in enums:
        name = f"{scope}.{enum.name}"
        yield f"enum {name}{_options(enum.options)}"
        yield from (f"{name} reserves {r.start} to {r.end}" for r in enum.reserved_range)
        yield from (f"{name} reserves {reserved}" for reserved in enum.reserved_name)
        for value in enum.value:
            yield f"{name}.{value.name} = {value.number}{_options(value.options)}"


def _services(services: Iterable[descriptor_pb2.ServiceDescriptorProto]) -> Iterator[str]:
    for service in services:
        yield f"service {service.name}{_options(service.options)}"
        for method in service.method:
            takes = f"{'stream ' * method.client_streaming}{method.input_type}"
            gives = f"{'stream ' * method.server_streaming}{method.output_type}"
            yield f"{service.name}.{method.name}({takes}) -> {gives}{_options(method.options)}"


def _options(options: Message) -> str:
    """Known options by name, custom ones by number."""
    known = ((field.name, value) for field, value in options.ListFields())
    unknown = UnknownFieldSet(options)
    custom = ((str(unknown[n].field_number), unknown[n].data) for n in range(len(unknown)))
    named = (f"{name}={value}" for name, value in (*known, *custom) if name not in IGNORED_OPTIONS)
    listed = ", ".join(sorted(named))
    return f" [{listed}]" if listed else ""
