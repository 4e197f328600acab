"""``create_thin_ext4``: CreateVolume beside the tools that an operator would type."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from csi_driver.model.sizes import GIB
from tests.bench.figures import CREATE_THIN_EXT4, Measured
from tests.bench.samples import Arm, interleave
from tests.lab import Host
from tests.stack.csi import mount
from tests.stack.stack import THIN_POOL, VG, Stack

ROUNDS = 10
DRIVER, BARE, BARE_OUR_CONF = "CreateVolume", "bare", "bare with our lvm.conf"


def measure(stack: Stack) -> Measured:
    """The ratio of medians, with the times behind it."""
    host = stack.lab.host("host1")
    ours = {"LVM_SYSTEM_DIR": _our_lvm_folder(host)}
    arms = {DRIVER: _driver(stack, host), BARE: _bare(host, "bare", {}), BARE_OUR_CONF: _bare(host, "ours", ours)}
    times = interleave(arms, ROUNDS)
    way_in, way_rpc = _median_of(lambda: host.run(["true"])), _median_of(stack.controller.ready)
    return Measured(
        figure=CREATE_THIN_EXT4,
        value=times.ratio(DRIVER, BARE),
        n=ROUNDS,
        notes=(
            *(f"{name}: {times.show(name)}" for name in arms),
            f"beside {BARE_OUR_CONF}: {times.ratio(DRIVER, BARE_OUR_CONF):.2f}",
            f"the way there, not taken off: CSI {way_rpc * 1000:.0f} ms (Probe), bare {way_in * 1000:.0f} ms (`true`)",
        ),
    )


def _driver(stack: Stack, host: Host) -> Arm:
    made: dict[int, str] = {}

    def create(number: int) -> None:
        made[number] = stack.controller.create(f"bench-{number}", GIB, mount("ext4"), near="host1").volume_id

    def delete(number: int) -> None:
        stack.controller.delete(made.pop(number))
        _settle(host)

    return Arm(create, delete)


def _bare(host: Host, prefix: str, environment: Mapping[str, str]) -> Arm:
    def create(number: int) -> None:
        name = f"{prefix}{number}"
        script = f"lvcreate -V 1G -T {VG}/{THIN_POOL} -n {name} && mkfs.ext4 -q /dev/{VG}/{name}"
        host.run(["sh", "-c", script], env=environment)

    def delete(number: int) -> None:
        host.run(["lvremove", "-y", f"{VG}/{prefix}{number}"])
        _settle(host)

    return Arm(create, delete)


def _settle(host: Host) -> None:
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
