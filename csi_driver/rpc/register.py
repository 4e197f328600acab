"""A servicer's methods as handlers, by the service's descriptor.

Only what the servicer has is registered: gRPC itself answers UNIMPLEMENTED for the rest, so that no method exists
that pretends to be offered.
"""

from __future__ import annotations

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


def handler(service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
    """A handler for those methods of ``service`` that ``servicer`` has under the same name.

    Raises ValueError when it has a public method that the service does not know: a slip of the pen.
    """
    names = {name for name in dir(servicer) if name[0].isupper()}
    if unknown := sorted(names - set(service.methods_by_name)):
        raise ValueError(f"{service.full_name} has no method {unknown[0]}")
    methods = {name: _method(service.methods_by_name[name], servicer) for name in sorted(names)}
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def _method(method: MethodDescriptor, servicer: object) -> grpc.RpcMethodHandler[Message, Message]:
    make = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
    return make(
        getattr(servicer, method.name),
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=_serialize,
    )


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
