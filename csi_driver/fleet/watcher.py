"""Listens to one agent for ever: hears its inventory, notices its silence, calls again with back-off."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from csi_driver.errors import DriverError, Unavailable
from csi_driver.fleet.port import AgentPort
from csi_driver.model.inventory import API_VERSION, AgentInfo, Change

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds."""

    silence: float = 15.0
    """After so long without a message (an empty one is a sign of life) the agent is asked who it is, and after as
    long again without an answer its node counts as silent."""
    first_contact: float = 5.0
    """How long a controller waits for those who say nothing before it calls itself ready."""
    shortest_pause: float = 0.2
    longest_pause: float = 3.0
    """Between two calls; the pause doubles from the one to the other."""


class Watcher:
    """One agent's listener. ``heard`` gets each message, ``lost`` the reason of each silence."""

    def __init__(
        self,
        node: str,
        port: AgentPort,
        timing: Timing,
        *,
        heard: Callable[[str, Change], None],
        lost: Callable[[str, str], None],
    ) -> None:
        self._node, self._port, self._timing = node, port, timing
        self._heard, self._lost = heard, lost
        self._pause = timing.shortest_pause

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            self._lost(self._node, await self._listen())
            # Half of the pause is drawn, so that the members of a large fleet do not all call at one moment.
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
            self._pause = min(self._pause * 2, self._timing.longest_pause)

    async def _listen(self) -> str:
        """Why one call ended."""
        stream = self._port.watch()
        try:
            await self._consume(stream)
        except TimeoutError:
            return f"nothing was heard for {self._timing.silence:g} s"
        except DriverError as error:
            return str(error) or error.kind.value
        except Exception as error:  # a watcher that died would leave its node answering for ever in our picture
            log.exception("inventory stream failed", extra={"node": self._node})
            return f"its inventory cannot be read: {type(error).__name__}"
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        return "its inventory stream ended"

    async def _consume(self, stream: AsyncIterator[Change]) -> None:
        while (change := await self._next(stream)) is not None:
            if change.info is not None:
                _check(self._node, change.info)
            elif change.full:
                raise Unavailable("its inventory does not say who it is")
            self._heard(self._node, change)
            self._pause = self._timing.shortest_pause

    async def _next(self, stream: AsyncIterator[Change]) -> Change | None:
        """The next message; None at the end. TimeoutError when the agent has fallen silent."""
        coming = asyncio.ensure_future(anext(stream, None))
        try:
            while not (await asyncio.wait({coming}, timeout=self._timing.silence))[0]:
                async with asyncio.timeout(self._timing.silence):
                    _check(self._node, await self._port.describe())
            return coming.result()
        finally:
            # The stream may not be closed while it is still being read. Its end is of no interest by then.
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _check(node: str, info: AgentInfo) -> None:
    """Raises Unavailable when the agent is not the one expected, or speaks another language."""
    if info.node != node:
        raise Unavailable(f"the agent at its address calls itself {info.node!r}")
    (major, minor), (our_major, our_minor) = info.api_version, API_VERSION
    if major != our_major or abs(minor - our_minor) > 1:
        raise Unavailable(
            f"its agent speaks version {major}.{minor} of the Agent service, this controller {our_major}.{our_minor}"
        )
