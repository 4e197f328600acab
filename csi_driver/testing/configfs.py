"""Simulated configfs of the kernel's target, with the kernel's order of things."""

from __future__ import annotations

import asyncio
import errno

from csi_driver.errors import Busy, DriverError, InternalError, NotFound
from csi_driver.kit.effects import Effects, effect
from csi_driver.testing.machine import Machine
from csi_driver.testing.nodes import trouble
from csi_driver.testing.target import Backstore
from csi_driver.testing.tree import Folder

WRITE_ONLY = frozenset({"control"})


class SimConfigfs:
    """The door ``Configfs`` over a simulated target."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    @property
    def _root(self) -> Folder:
        return self._machine.target.root

    @effect("configfs.make")
    async def make(self, path: str) -> None:
        """See ``Configfs.make``."""
        parent, name = self._split(path)
        if name in parent.folders:
            return
        if parent.kind == "nps" and name.rpartition(":")[0] != self._machine.address:
            raise _refused(trouble(errno.EADDRNOTAVAIL, path))
        if parent.new(name) is None:
            raise _refused(trouble(errno.EINVAL if parent.kind != "plain" else errno.EPERM, path))

    @effect("configfs.remove")
    async def remove(self, path: str) -> None:
        """See ``Configfs.remove``. The removal goes on when the caller stops waiting, as in the kernel."""
        folder = self._root.find(path)
        if folder is None:
            return
        if folder.fixed:
            raise _refused(trouble(errno.EPERM, path))
        if folder.in_use():
            raise _refused(trouble(errno.ENOTEMPTY, path))
        if path in self._root.all_links():
            raise _refused(trouble(errno.EBUSY, path))
        await asyncio.shield(asyncio.ensure_future(self._remove(path, folder)))

    async def _remove(self, path: str, folder: Folder) -> None:
        target, words = self._machine.target, path.split("/")
        folder.going = True
        ended = []
        if folder.kind == "acl":
            ended = target.close(words[1], words[4])
        elif folder.kind == "tpg":
            ended = target.close(words[1])
        elif folder.kind == "store":
            target.free_backstore(path)
        # Until all they had in flight is done, rmdir does not return (mechanisms.md 2).
        await self._machine.kernel.pulse.until(lambda: all(nexus.in_flight == 0 for nexus in ended))
        parent, name = self._split(path)
        parent.folders.pop(name, None)

    @effect("configfs.write")
    async def write(self, path: str, value: str) -> None:
        """See ``Configfs.write``."""
        where, _, name = path.rpartition("/")
        folder = self._root.find(where)
        if folder is None or name not in folder.attributes:
            raise _refused(trouble(errno.ENOENT, path))
        try:
            self._store(folder, where, name, value.strip())
        except OSError as error:
            raise _refused(error) from error

    def _store(self, folder: Folder, where: str, name: str, value: str) -> None:
        if (folder.kind, name) == ("store", "enable"):
            self._enable_backstore(folder, where, value)
        elif (folder.kind, name) == ("store", "control"):
            value = ",".join(filter(None, (folder.attributes["control"], value)))
        elif (folder.kind, name) == ("wwn", "vpd_unit_serial"):
            if where.removesuffix("/wwn") in self._root.all_links():
                raise trouble(errno.EINVAL, "active exports")
        elif folder.kind == "pr":
            if where.removesuffix("/pr") in self._root.all_links():
                raise trouble(errno.EINVAL, "active exports")
            value = "\n".join(filter(None, (folder.attributes[name], value)))
        elif (folder.kind, name) == ("tpg", "enable"):
            self._enable_tpg(where, value)
        elif folder.kind == "mapped" and not folder.links:
            raise trouble(errno.ENODEV, where)
        elif name.startswith(("emulate_", "authentication", "generate_", "write_protect")) and value not in ("0", "1"):
            raise trouble(errno.EINVAL, f"{name}={value}")
        folder.attributes[name] = value

    def _enable_backstore(self, folder: Folder, where: str, value: str) -> None:
        if value != "1":
            raise trouble(errno.EINVAL, "a backstore is disabled by rmdir only")
        if where in self._machine.target.backstores:
            raise trouble(errno.EEXIST, where)
        self._machine.target.enable_backstore(where, folder.attributes["control"])

    def _enable_tpg(self, where: str, value: str) -> None:
        if value not in ("0", "1"):
            raise trouble(errno.EINVAL, value)
        if value == "0":
            self._machine.target.close(where.split("/")[1])

    @effect("configfs.link")
    async def link(self, path: str, target: str) -> None:
        """See ``Configfs.link``."""
        parent, name = self._split(path)
        if parent.links.get(name) == target:
            return
        source = self._root.find(target)
        if source is None:
            raise _refused(trouble(errno.ENOENT, target))
        refusal = self._judge_link(parent, path, source, target)
        if refusal:
            raise _refused(trouble(refusal, path))
        parent.links[name] = target

    def _judge_link(self, parent: Folder, path: str, source: Folder, target: str) -> int:
        """The errno of a link that the kernel does not take, or 0."""
        if parent.kind not in ("lun", "mapped"):
            return errno.EPERM
        if parent.links:
            return errno.EEXIST
        if parent.kind == "lun":
            if source.kind != "store":
                return errno.EINVAL
            return 0 if target in self._machine.target.backstores else errno.ENODEV
        same_group = path.split("/")[:3] == target.split("/")[:3]
        return 0 if source.kind == "lun" and source.links and same_group else errno.EINVAL

    @effect("configfs.unlink")
    async def unlink(self, path: str) -> None:
        """See ``Configfs.unlink``."""
        where, _, name = path.rpartition("/")
        folder = self._root.find(where)
        if folder is None or name not in folder.links:
            return
        del folder.links[name]
        if folder.kind == "mapped":
            folder.attributes["write_protect"] = "0"

    async def read(self, path: str) -> str:
        """See ``Configfs.read``."""
        where, _, name = path.rpartition("/")
        folder = self._root.find(where)
        if folder is None or name not in folder.attributes:
            raise NotFound(f"{path} does not exist")
        if name in WRITE_ONLY:
            raise _refused(trouble(errno.EACCES, path))
        return self._show(folder, where, name)

    def _show(self, folder: Folder, where: str, name: str) -> str:
        value = folder.attributes[name]
        if name == "vpd_unit_serial":
            return f"T10 VPD Unit Serial Number: {value}"
        if (folder.kind, name) == ("acl", "info"):
            words = where.split("/")
            live = [n for n in self._machine.target.nexuses if (n.iqn, n.initiator) == (words[1], words[4])]
            none = f"No active iSCSI Session for Initiator Endpoint: {words[4]}"
            return _session(words[4]) if live else none
        if (folder.kind, name) == ("store", "info"):
            backstore = self._machine.target.backstores.get(where)
            return _info(backstore) if backstore else "Status: DEACTIVATED"
        return value

    async def listing(self, path: str) -> tuple[str, ...]:
        """See ``Configfs.listing``."""
        folder = self._root.find(path)
        return tuple(sorted([*folder.folders, *folder.links])) if folder else ()

    def _split(self, path: str) -> tuple[Folder, str]:
        where, _, name = path.rpartition("/")
        parent = self._root.find(where)
        if parent is None:
            raise _refused(trouble(errno.ENOENT, where))
        return parent, name


def _info(backstore: Backstore) -> str:
    """Of an enabled backstore. Each kind spells its device in its own way."""
    node = backstore.node
    status = "Status: ACTIVATED  Max Queue Depth: 128  SectorSize: 512  HwMaxSectors: 16384"
    if "/iblock_" in backstore.path:
        return f"{status}\n        iBlock device: {node.name}  UDEV PATH: /dev/{node.name}  readonly: 0"
    return (
        f"{status}\n        TCM FILEIO ID: 0        File: /dev/{node.name}  Size: {node.size}  Mode: O_DSYNC Async: 0"
    )


def _session(initiator: str) -> str:
    return (
        f"InitiatorName: {initiator}\nInitiatorAlias: simulated\n"
        "LIO Session ID: 1   ISID: 0x00 02 3d 01 00 00  TSIH: 1  SessionType: Normal\n"
        "Session State: TARG_SESS_STATE_LOGGED_IN\n"
        "---------------------[iSCSI Connections]-------------------------\n"
        "CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN\n   Address 10.0.0.99 TCP  StatSN: 0x00000001"
    )


def _refused(error: OSError) -> DriverError:
    """The error by its meaning, as the real door tells it."""
    text = f"the kernel's target: {error} ({errno.errorcode[error.errno or 0]})"
    if error.errno == errno.ENOENT:
        return NotFound(text)
    if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
        return Busy(text)
    return InternalError(text)
