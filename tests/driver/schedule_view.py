"""The whole world as facts to compare: what stands where, free of what is drawn anew each time.

Read straight from the simulated disks and kernels, behind the driver's back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from csi_driver.host.doors import DmLine
from csi_driver.model.ids import DM_UUID_PREFIX
from csi_driver.testing.groups import DATA_START, Group, Lv
from csi_driver.testing.host import SimHost
from csi_driver.testing.machine import Machine
from csi_driver.testing.nodes import Mapped
from csi_driver.testing.store import reading
from csi_driver.testing.tree import Folder
from tests.driver.world import World

DRAWN = re.compile(r"(?:vol|snap)-[a-z2-7]{26}-[a-z2-7]{8}")
COPY = re.compile(r"\b[a-z2-7]{8}(?=\.[a-z])")
HBA = re.compile(r"(?<=fileio_)\d+|(?<=iblock_)\d+")
NUMBER = re.compile(r"(?<=-)\d{13}(?=$|-iscsi| )|(?<=fenced\.)\d{13}")
DRAWN_FIELDS = frozenset({"number", "wrapper", "secret", "uuid", "boot", "unflushed"})
"""Of our records, what is drawn or counted."""
TIMED_FIELDS = frozenset({"size"})
"""Of stage records: a boot in between lets a stage see sooner that the volume has grown."""
DRAWN_ATTRIBUTES = frozenset({"password", "vpd_unit_serial", "info", "control", "udev_path", "alias"})
"""Of a target's attribute files, likewise."""


def state(world: World) -> tuple[str, ...]:
    """Every fact about volumes on every host, sorted. Two worlds in the same state give the same."""
    facts = [f"{name}: {fact}" for name, node in world.nodes.items() for fact in _of_host(node.host)]
    return tuple(sorted(_plain(fact) for fact in facts))


def _plain(fact: str) -> str:
    for pattern, word in ((DRAWN, "VOL"), (COPY, "COPY"), (HBA, "H"), (NUMBER, "N")):
        fact = pattern.sub(word, fact)
    return fact


def volumes(world: World) -> dict[str, tuple[str, Group, Lv]]:
    """Every logical volume of ours on any disk, claims too, by its name: the node, its group, itself."""
    return {
        lv.name: (name, group, lv)
        for name, node in world.nodes.items()
        for group in node.host.machine.groups.values()
        for lv in group.volumes.values()
        if lv.own_pool is None
    }


def peek(group: Group, lv: Lv, offset: int, length: int) -> bytes:
    """Bytes of a logical volume as they lie on the disk, within one extent."""
    if lv.pool:
        pool = group.volumes[lv.pool].own_pool
        if pool is None or lv.thin_id is None:
            raise LookupError(f"{lv.pool} is no thin pool")
        return pool.space.thins[lv.thin_id].store.apply(reading(offset, length))
    number, inside = divmod(offset, group.extent)
    start = DATA_START + lv.extents[number] * group.extent + inside
    return group.disk.store.apply(reading(start, length))


def _of_host(host: SimHost) -> Iterator[str]:
    machine = host.machine
    yield from host.leftovers()
    for group in machine.groups.values():
        yield f"room {group.name} {len(group.free_extents)} extents"
        for lv in group.volumes.values():
            if lv.own_pool is None:
                tags = sorted(tag for tag in lv.tags if not tag.startswith("clinker.created"))
                yield f"lv {lv.name} {lv.size} {' '.join(tags)}"
    for node in machine.kernel.mapped():
        if node.uuid.startswith(DM_UUID_PREFIX):
            yield _mapped(node)
    yield from _target(machine)
    yield from _consumer(machine)
    for folder, files in machine.disks.records.items():
        for name, content in files.items():
            left_out = DRAWN_FIELDS | (TIMED_FIELDS if folder == "stages" else frozenset())
            fields = {key: value for key, value in json.loads(content).items() if key not in left_out}
            yield f"record {folder}/{name} {json.dumps(fields, sort_keys=True)}"


def _mapped(node: Mapped) -> str:
    lines = node.live.lines if node.live else ()
    held = " suspended" if node.suspended else ""
    return f"dm {node.dm_name} {node.uuid} : {'; '.join(map(_line, lines))}{held} opens {node.opens}"


def _line(line: DmLine) -> str:
    """Without the number of the device below, which depends on what else there was."""
    return f"{line.start} {line.length} {line.target} {' '.join(line.args.split()[1:])}"


def _target(machine: Machine) -> Iterator[str]:
    fabric = machine.target.root.find("iscsi")
    for iqn, folder in fabric.folders.items() if fabric else ():
        if not folder.fixed:
            yield from _tree(f"target {iqn}", folder)
    for path, backstore in machine.target.backstores.items():
        yield f"backstore {path} read-only={backstore.read_only} size={backstore.node.size}"


def _tree(path: str, folder: Folder) -> Iterator[str]:
    told = sorted((name, value) for name, value in folder.attributes.items() if name not in DRAWN_ATTRIBUTES)
    yield f"{path} {told} links {len(folder.links)}"
    for name, each in folder.folders.items():
        yield from _tree(f"{path}/{name}", each)


def _consumer(machine: Machine) -> Iterator[str]:
    for session in machine.sessions:
        yield f"session {session.iqn} {session.state} {len(session.disks)} disks"
    for mount in machine.mounts:
        options = mount.options | machine.shown(mount).super_options
        yield f"mount {mount.target} {mount.fs} {','.join(sorted(options))}"
    for mounted in machine.mounted.values():
        yield f"mounted {mounted.fs} of {mounted.node.size}"
