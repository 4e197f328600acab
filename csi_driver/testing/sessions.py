"""The initiator's side of iSCSI as simulated: sessions, and the disks that a scan finds on them."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from csi_driver.errors import Denied, Unavailable
from csi_driver.host.doors import NodeRecord
from csi_driver.testing.nodes import SD_MAJOR, Node, trouble
from csi_driver.testing.store import Io, Pulse
from csi_driver.testing.target import Backstore, Nexus, Target

if TYPE_CHECKING:
    from csi_driver.testing.machine import Machine


class SimSession:
    """One session. Whoever looks at it makes it try to come back first, as iscsid does all the time.

    ``queueing``: I/O waits while the session is down, as before ``replacement_timeout``; else it fails at once.
    """

    def __init__(self, machine: Machine, sid: int, record: NodeRecord) -> None:
        self.machine, self.sid, self.record = machine, sid, record
        self.iqn, self.portal = record.iqn, record.portal
        self.nexus: Nexus | None = None
        self.disks: list[IscsiDisk] = []
        self.ended = False
        self.queueing = False
        self.denied = False
        self.log_in()

    @property
    def _pulse(self) -> Pulse:
        return self.machine.network.pulse

    def log_in(self) -> None:
        """A new connection. Unavailable, Denied."""
        owner = self.machine.network.owner(self.portal)
        if owner is None or not self.machine.network.reaches(self.machine, owner):
            raise Unavailable(f"{self.portal} does not answer")
        chap = (self.record.chap_user, self.record.secret.reveal())
        answer = self.record.secret.answer().reveal() if self.record.mutual else ""
        self.nexus = owner.target.login(self.iqn, self.portal, self.machine.initiator, chap, answer)

    def _linked(self) -> bool:
        owner = self.machine.network.owner(self.portal)
        return owner is not None and self.machine.network.reaches(self.machine, owner)

    def alive(self) -> bool:
        """Whether requests reach the target now; a session that was dropped logs in again if it may."""
        if self.ended or not self._linked():
            return False
        if self.nexus is None or not self.nexus.is_open:
            try:
                self.log_in()
            except (Denied, Unavailable) as error:
                self.denied = isinstance(error, Denied)
                return False
        self.denied = False
        return True

    @property
    def state(self) -> str:
        """As the kernel names it."""
        return "LOGGED_IN" if self.alive() else "FAILED"

    async def io(self, io: Io) -> bytes:
        """A request over the wire. EIO when the session is down or goes down before the answer, ENODEV after logout.

        What had reached the target goes on there, whether anyone waits or not.
        """
        while True:
            if self.queueing:
                await self._pulse.until(lambda: self.ended or not self.queueing or self.alive())
            owner = self.machine.network.owner(self.portal)
            if not self.alive() or self.nexus is None or owner is None:
                raise trouble(errno.ENODEV if self.ended else errno.EIO, f"session {self.sid}")
            nexus = self.nexus
            there = asyncio.ensure_future(owner.target.io(nexus, io))
            there.add_done_callback(self._arrived)
            await self._pulse.until(lambda: there.done() or self._lost(nexus))  # noqa: B023  # awaited right here
            if not self._lost(nexus):
                return there.result()

    def _arrived(self, there: asyncio.Future[bytes]) -> None:
        if not there.cancelled():
            there.exception()
        self._pulse.fire()

    def _lost(self, nexus: Nexus) -> bool:
        return self.ended or not nexus.is_open or not self._linked()

    def end(self) -> None:
        """Log out: the disks go with it, open or not."""
        self.ended = True
        owner = self.machine.network.owner(self.portal)
        if self.nexus is not None and self.nexus.is_open and owner is not None and self._linked():
            self.nexus.is_open = False
            owner.target.nexuses.remove(self.nexus)
        for disk in self.disks:
            disk.gone = True
            self.machine.kernel.drop(disk)
        self.disks = []
        self.machine.network.pulse.fire()


class IscsiDisk(Node):
    """A disk of a session: capacity as read at the last scan or rescan."""

    def __init__(self, session: SimSession, name: str, minor: int) -> None:
        super().__init__(session.machine.kernel.pulse, name, (SD_MAJOR, minor))
        self.session = session
        self.gone = False
        self._size, self._protected = 0, False
        self.read_capacity()

    @property
    def size(self) -> int:
        return self._size

    @property
    def read_only(self) -> bool:
        return self._protected

    def read_capacity(self) -> None:
        """Ask the target anew. Read-only stays as it was at the scan until the disk is made anew (kernel.md 6)."""
        seen = self.seen()
        if seen is not None:
            _, backstore, protected = seen
            self._size, self._protected = backstore.node.size, self._protected or protected

    def seen(self) -> tuple[Target, Backstore, bool] | None:
        """What stands behind it at the target now, and whether writing is forbidden; None when nothing answers."""
        session = self.session
        owner = session.machine.network.owner(session.portal)
        if owner is None or not session.alive() or session.nexus is None:
            return None
        mapped = owner.target.mapped(session.nexus)
        return (owner.target, *mapped) if mapped else None

    async def perform(self, io: Io) -> bytes:
        if self.gone:
            raise trouble(errno.ENODEV, self.name)
        return await self.session.io(io)
