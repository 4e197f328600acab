"""The connection to one agent, and when it must be made anew."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from grpc import aio

from csi_driver.errors import InvalidRequest
from csi_driver.rpc import tls
from csi_driver.rpc.peers import agent_dns
from csi_driver.settings import TlsSettings

log = logging.getLogger(__name__)

MEBI = 1024 * 1024


NOTICE = 8.0
"""Seconds within which a host that answers nothing any more is given up, and with it every call to it."""


def channel_options(node: str, notice: float) -> tuple[tuple[str, int | str], ...]:
    """Of a channel to the agent of ``node`` that gives up a silent host within ``notice`` seconds."""
    idle, answer = int(notice * 625), int(notice * 375)  # milliseconds before a ping, and for its answer
    return (
        ("grpc.ssl_target_name_override", agent_dns(node)),
        ("grpc.default_authority", agent_dns(node)),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", idle),
        ("grpc.keepalive_timeout_ms", answer),
        ("grpc.http2.ping_timeout_ms", answer),  # without it a ping that nobody answers is waited for a minute
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 300),
        ("grpc.min_reconnect_backoff_ms", 3_000),  # also the time limit of one attempt
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A full inventory of 50,000 volumes of up to 1 KiB must pass.
        ("grpc.max_receive_message_length", 64 * MEBI),
    )


class Link(Protocol):
    """The way to one agent."""

    async def channel(self) -> aio.Channel:
        """The channel for the next call, to that agent and nobody else. Raises a DriverError when there is none."""
        ...

    def doubt(self) -> None:
        """A call did not get through."""
        ...

    async def close(self) -> None:
        """End every call."""
        ...


class AgentLink:
    """A channel to the agent of ``node`` that insists on that node's certificate.

    When our own certificate files change there is a new channel; the old one lives ``linger`` seconds on, for
    the calls that run on it.
    """

    def __init__(self, node: str, address: str, settings: TlsSettings, *, linger: float, notice: float) -> None:
        self._options, self._address, self._tls, self._linger = channel_options(node, notice), address, settings, linger
        self._stamp: tls.Stamp | None = None
        self._channel: aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def channel(self) -> aio.Channel:
        """The channel for the next call. InvalidRequest when there never were certificates to be read."""
        try:
            now = tls.stamp(self._tls)
            if self._channel is None or now != self._stamp:
                self._replace(now)
        except InvalidRequest as error:
            if self._channel is None:
                raise
            log.warning("certificates could not be read again", extra={"error": str(error)})
        assert self._channel is not None  # noqa: S101  # made by _replace, or there before
        return self._channel

    def doubt(self) -> None:
        """Nothing to do: a new certificate of the CA for that node is as good as the old one."""

    async def close(self) -> None:
        """End every call."""
        for task in tuple(self._closing):
            task.cancel()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _replace(self, now: tls.Stamp) -> None:
        fresh = aio.secure_channel(self._address, tls.channel_credentials(self._tls), options=self._options)
        if self._channel is not None:
            task = asyncio.create_task(self._channel.close(self._linger))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._channel, self._stamp = fresh, now
