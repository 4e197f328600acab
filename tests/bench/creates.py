"""CreateVolume beside the tools that an operator would type."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from csi_driver.model.sizes import GIB, MIB
from csi_driver.rpc.gen import csi_pb2 as csi
from tests.bench.figures import CREATE_THICK_BLOCK, CREATE_THIN_EXT4, Figure, Measured
from tests.bench.samples import Arm, interleave
from tests.lab import Host
from tests.stack.csi import block, mount
from tests.stack.stack import THIN_POOL, VG, Stack

ROUNDS = 10
DRIVER, BARE, BARE_OUR_CONF = "CreateVolume", "bare", "bare with our lvm.conf"
BARE_CLEARED = "bare, and the volume cleared"
THICK = 256 * MIB


def thin_ext4(stack: Stack) -> Measured:
    """The ratio of medians, with the times behind it."""
    host, ours = storage_host(stack), our_conf(stack)
    line = f"lvcreate -V 1G -T {VG}/{THIN_POOL} -n {{name}} && mkfs.ext4 -q /dev/{VG}/{{name}}"
    arms = {
        DRIVER: _driver(stack, "thin", GIB, mount("ext4"), {}),
        BARE: _bare(host, "bare", line, {}),
        BARE_OUR_CONF: _bare(host, "ours", line, ours),
    }
    return _compare(stack, CREATE_THIN_EXT4, arms, beside=BARE_OUR_CONF)


def thick_block(stack: Stack) -> Measured:
    """Likewise. The driver clears the whole volume, the bare line does not: a third arm does what the driver does."""
    host = storage_host(stack)
    line = f"lvcreate -y -L {THICK // MIB}M -n {{name}} {VG}"
    arms = {
        DRIVER: _driver(stack, "thick", THICK, block(), {"layout": "thick"}),
        BARE: _bare(host, "bare", line, {}),
        BARE_CLEARED: _bare(host, "cleared", f"{line} && blkdiscard --zeroout /dev/{VG}/{{name}}", {}),
    }
    return _compare(stack, CREATE_THICK_BLOCK, arms, beside=BARE_CLEARED)


def _compare(stack: Stack, figure: Figure, arms: Mapping[str, Arm], *, beside: str) -> Measured:
    times = interleave(arms, ROUNDS)
    way_in, way_rpc = _median_of(lambda: storage_host(stack).run(["true"])), _median_of(stack.controller.ready)
    return Measured(
        figure=figure,
        value=times.ratio(DRIVER, BARE),
        n=ROUNDS,
        notes=(
            *(f"{name}: {times.show(name)}" for name in arms),
            f"beside {beside}: {times.ratio(DRIVER, beside):.2f}",
            f"the way there, not taken off: CSI {way_rpc * 1000:.0f} ms (Probe), bare {way_in * 1000:.0f} ms (`true`)",
        ),
    )


def _driver(
    stack: Stack, prefix: str, size: int, capability: csi.VolumeCapability, parameters: Mapping[str, str]
) -> Arm:
    made: dict[int, str] = {}

    def create(number: int) -> None:
        name = f"bench-{prefix}-{number}"
        volume = stack.controller.create(name, size, capability, parameters=parameters, near="host1")
        made[number] = volume.volume_id

    def delete(number: int) -> None:
        stack.controller.delete(made.pop(number))
        settle(storage_host(stack))

    return Arm(create, delete)


def _bare(host: Host, prefix: str, line: str, environment: Mapping[str, str]) -> Arm:
    """``line`` is typed with ``{name}`` filled in."""

    def create(number: int) -> None:
        host.run(["sh", "-c", line.format(name=f"{prefix}{number}")], env=environment)

    def delete(number: int) -> None:
        host.run(["lvremove", "-y", f"{VG}/{prefix}{number}"])
        settle(host)

    return Arm(create, delete)


def storage_host(stack: Stack) -> Host:
    """Where the volumes lie."""
    return stack.lab.host("host1")


def our_conf(stack: Stack) -> Mapping[str, str]:
    """The environment in which LVM reads what the driver wrote."""
    return {"LVM_SYSTEM_DIR": _our_lvm_folder(storage_host(stack))}


def settle(host: Host) -> None:
    """What udev still does for one sample must not slow the next."""
    host.run(["udevadm", "settle"])


def _our_lvm_folder(host: Host) -> str:
    found = host.run(["sh", "-c", "find /run/clinker /var/lib/clinker -name lvm.conf"], check=False).stdout.split()
    if len(found) != 1:
        raise AssertionError(f"the driver wrote one lvm.conf, but found are {found}")
    return found[0].rpartition("/")[0]


def _median_of(act: Callable[[], object], times: int = 10) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
