"""The small parts of a process: the folder lock, who the node is, metrics, the fault layer, what must be set."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from csi_driver.errors import CommandFailed, InternalError, InvalidRequest, Unavailable
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, HostRunner
from csi_driver.settings import (
    AgentSettings,
    ControllerSettings,
    FleetMember,
    IdentitySettings,
    KubernetesSettings,
    Settings,
)
from csi_driver.testing.faults import KillProcess
from csi_driver.testing.host import SimHost
from csi_driver.wiring import controller, lock, node
from csi_driver.wiring.doors import ATTACHMENTS, JOURNAL, OFFER, STAGES, HostDoors
from csi_driver.wiring.effects import effects
from csi_driver.wiring.identity import NodeIdentity, node_name
from csi_driver.wiring.metrics import MetricsPart
from csi_driver.wiring.own_key import OwnKeyPart, agent_tls
from tests.unit.rpc_fakes import Pki

# -- the folder lock


async def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    async def enter() -> None:
        async with lock.held(tmp_path):
            pass

    async with lock.held(tmp_path):
        second = asyncio.create_task(enter())
        done, _ = await asyncio.wait({second}, timeout=0.1)
        assert not done
    await asyncio.wait_for(second, 5)


async def test_the_lock_goes_with_the_process(tmp_path: Path) -> None:
    code = f"import fcntl; fcntl.flock(open({str(tmp_path / 'lock')!r}, 'w'), fcntl.LOCK_EX)"
    await HostRunner().run(Command(argv=(sys.executable, "-c", code)))
    async with asyncio.timeout(5), lock.held(tmp_path):
        pass


async def test_what_we_start_does_not_keep_the_lock(tmp_path: Path) -> None:
    async with lock.held(tmp_path):
        (held,) = [each for each in Path("/proc/self/fd").iterdir() if each.resolve() == tmp_path / "lock"]
        assert not os.get_inheritable(int(held.name))


async def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InternalError, match="state_folder"):
        async with lock.held(tmp_path / "file" / "state"):
            pass


# -- who the node is


class Initiator:
    """A host whose open-iscsi may be missing."""

    def __init__(self) -> None:
        self.text = ""

    async def name(self) -> str:
        if not self.text:
            raise Unavailable("no open-iscsi")
        return self.text


async def test_the_initiator_is_looked_at_again_and_not_forgotten() -> None:
    host, initiator = SimHost("n1"), Initiator()
    settings = Settings(node="n1", zone="z1", agent=AgentSettings(portals=("10.0.0.1:3260",)))
    identity = NodeIdentity(settings, host.facts, initiator)  # type: ignore[arg-type]  # only its name is asked for
    await identity.look()
    assert identity.describe().initiator == ""
    initiator.text = "iqn.2026-11.test:n1"
    await identity.look()
    initiator.text = ""
    await identity.look()
    info = identity.describe()
    assert (info.node, info.initiator, info.portals) == ("n1", "iqn.2026-11.test:n1", ("10.0.0.1:3260",))
    assert info.segments == {"csi.clinker.io/node": "n1", "topology.kubernetes.io/zone": "z1"}


def test_a_node_without_a_name_has_its_host_s() -> None:
    assert node_name(Settings()) == os.uname().nodename


# -- metrics


async def test_metrics_are_served() -> None:
    part = MetricsPart("127.0.0.1:0")
    await part.start()
    assert part._serving is not None
    port = part._serving[0].server_port
    text = await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    )
    assert "process_resident_memory_bytes" in text
    taken = MetricsPart(f"127.0.0.1:{port}")
    with pytest.raises(InternalError, match="metrics cannot be served"):
        await taken.start()
    await taken.close()
    await part.close()


@pytest.mark.parametrize("listen", ["9090", ":9090", "localhost:http", "localhost:99999"])
def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(InvalidRequest, match="must be address:port"):
        MetricsPart(listen)


# -- the fault layer, and what must be set


def test_the_fault_layer_is_put_in_only_when_it_is_asked_for() -> None:
    assert type(effects(Settings())) is Effects
    assert isinstance(effects(Settings(fault_plan="lvm.remove:1:before")), KillProcess)
    with pytest.raises(InvalidRequest, match="fault_plan"):
        effects(Settings(fault_plan="oops"))


async def test_a_controller_needs_agents_in_one_way(tmp_path: Path) -> None:
    listed = (FleetMember(node="n1", address="127.0.0.1:1"),)
    found = KubernetesSettings(namespace="clinker", selector="app=node", service_account="clinker-node")
    tls = Pki(tmp_path).controller()
    for wrong in (
        ControllerSettings(),
        ControllerSettings(agents=listed),
        ControllerSettings(tls=tls),
        ControllerSettings(tls=tls, agents=listed, kubernetes=found),
    ):
        with pytest.raises(InvalidRequest, match=r"either \[\[controller\.agents\]\] or \[controller\.kubernetes\]"):
            controller.parts(Settings(controller=wrong))
    for right in (ControllerSettings(tls=tls, agents=listed), ControllerSettings(tls=tls, kubernetes=found)):
        names = [type(part).__name__ for part in controller.parts(Settings(controller=right))]
        assert names[0] == "HealthPart"
        assert names[-2:] == ["ControlPart", "CsiPart"]


async def test_a_node_needs_one_identity(tmp_path: Path) -> None:
    host = SimHost("n1")
    doors = HostDoors(
        storage=host.storage,
        consumer=host.consumer,
        journal=host.records(JOURNAL),
        attachments=host.records(ATTACHMENTS),
        stages=host.records(STAGES),
        offer=host.records(OFFER),
        plans=host.records("plans"),
    )
    with pytest.raises(InvalidRequest, match=r"agent\.tls"):
        node.parts(Settings(agent=AgentSettings(listen="127.0.0.1:0")), doors)
    tls = Pki(tmp_path).node("n1")
    own = IdentitySettings(ca=tls.ca, token=tmp_path / "token")
    with pytest.raises(InvalidRequest, match=r"agent\.tls"):
        node.parts(Settings(agent=AgentSettings(listen="127.0.0.1:0", tls=tls, identity=own)), doors)
    with pytest.raises(InvalidRequest, match=r"agent\.listen"):
        node.parts(Settings(agent=AgentSettings(tls=tls)), doors)

    def names(agent: AgentSettings) -> list[str]:
        return [type(part).__name__ for part in node.parts(Settings(agent=agent), doors)]

    issued = names(AgentSettings(listen="127.0.0.1:0", tls=tls))
    assert issued[-1] == "AgentServerPart"
    assert "OwnKeyPart" not in issued
    assert names(AgentSettings(listen="127.0.0.1:0", identity=own))[-2:] == ["OwnKeyPart", "AgentServerPart"]


# -- the agent's own key


async def test_an_agent_makes_a_new_key_at_each_start(tmp_path: Path) -> None:
    identity = IdentitySettings(ca=tmp_path / "ca.crt", token=tmp_path / "token")
    settings = Settings(node="n1", run_folder=tmp_path, agent=AgentSettings(identity=identity))
    tls, token = agent_tls(settings)
    assert token == identity.token
    keys = set()
    for _ in range(2):
        part = OwnKeyPart(settings)
        await part.start()
        keys.add(tls.key.read_bytes())
        assert tls.key.stat().st_mode & 0o777 == 0o600
        assert tls.certificate.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    assert len(keys) == 2
    with pytest.raises(CommandFailed, match="cannot be a node's name"):
        await OwnKeyPart(dataclasses.replace(settings, node="Not A Node")).start()
