"""The host's open-iscsi."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from csi_driver.errors import InternalError, StillWorking, Unavailable
from csi_driver.host.doors.initiator import NodeRecord, Session
from csi_driver.host.iscsi import commands, records, sysfs
from csi_driver.host.iscsi.database import RecordFolder
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect
from csi_driver.kit.run import Runner

_NAME_FILE = "etc/iscsi/initiatorname.iscsi"
_CONFIG_FILE = "etc/iscsi/iscsid.conf"
T = TypeVar("T")


class OpenIscsi:
    """``doors.Initiator`` on the real host. ``runner`` starts its iscsiadm (see ``place.iscsiadm_prefix``) and
    ``root`` is the root folder that iscsiadm sees (``place.host_root``).
    """

    def __init__(self, runner: Runner, effects: Effects, *, root: Path = Path("/"), sys: Path = sysfs.SYSFS) -> None:
        self.effects, self._runner, self._root, self._sys = effects, runner, root, sys
        self._records = RecordFolder(root)
        self._template: _Template | None = None

    async def name(self) -> str:
        """See ``Initiator.name``."""
        try:
            text = (self._root / _NAME_FILE).read_text()
        except OSError as error:
            raise Unavailable(f"/{_NAME_FILE} cannot be read: is open-iscsi installed on this host?") from error
        name = parse_name(text)
        if not name:
            raise Unavailable(f"/{_NAME_FILE} holds no InitiatorName")
        return name

    async def sessions(self) -> tuple[Session, ...]:
        """See ``Initiator.sessions``."""
        return sysfs.read_sessions(self._sys)

    async def records(self) -> tuple[tuple[str, str], ...]:
        """See ``Initiator.records``."""
        return await _reached(self._records.records, "read")

    @effect("iscsi.put_record")
    async def put_record(self, record: NodeRecord) -> None:
        """See ``Initiator.put_record``. Starts iscsiadm for the first record of this process only."""
        template = await self._template_for(record)
        text = records.render(template.text, records.settings(record))
        path = self._records.beside(template.path, record.iqn, record.portal)
        await _reached(lambda: self._records.write(path, text), "written")

    @effect("iscsi.remove_record")
    async def remove_record(self, iqn: str) -> None:
        """See ``Initiator.remove_record``."""
        await _reached(lambda: self._records.remove(iqn), "removed")

    @effect("iscsi.login")
    async def login(self, iqn: str, portal: str) -> None:
        """See ``Initiator.login``. NotFound when there is no record."""
        try:
            result = await self._runner.run(commands.login(iqn, portal))
        except StillWorking as error:
            await self._call_off(iqn, portal)
            raise Unavailable(f"{iqn}: login: {error}; is iscsid well?") from error
        if result.status == commands.EXISTS and not self._standing(iqn, portal):
            raise Unavailable(f"{iqn}: iscsid is in the middle of a login")
        if result.status not in (0, commands.EXISTS):
            raise commands.failure("login", iqn, result)

    @effect("iscsi.logout")
    async def logout(self, iqn: str) -> None:
        """See ``Initiator.logout``. Works without a record, and over a dead target too."""
        for session in self._standing(iqn):
            await self._end(session)
        if left := self._standing(iqn):
            raise Unavailable(f"{iqn}: logout: session {left[0].sid} is still there ({left[0].state})")

    async def _end(self, session: Session) -> None:
        try:
            result = await self._runner.run(commands.logout(session.sid))
        except StillWorking as error:
            raise Unavailable(f"{session.iqn}: logout: {error}") from error
        if result.status not in (0, commands.NOTHING_FOUND):
            raise commands.failure("logout", session.iqn, result)

    async def _call_off(self, iqn: str, portal: str) -> None:
        """After a login that was given up: iscsid may have finished it, or may yet (kernel.md 9)."""
        for session in self._standing(iqn, portal):
            await self._end(session)

    def _standing(self, iqn: str, portal: str = "") -> list[Session]:
        every = sysfs.read_sessions(self._sys)
        return [session for session in every if session.iqn == iqn and portal in ("", session.portal)]

    async def _template_for(self, record: NodeRecord) -> _Template:
        """A record as the host's iscsiadm makes it now: kept until its configuration changes."""
        stamp = _stamp(self._root / _CONFIG_FILE)
        if self._template is None or self._template.stamp != stamp:
            self._template = await self._learn(record, stamp)
        return self._template

    async def _learn(self, record: NodeRecord, stamp: int) -> _Template:
        # Away with an old one, or we could not tell where iscsiadm puts its own. A running session does not need
        # it; and the record that we are asked for is written right after.
        await _reached(lambda: self._records.forget(record.iqn, record.portal), "removed")
        await self._runner.run(commands.new_record(record.iqn, record.portal))
        path = self._records.find(record.iqn, record.portal)
        if path is None:
            raise InternalError("iscsiadm made a node record, but not where this driver knows to look for it")
        return _Template(path, path.read_text(), stamp)


class _Template:
    """The text of a record without secrets, and the file that iscsiadm put it in."""

    def __init__(self, path: Path, text: str, stamp: int) -> None:
        self.path, self.text, self.stamp = path, text, stamp


def parse_name(text: str) -> str:
    """The initiator name in initiatorname.iscsi, lower case as iSCSI compares it; empty when there is none."""
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "InitiatorName" and value.strip():
            return value.strip().lower()
    return ""


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


async def _reached(act: Callable[[], T], verb: str) -> T:
    def guarded() -> T:
        try:
            return act()
        except OSError as error:
            raise InternalError(f"open-iscsi's node records cannot be {verb}: {error}") from error

    return await blocking.call(guarded, name="node records")
