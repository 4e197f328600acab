"""The driver at rest: memory of its processes, and the processes that it starts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from csi_driver.model.sizes import MIB
from tests.bench.figures import IDLE_FORKS, RSS_CONTROLLER, RSS_NODE, Figure, Measured
from tests.bench.tracing import Seen, Trace, tree
from tests.lab import Host
from tests.stack.csi import mount
from tests.stack.stack import Stack

VOLUMES = 10
CALM = 10.0
"""Seconds after the last call until the driver counts as at rest."""
MINUTE = 60.0
STAGING = "/var/lib/kubelet/staging/bench-{}"


@dataclass(frozen=True, slots=True)
class Calm:
    """A stack with ten volumes: one used on host1, where it lies, one on the consumer over iSCSI, eight unused."""

    stack: Stack
    spare: str
    """A volume that nobody uses."""

    @classmethod
    def reach(cls, stack: Stack) -> Calm:
        """Make the volumes and wait until nothing is going on."""
        ids = [
            stack.controller.create(f"rest-{number}", 64 * MIB, mount("ext4"), near="host1").volume_id
            for number in range(VOLUMES)
        ]
        for volume, node in zip(ids, (host.name for host in stack.lab.hosts), strict=False):
            use(stack, volume, node)
        time.sleep(CALM)
        return cls(stack, ids[-1])

    def process(self, name: str) -> tuple[Host, int]:
        """Where a process of the driver runs (a host's name or ``controller``), and its id there."""
        host = self.stack.controller_host if name == "controller" else self.stack.lab.host(name)
        return host, self.stack.processes[name].pid

    def names(self) -> tuple[str, ...]:
        """Of all processes of the driver."""
        return tuple(self.stack.processes)


def use(stack: Stack, volume: str, node: str) -> None:
    """Attach and stage."""
    staging = STAGING.format(volume)
    stack.lab.host(node).run(["mkdir", "-p", staging])
    context = stack.controller.attach(volume, node, mount("ext4"))
    stack.node(node).stage(volume, context, staging, mount("ext4"))


def rss_node(calm: Calm) -> Measured:
    """Of the process on host1, which holds the volumes; its ``lvm`` shell is named beside it."""
    return _rss(calm, RSS_NODE, "host1", "node")


def rss_controller(calm: Calm) -> Measured:
    """Of the one controller."""
    return _rss(calm, RSS_CONTROLLER, "controller", "controller")


def idle_forks(calm: Calm) -> Measured:
    """All process trees of the driver together, for a minute; then once more under work, to see that forks show."""
    quiet = _watch(calm, lambda: time.sleep(MINUTE))
    busy = _watch(calm, lambda: use(calm.stack, calm.spare, calm.stack.lab.hosts[-1].name))
    provoked = sum(seen.started for seen in busy.values())
    if provoked == 0:
        raise AssertionError("strace saw no process start when a volume was staged: its zero at rest means nothing")
    found = [f"{name}: {seen.started}{_named(seen)}" for name, seen in quiet.items()]
    return Measured(
        figure=IDLE_FORKS,
        value=sum(seen.started for seen in quiet.values()),
        n=1,
        notes=(
            "one minute of " + "; ".join(found),
            f"the same trace while a volume was attached and staged over iSCSI: {provoked}"
            + "".join(_named(seen) for seen in busy.values()),
        ),
    )


def _watch(calm: Calm, meanwhile: Callable[[], None]) -> dict[str, Seen]:
    places = {name: calm.process(name) for name in calm.names()}
    traces = {name: Trace(host, tree(host, pid)) for name, (host, pid) in places.items()}
    meanwhile()
    return {name: trace.stop() for name, trace in traces.items()}


def _named(seen: Seen) -> str:
    ran = Counter(path.rpartition("/")[2] for path in seen.programs)
    return f" ({', '.join(f'{count} {name}' for name, count in ran.items())})" if ran else ""


def _rss(calm: Calm, figure: Figure, name: str, role: str) -> Measured:
    host, pid = calm.process(name)
    argv = host.get(f"/proc/{pid}/cmdline").split(b"\0")
    if role.encode() not in argv or b"python" not in argv[0]:
        raise AssertionError(f"process {pid} of {host.name} is not `clinker {role}` but {argv}")
    beside = [f"{_comm(host, one)} {_vm_rss(host, one):.1f} MiB" for one in tree(host, pid)[1:]]
    notes = (f"its children, not counted: {', '.join(beside)}",) if beside else ()
    return Measured(figure=figure, value=_vm_rss(host, pid), n=1, notes=notes)


def _comm(host: Host, pid: int) -> str:
    return host.get(f"/proc/{pid}/comm").decode().strip()


def _vm_rss(host: Host, pid: int) -> float:
    """MiB; /proc/PID/status counts in KiB (proc_pid_status(5))."""
    for line in host.get(f"/proc/{pid}/status").decode().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} of {host.name} has no VmRSS: it has ended")
