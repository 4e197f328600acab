"""A loss of power in the middle of what a process does."""

from __future__ import annotations

from contextlib import suppress

from csi_driver.testing.faults import Act, Killed, Recorder, When
from tests.driver.nodes import Node


class CutAt(Recorder):
    """The machine loses power at the n-th effect."""

    def __init__(self, node: Node, n: int, when: When) -> None:
        super().__init__()
        self._node, self._n, self._when = node, n, when
        self.dead = False

    async def act(self, number: int, act: Act) -> object:
        if number != self._n:
            return await act()
        if self._when == "after":
            with suppress(Exception):
                await act()
        self.dead = True
        self._node.crash(power=True)
        raise Killed
