"""The one place that every RPC passes: deadline, checks, errors to statuses, one log line, metrics.

Handlers own no change to the world: a cancelled RPC ends a wait and nothing else (DESIGN 2, jobs).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message
from grpc import StatusCode, aio

from csi_driver.errors import DriverError, InternalError
from csi_driver.kit import deadline
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc import statuses
from csi_driver.rpc.redact import redact

log = logging.getLogger(__name__)
T = TypeVar("T")

KIND_KEY = "clinker-kind"
"""Trailing metadata of the Agent service: the exact kind of an error."""
_LOOKS = re.compile(r"(Controller|GroupController|Node)?(Get|List)|Probe|Validate|Describe|Watch|Find|Publications")

Context = aio.ServicerContext[Any, Any]
Check = Callable[[Message, Context], None]
"""Raises a DriverError when the request may not be answered."""
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"  # generic in the stubs only


@dataclass(frozen=True, slots=True)
class _Method:
    """One method by name; ``looks`` is true when it changes nothing, which makes its log line a debug one."""

    service: str
    name: str
    looks: bool

    @classmethod
    def parse(cls, path: str) -> _Method:
        """From ``/csi.v1.Node/NodeStageVolume``."""
        service, _, name = path.strip("/").rpartition("/")
        return cls(service, name, _LOOKS.match(name) is not None)


class Interceptor(aio.ServerInterceptor):
    """For every server of this driver.

    ``checks`` run in order before each handler. ``tells_kind`` adds the kind of an error as trailing metadata, for
    callers that are ours. CSI callers get none: "status.details MUST be empty", and nothing else is specified.
    """

    def __init__(self, metrics: RpcMetrics, *, checks: tuple[Check, ...] = (), tells_kind: bool = False) -> None:
        self._metrics, self._checks, self._tells_kind = metrics, checks, tells_kind

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """The handler wrapped; None, for gRPC's own UNIMPLEMENTED, when there is no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = _Method.parse(handler_call_details.method)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, method: _Method, behaviour: Any) -> Callable[[Message, Context], Awaitable[Message]]:
        async def answer(request: Message, context: Context) -> Message:
            done: Message = await self._guard(method, request, context, lambda: behaviour(request, context))
            return done

        return answer

    def _stream(self, method: _Method, behaviour: Any) -> Callable[[Message, Context], Awaitable[None]]:
        async def answer(request: Message, context: Context) -> None:
            async def send() -> None:
                messages: AsyncGenerator[Message, None] = behaviour(request, context)
                async with aclosing(messages):
                    async for message in messages:
                        await context.write(message)

            await self._guard(method, request, context, send)

        return answer

    async def _guard(self, method: _Method, request: Message, context: Context, act: Callable[[], Awaitable[T]]) -> T:
        started = time.monotonic()
        try:
            with deadline.expires_in(context.time_remaining()):
                for check in self._checks:
                    check(request, context)
                result = await act()
        except aio.AbortError:
            raise
        except DriverError as error:
            failure, bug = error, None
        except Exception as error:  # noqa: BLE001  # one of two such places: a bug's text is for the log alone
            failure, bug = InternalError("internal error, see the log"), error
        except BaseException:
            self._answered(method, request, StatusCode.CANCELLED, started=started)
            raise
        else:
            self._answered(method, request, StatusCode.OK, started=started)
            return result
        self._answered(method, request, statuses.code_of(failure), started=started, error=bug or failure)
        trailing = ((KIND_KEY, failure.kind.value),) if self._tells_kind else ()
        return await context.abort(statuses.code_of(failure), statuses.message_of(failure), trailing)

    def _answered(
        self,
        method: _Method,
        request: Message,
        code: StatusCode,
        *,
        started: float,
        error: BaseException | None = None,
    ) -> None:
        seconds = time.monotonic() - started
        self._metrics.answered(method.service, method.name, code=code.name, seconds=seconds)
        internal = code is StatusCode.INTERNAL
        quiet = method.looks and code in (StatusCode.OK, StatusCode.CANCELLED)
        level = logging.ERROR if internal else logging.DEBUG if quiet else logging.INFO
        if not log.isEnabledFor(level):
            return
        extra = {"rpc": method.name, "code": code.name, "seconds": round(seconds, 3), "request": redact(request)}
        if error is not None:
            extra["error"] = str(error)
        log.log(level, "rpc", extra=extra, exc_info=error if internal else None)
