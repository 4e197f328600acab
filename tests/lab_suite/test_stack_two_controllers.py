"""Two controllers, one name, two nodes to choose from: one volume, whichever of them dies at whatever step."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from csi_driver.model.ids import volume_key
from csi_driver.model.sizes import GIB, MIB
from tests.lab import HostSpec, Lab
from tests.lab.process import GuestProcess
from tests.stack.csi import Csi, mount
from tests.stack.stack import CONTROLLER_SOCKET, Stack

SECOND_SOCKET = "/run/clinker-controller/second.sock"
STEPS = [f"agent.{verb}:1:{when}" for verb in ("claim", "commit") for when in ("before", "after")]
AGENT_STEPS = [
    f"{name}:{number}:{when}"
    for name, number in (("lvm.create_thin", 1), ("formatter.make", 1), ("lvm.change_tags", 1), ("lvm.change_tags", 2))
    for when in ("before", "after")
]


class Pair:
    """A stack whose controller has a twin on the same host."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.host = stack.controller_host
        self._plain = self.host.get("/etc/clinker/controller/settings.toml").decode()
        self._twin = self._plain.replace(CONTROLLER_SOCKET, SECOND_SOCKET)
        self.clients = {
            "first": Csi(self.host.socket(CONTROLLER_SOCKET), timeout=20),
            "second": Csi(self.host.socket(SECOND_SOCKET), timeout=20),
        }
        self._processes = {"second": self._spawn("second", self._twin)}
        self.await_ready()

    def restart(self, name: str, plan: str = "") -> None:
        """Anew, to die at ``plan``."""
        old = self.stack.processes.pop("controller") if name == "first" else self._processes.pop(name)
        if old.poll() is None:
            old.kill()
        text = (self._plain if name == "first" else self._twin).replace('fault_plan = ""', f'fault_plan = "{plan}"')
        process = self._spawn(name, text)
        if name == "first":
            self.stack.processes["controller"] = process
        else:
            self._processes[name] = process

    def await_ready(self) -> None:
        """Both have heard every agent."""
        for client in self.clients.values():
            until = time.monotonic() + 60
            while not _sees_all(client):
                assert time.monotonic() < until, "a controller does not come up"
                time.sleep(0.1)

    def _spawn(self, name: str, text: str) -> GuestProcess:
        path = f"/etc/clinker/controller/{name}.toml"
        self.host.put(path, text.encode())
        return self.host.spawn(["clinker", "controller", "--config", path], name=f"controller-{name}")


def _sees_all(client: Csi) -> bool:
    try:
        return client.ready(timeout=2.0) and client.capacity("host1") > 0 and client.capacity("host2") > 0
    except grpc.RpcError:
        return False


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Lab([HostSpec("host1", (4 * GIB,)), HostSpec("host2", (4 * GIB,)), HostSpec("host3")]) as lab:
        stack = Stack(lab=lab)
        stack.up()
        yield Pair(stack)


def race(pair: Pair, name: str, revive: str, patience: float = 60.0) -> dict[str, str]:
    """Both create ``name``, each near another node, and repeat until OK; the controller ``revive`` is started again
    without a plan when it died. The id that each was answered.
    """
    ids: dict[str, str] = {}

    def create(which: str, near: str) -> None:
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                ids[which] = pair.clients[which].create(name, 64 * MIB, mount(), near=near, timeout=15).volume_id
                return
            except grpc.RpcError:
                time.sleep(0.2)

    threads = [threading.Thread(target=create, args=each) for each in (("first", "host1"), ("second", "host2"))]
    for thread in threads:
        thread.start()
    if revive:
        time.sleep(2)
        pair.restart(revive)
    for thread in threads:
        thread.join()
    return ids


def volumes(pair: Pair, name: str) -> list[str]:
    """``host content`` of every LV of the name, on every host."""
    found = []
    for host in pair.stack.lab.hosts[:2]:
        out = host.run(["lvs", "--noheadings", "-o", "lv_name,lv_tags", "vg0"]).stdout
        for line in out.splitlines():
            if volume_key(name) in line:
                content = re.search(r"clinker\.content=(\w+)", line)
                found.append(f"{host.name} {content[1] if content else '?'}")
    return found


def check_one(pair: Pair, name: str, ids: dict[str, str]) -> None:
    assert len(ids) == 2, f"not both were answered: {ids}"
    assert ids["first"] == ids["second"]
    assert [line.split()[1] for line in volumes(pair, name)] == ["ready"]
    pair.clients["second"].delete(ids["first"])
    assert volumes(pair, name) == []


def test_both_at_once_make_one_volume(pair: Pair) -> None:
    for number in range(3):
        name = f"both-{number}"
        check_one(pair, name, race(pair, name, ""))


@pytest.mark.parametrize("plan", STEPS)
def test_one_dies_at_a_step(pair: Pair, plan: str) -> None:
    pair.restart("first", plan)
    pair.await_ready()
    name = f"dies-{plan}"
    check_one(pair, name, race(pair, name, "first"))


@pytest.mark.parametrize("plan", AGENT_STEPS)
def test_the_agent_dies_at_a_step(pair: Pair, plan: str) -> None:
    stack, host = pair.stack, pair.stack.lab.host("host1")
    path = "/etc/clinker/host1/settings.toml"
    plain = host.get(path).decode()
    host.put(path, plain.replace('fault_plan = ""', f'fault_plan = "{plan}"').encode())
    stack.kill(["host1"])
    stack.start(["host1"])
    pair.await_ready()
    host.put(path, plain.encode())
    name = f"agent-{plan}"
    again = threading.Thread(target=_start_when_dead, args=(stack, "host1"))
    again.start()
    ids = race(pair, name, "")
    again.join()
    assert stack.processes["host1"].poll() is None
    pair.await_ready()
    # A claim that its node brought back after the name was settled elsewhere is never committed; whoever asks for
    # the name again has it dropped.
    assert sorted(line.split()[1] for line in volumes(pair, name))[-1:] == ["ready"]
    assert pair.clients["first"].create(name, 64 * MIB, mount(), near="host1").volume_id == ids["first"]
    check_one(pair, name, ids)


def _start_when_dead(stack: Stack, name: str) -> None:
    """As systemd or a DaemonSet would; not every plan comes to pass, as the other node may win first."""
    until = time.monotonic() + 10
    while stack.processes[name].poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    stack.start([name])


def test_log_says_what_happened(pair: Pair) -> None:
    log = Path(pair.stack.lab.folder, "logs", pair.host.name, "controller-second.log").read_text()
    assert "placing" in log
