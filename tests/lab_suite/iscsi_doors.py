"""Runs in a test host: the real doors, one verb a call, its answer as JSON on standard output.

``python3 iscsi_doors.py VERB '{"argument": ...}'``
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import mmap
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from csi_driver.errors import DriverError
from csi_driver.host.configfs import KernelConfigfs
from csi_driver.host.devices.kernel import KernelDevices
from csi_driver.host.doors import NodeRecord, ScsiDisk
from csi_driver.host.iscsi.initiator import OpenIscsi
from csi_driver.host.iscsi.place import host_root, iscsiadm_prefix
from csi_driver.host.lio import targets
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import HostRunner
from csi_driver.model.ids import VolumeId
from csi_driver.model.secret import Secret

Fields = dict[str, Any]
BLOCK = 4096


def volume_of(order: Fields) -> VolumeId:
    parsed = VolumeId.parse(order["volume"])
    assert parsed is not None
    return parsed


def configfs() -> KernelConfigfs:
    return KernelConfigfs(Effects())


def initiator(order: Fields) -> OpenIscsi:
    setting = order.get("iscsiadm", "auto")
    return OpenIscsi(HostRunner(iscsiadm_prefix(setting)), Effects(), root=host_root(setting))


async def export(order: Fields) -> None:
    await targets.ensure_target(
        configfs(),
        targets.TargetSpec(
            volume=volume_of(order),
            device=order["device"],
            portals=tuple(order["portals"]),
            initiator=order["initiator"],
            chap_user="user",
            secret=Secret(order["secret"]),
        ),
    )


async def fence(order: Fields) -> None:
    await targets.remove_acl(configfs(), volume_of(order), order["initiator"])


async def take_down(order: Fields) -> None:
    await targets.remove_target(configfs(), volume_of(order))


async def left(_: Fields) -> list[str]:
    door = configfs()
    ours = [name for name in await door.listing("core") if name.startswith(("fileio_", "iblock_"))]
    return ours + [name for name in await door.listing("iscsi") if name.startswith("iqn.")]


async def seen(order: Fields) -> list[Fields]:
    found = await targets.sessions(configfs(), volume_of(order), order["initiator"])
    return [dataclasses.asdict(session) for session in found]


async def record(order: Fields) -> None:
    await initiator(order).put_record(
        NodeRecord(
            iqn=volume_of(order).iqn,
            portal=order["portal"],
            chap_user="user",
            secret=Secret(order["secret"]),
            replacement_timeout=order.get("replacement_timeout", 900),
        )
    )


async def login(order: Fields) -> None:
    await initiator(order).login(volume_of(order).iqn, order["portal"])


async def logout(order: Fields) -> None:
    await initiator(order).logout(volume_of(order).iqn)


async def forget(order: Fields) -> None:
    await initiator(order).remove_record(volume_of(order).iqn)


async def state(order: Fields) -> Fields:
    door = initiator(order)
    sessions = [dataclasses.asdict(session) for session in await door.sessions()]
    return {"records": await door.records(), "sessions": sessions}


async def disk(order: Fields) -> Fields:
    """Scan, and tell of the disk what it says itself."""
    devices, iqn = KernelDevices(Effects()), volume_of(order).iqn
    await devices.scan(iqn)
    found = await _first_disk(devices, iqn)
    identity = dataclasses.asdict(await devices.identity(found))
    return {**identity, "path": devices.path(found.devno)}


async def _first_disk(devices: KernelDevices, iqn: str) -> ScsiDisk:
    for _ in range(500):
        if disks := await devices.disks(iqn):
            return disks[0]
        await asyncio.sleep(0.02)
    raise AssertionError("the scan found no disk")


async def write(order: Fields) -> None:
    """Number block after block, past the cache, until it fails; tell each acknowledged number in a file."""
    descriptor = os.open(order["path"], os.O_WRONLY | os.O_DIRECT)
    told = Path(order["told"])
    with mmap.mmap(-1, BLOCK) as page:
        for number in range(1, order["count"] + 1):
            page[:8] = number.to_bytes(8, "big")
            os.pwritev(descriptor, [page], number * BLOCK)
            told.write_text(str(number))


async def numbers(order: Fields) -> int:
    """The highest number that stands on the device, past the cache, all below it standing too."""
    descriptor = os.open(order["path"], os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, BLOCK) as page:
        number = 0
        while os.preadv(descriptor, [page], (number + 1) * BLOCK) and int.from_bytes(page[:8], "big") == number + 1:
            number += 1
    return number


VERBS: dict[str, Callable[[Fields], Awaitable[object]]] = {
    verb.__name__: verb
    for verb in (export, fence, take_down, left, seen, record, login, logout, forget, state, disk, write, numbers)
}


async def main() -> None:
    verb, order = VERBS[sys.argv[1]], json.loads(sys.argv[2])
    try:
        answer = {"answer": await verb(order)}
    except DriverError as error:
        answer = {"error": error.kind.value, "text": str(error)}
    print(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main())
