"""Snapshots and what is made from them beside the tools that an operator would type."""

from __future__ import annotations

import statistics
import time

from csi_driver.model.sizes import GIB
from tests.bench.creates import BARE, BARE_OUR_CONF, our_conf, settle, storage_host
from tests.bench.figures import CHAIN_100, RESTORE, SNAPSHOT, Figure, Measured
from tests.bench.samples import Arm, interleave
from tests.stack.csi import block
from tests.stack.stack import VG, Stack

ROUNDS = 10
SNAPSHOT_ARM, RESTORE_ARM = "CreateSnapshot", "CreateVolume from it"
CHAIN = 100
ENDS = 5
"""Snapshots at either end of the chain whose median counts."""


def snapshot(stack: Stack) -> Measured:
    """CreateSnapshot of a volume that is active; the bare arm is ``lvcreate -s`` in a process of its own."""
    volume = stack.controller.create("bench-cut", GIB, block(), near="host1").volume_id
    made: dict[int, str] = {}

    def cut(number: int) -> None:
        made[number] = stack.controller.snapshot(f"bench-cut-{number}", volume).snapshot_id

    def delete(number: int) -> None:
        stack.controller.delete_snapshot(made.pop(number))
        settle(storage_host(stack))

    measured = _compare(stack, SNAPSHOT, Arm(cut, delete), volume)
    stack.controller.delete(volume)
    return measured


def restore(stack: Stack) -> Measured:
    """CreateVolume from a snapshot, of the same size."""
    volume = stack.controller.create("bench-restore", GIB, block(), near="host1").volume_id
    source = stack.controller.snapshot("bench-restore", volume).snapshot_id
    made: dict[int, str] = {}

    def make(number: int) -> None:
        made[number] = stack.controller.create(f"bench-restored-{number}", 0, block(), source=source).volume_id

    def delete(number: int) -> None:
        stack.controller.delete(made.pop(number))
        settle(storage_host(stack))

    measured = _compare(stack, RESTORE, Arm(make, delete), source)
    stack.controller.delete_snapshot(source)
    stack.controller.delete(volume)
    return measured


def chain_100(stack: Stack) -> Measured:
    """A snapshot, a volume from it, a snapshot of that, and so on: the last of a hundred beside the first."""
    controller, taken = stack.controller, []
    volume = controller.create("bench-chain", 16 << 20, block(), near="host1").volume_id
    volumes, cuts = [volume], []
    for number in range(CHAIN):
        began = time.perf_counter()
        cuts.append(controller.snapshot(f"bench-chain-{number}", volumes[-1]).snapshot_id)
        taken.append(time.perf_counter() - began)
        volumes.append(controller.create(f"bench-link-{number}", 0, block(), source=cuts[-1]).volume_id)
    first, last = statistics.median(taken[:ENDS]), statistics.median(taken[-ENDS:])
    for cut in cuts:
        controller.delete_snapshot(cut)
    for each in volumes:
        controller.delete(each)
    return Measured(
        figure=CHAIN_100,
        value=last / first,
        n=CHAIN,
        notes=(
            f"median of the first {ENDS}: {first * 1000:.0f} ms, of the last {ENDS}: {last * 1000:.0f} ms",
            "each link is a snapshot and a volume made from it: the last one had 200 logical volumes beside it",
        ),
    )


def _compare(stack: Stack, figure: Figure, driver: Arm, origin: str) -> Measured:
    host, ours = storage_host(stack), our_conf(stack)

    def bare(prefix: str, environment: dict[str, str]) -> Arm:
        def cut(number: int) -> None:
            line = ["lvcreate", "-s", "-kn", "-n", f"{prefix}{number}", f"{VG}/{origin}"]
            host.run(line, env=environment)

        def delete(number: int) -> None:
            host.run(["lvremove", "-y", f"{VG}/{prefix}{number}"])
            settle(host)

        return Arm(cut, delete)

    name = SNAPSHOT_ARM if figure is SNAPSHOT else RESTORE_ARM
    arms = {name: driver, BARE: bare("bare", {}), BARE_OUR_CONF: bare("ours", dict(ours))}
    times = interleave(arms, ROUNDS)
    return Measured(
        figure=figure,
        value=times.ratio(name, BARE),
        n=ROUNDS,
        notes=(
            *(f"{arm}: {times.show(arm)}" for arm in arms),
            f"beside {BARE_OUR_CONF}: {times.ratio(name, BARE_OUR_CONF):.2f}",
        ),
    )
