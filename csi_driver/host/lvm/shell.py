"""The door ``Lvm`` over one long-lived ``lvm`` shell."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from csi_driver.errors import Busy, CommandFailed, Incompatible, StillWorking, Unavailable
from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.host.lvm import commands
from csi_driver.host.lvm.answers import Answer, parse_answer
from csi_driver.host.lvm.config import write_config
from csi_driver.host.lvm.failures import failure, has_that_size
from csi_driver.host.lvm.reports import Reports
from csi_driver.kit.effects import Effects, effect
from csi_driver.kit.shell import Child, ChildEnded
from csi_driver.model.volume import Layout
from csi_driver.settings import AgentSettings

log = logging.getLogger(__name__)
T = TypeVar("T")


PATIENCE = (0.1, 0.3, 0.6)
"""Seconds between tries to take away a volume that is open: udev's probes hold one for moments (failures.md L17)."""


class LvmShell:
    """See ``doors.Lvm``. ``folder`` becomes its LVM_SYSTEM_DIR; the shell starts with the first command.

    Each command runs in a task of its own, so that a caller who is cancelled leaves it to its end. A shell that dies
    is started again. Whether a changing command that it had begun was done is then not known: StillWorking, look
    before you act. A reading one is asked once more.
    """

    def __init__(self, folder: Path, settings: AgentSettings, effects: Effects, program: str = "lvm") -> None:
        self._folder, self._settings, self._program = folder, settings, program
        self.effects = effects
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._closed = False
        self._pools: dict[str, frozenset[str]] = {}
        self._reports = Reports()

    async def group(self, vg: str, *, within: float = 0.0) -> VolumeGroup:
        """See ``Lvm.group``."""
        known = self._reports.recall(vg, within)
        if known is not None:
            return known
        stamp = self._reports.stamp()
        group = await self._read(vg)
        self._reports.keep(stamp, group)
        return group

    def know(self, lv: LogicalVolume) -> None:
        """See ``Lvm.know``."""
        self._reports.know(lv)

    async def _read(self, vg: str) -> VolumeGroup:
        line = commands.report(vg)
        try:
            answer = await self._run(line)
        except ChildEnded:
            _, answer = await self._run_known(line)
        if not answer.ok:
            raise failure("fullreport", answer)
        group = commands.parse_report(vg, answer)
        self._pools[vg] = frozenset(lv.name for lv in group.volumes if lv.layout == "thin-pool")
        return group

    async def _pools_of(self, vg: str) -> frozenset[str]:
        """The names of the VG's thin pools, as of the last report: they do not come and go as volumes do."""
        if vg not in self._pools:
            await self.group(vg)
        return self._pools[vg]

    @effect("lvm.create_thin")
    async def create_thin(
        self, name: str, *, vg: str, pool: str, size: int, tags: frozenset[str], pool_is_up: bool = False
    ) -> None:
        """See ``Lvm.create_thin``."""
        number = await self._create_in_pool(
            name,
            commands.create_thin(name, vg=vg, pool=pool, size=size, tags=tags, pool_is_up=pool_is_up),
            waits=commands.create_thin(name, vg=vg, pool=pool, size=size, tags=tags),
        )
        self._reports.made(vg, name, number)

    @effect("lvm.create_snapshot")
    async def create_snapshot(
        self, name: str, *, vg: str, origin: str, tags: frozenset[str], pool_is_up: bool = False
    ) -> None:
        """See ``Lvm.create_snapshot``."""
        await self._create_in_pool(
            name,
            commands.create_snapshot(name, vg=vg, origin=origin, tags=tags, pool_is_up=pool_is_up),
            waits=commands.create_snapshot(name, vg=vg, origin=origin, tags=tags),
        )

    async def _create_in_pool(self, name: str, line: str, *, waits: str) -> int:
        """``line``, and when it fails because the pool went down meanwhile, ``waits``, which waits for udev; the number
        of the change.
        """
        try:
            return await self._change(line)
        except CommandFailed as error:
            if line == waits:
                raise
            # lvcreate takes back what it had done when it fails.
            log.info("once more, waiting for udev", extra={"volume": name, "error": str(error)})
            try:
                return await self._change(waits)
            except Incompatible as left:
                raise StillWorking(f"{error}; the volume is there nevertheless, look before it is repeated") from left

    @effect("lvm.create_thick")
    async def create_thick(
        self,
        name: str,
        *,
        vg: str,
        size: int,
        tags: frozenset[str],
        layout: Layout = Layout.THICK,
        stripes: int = 1,
    ) -> None:
        """See ``Lvm.create_thick``."""
        number = await self._change(
            commands.create_thick(name, vg=vg, size=size, tags=tags, layout=layout, stripes=stripes)
        )
        self._reports.made(vg, name, number)

    @effect("lvm.remove")
    async def remove(self, name: str, *, vg: str) -> None:
        """See ``Lvm.remove``. Busy only after a second or so of trying; other commands run meanwhile.

        A thin pool that has volumes is Busy too: ``lvremove --yes`` would take them with it.
        """
        if name in await self._pools_of(vg) and any(lv.pool == name for lv in (await self.group(vg)).volumes):
            raise Busy(f"the thin pool {vg}/{name} has volumes")
        await _patiently(lambda: self._change(commands.remove(name, vg=vg)))

    @effect("lvm.extend")
    async def extend(self, name: str, *, vg: str, size: int, metadata_only: bool) -> None:
        """See ``Lvm.extend``. CommandFailed when it is larger already: nothing here shrinks."""
        await self._extend(commands.extend(name, vg=vg, size=size, metadata_only=metadata_only))

    @effect("lvm.create_group")
    async def create_group(self, vg: str, *, disks: tuple[str, ...], tags: frozenset[str]) -> None:
        """See ``Lvm.create_group``."""
        await self._change(commands.create_group(vg, disks=disks, tags=tags))

    @effect("lvm.create_pool")
    async def create_pool(self, name: str, *, vg: str, size: int, metadata: int) -> None:
        """See ``Lvm.create_pool``."""
        await self._change(commands.create_pool(name, vg=vg, size=size, metadata=metadata))
        self._pools.pop(vg, None)

    @effect("lvm.grow_pool")
    async def grow_pool(self, name: str, *, vg: str, data: int = 0, metadata: int = 0) -> None:
        """See ``Lvm.grow_pool``."""
        if metadata:
            await self._extend(commands.grow_pool(name, vg=vg, metadata=metadata))
        if data:
            await self._extend(commands.grow_pool(name, vg=vg, data=data))

    @effect("lvm.set_when_full")
    async def set_when_full(self, name: str, *, vg: str, fail: bool) -> None:
        """See ``Lvm.set_when_full``."""
        await self._change(commands.set_when_full(name, vg=vg, fail=fail))

    @effect("lvm.change_tags")
    async def change_tags(self, name: str, *, vg: str, add: frozenset[str], remove: frozenset[str]) -> None:
        """See ``Lvm.change_tags``."""
        number = await self._change(commands.change_tags(name, vg=vg, add=add, remove=remove))
        self._reports.tagged(vg, name, number, add=add, remove=remove)

    @effect("lvm.activate")
    async def activate(self, name: str, *, vg: str) -> None:
        """See ``Lvm.activate``."""
        await self._change(commands.activate(name, vg=vg))

    @effect("lvm.deactivate")
    async def deactivate(self, name: str, *, vg: str) -> None:
        """See ``Lvm.deactivate``. Busy as ``remove``."""
        await _patiently(lambda: self._change(commands.deactivate(name, vg=vg)))

    async def close(self) -> None:
        """See ``Lvm.close``. Later commands are refused with Unavailable."""
        async with self._turn:
            self._closed = True
            if self._child is not None:
                await self._child.close()
                self._child = None

    async def _change(self, line: str) -> int:
        """Do it; its number among all changes."""
        number, answer = await self._run_known(line)
        if not answer.ok:
            raise failure(line.partition(" ")[0], answer)
        return number

    async def _extend(self, line: str) -> None:
        _, answer = await self._run_known(line)
        if not answer.ok and not has_that_size(answer):
            raise failure("lvextend", answer)

    async def _run_known(self, line: str) -> tuple[int, Answer]:
        number = self._reports.change()
        try:
            return number, await self._run(line)
        except ChildEnded as error:
            command = line.partition(" ")[0]
            raise StillWorking(f"{command}: the lvm shell ended before its answer, it may be done: {error}") from error

    async def _run(self, line: str) -> Answer:
        """The answer to one command, when those asked before have theirs."""
        task = asyncio.create_task(self._in_turn(line), name=line.partition(" ")[0])
        task.add_done_callback(_retrieve)
        return await asyncio.shield(task)

    async def _in_turn(self, line: str) -> Answer:
        async with self._turn:
            if self._closed:
                raise Unavailable("lvm is not used any more: this process is stopping")
            child = await self._living_child()
            log.debug("lvm", extra={"line": line})
            try:
                return await child.ask(line, parse_answer)
            except ChildEnded:
                log.warning("the lvm shell has ended", extra={"pid": child.pid, "printed": child.said()})
                self._child = None
                raise

    async def _living_child(self) -> Child:
        if self._child is None or not self._child.alive:
            write_config(self._folder, self._settings)
            self._child = await Child.start(
                (self._program,),
                environment=self._environment(),
                variable="LVM_REPORT_FD",
                printed=self._folder / "printed.log",
            )
        return self._child

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self._folder),
            "LC_ALL": "C",
            "LVM_SYSTEM_DIR": str(self._folder),
            "LVM_SUPPRESS_FD_WARNINGS": "1",
        }


def _retrieve(task: asyncio.Task[Answer]) -> None:
    """Look at its error even when its caller is gone, or asyncio complains that nobody did."""
    if not task.cancelled():
        task.exception()


async def _patiently(act: Callable[[], Awaitable[T]]) -> T:
    for seconds in PATIENCE:
        try:
            return await act()
        except Busy:
            await asyncio.sleep(seconds)
    return await act()
