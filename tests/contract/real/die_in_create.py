"""Begins to make a volume and is gone before it is made: ``die_in_create.py FOLDER``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from csi_driver.host.lvm import LvmShell
from csi_driver.kit.effects import Effects
from csi_driver.model.sizes import MIB
from csi_driver.settings import AgentSettings
from tests.contract.storage import LVM_DEVICES, POOL, VG


async def main(folder: Path) -> None:
    shell = LvmShell(folder, AgentSettings(lvm_devices=LVM_DEVICES), Effects())
    await shell.group(VG)
    assert shell._child is not None
    print(shell._child.pid, flush=True)
    tags = frozenset({"clinker.id=vol-a"})
    making = asyncio.create_task(shell.create_thin("vol-orphan", vg=VG, pool=POOL, size=64 * MIB, tags=tags))
    await asyncio.wait({making}, timeout=0.03)
    os.kill(os.getpid(), signal.SIGKILL)


asyncio.run(main(Path(sys.argv[1])))
