"""An agent that made its own key: proven by a token, pinned from then on, proven again after it changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import CollectorRegistry

from csi_driver.cli import certificates
from csi_driver.errors import Denied, Unavailable
from csi_driver.kit import deadline
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.rpc.agent_server import AgentServer
from csi_driver.settings import TlsSettings
from tests.unit.rpc_fakes import INFO, FakeAgent, Pki


class Node:
    """An agent with a key of its own, which may be started anew on the same port."""

    def __init__(self, pki: Pki, name: str = "n1", token: str = "token-of-n1") -> None:
        self.agent, self._pki, self._name = FakeAgent(), pki, name
        self.token = pki.folder / f"token-{name}"
        self.token.write_text(f"{token}\n")
        self.tls = pki.write(f"self-{name}", certificates.make_self_signed(name, days=1))
        self.port, self.calls = 0, CollectorRegistry()
        self._metrics = RpcMetrics(self.calls)
        self._server: AgentServer | None = None

    def renew(self) -> None:
        self._pki.write(f"self-{self._name}", certificates.make_self_signed(self._name, days=1))

    async def start(self) -> None:
        self._server = AgentServer(
            self.agent,
            listen=f"127.0.0.1:{self.port}",
            tls_settings=self.tls,
            token=self.token,
            metrics=self._metrics,
        )
        self.port = await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    def answered(self, method: str) -> float:
        """How often."""
        return sum(
            sample.value
            for metric in self.calls.collect()
            for sample in metric.samples
            if sample.name.endswith("_count") and sample.labels.get("method") == method
        )


class Judge:
    """Takes ``token-of-NODE`` for a proof."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self, node: str, token: str) -> None:
        self.asked.append((node, token))
        await self.gate.wait()
        if token != f"token-of-{node}":
            raise Denied(f"{token} is not of {node}")


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
async def node(pki: Pki) -> AsyncIterator[Node]:
    node = Node(pki)
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def client(pki: Pki, node: Node, judge: Judge) -> AsyncIterator[AgentClient]:
    client = AgentClient("n1", f"127.0.0.1:{node.port}", pki.controller(), check=judge.check)
    yield client
    await client.close()


async def test_it_is_proven_once_and_then_spoken_to(client: AgentClient, judge: Judge, node: Node) -> None:
    assert await asyncio.gather(*(client.describe() for _ in range(5))) == [INFO] * 5
    assert judge.asked == [("n1", "token-of-n1")]
    assert (node.answered("Prove"), node.answered("Describe")) == (1, 5)


async def test_nothing_is_asked_of_who_has_not_proven(client: AgentClient, node: Node) -> None:
    node.token.write_text("token-of-n2")
    with pytest.raises(Unavailable, match="is not proven: token-of-n2 is not of n1"):
        await client.describe()
    with pytest.raises(Unavailable, match="is not proven"):
        await anext(client.watch())
    assert (node.answered("Prove"), node.answered("Describe"), node.agent.watchers) == (2, 0, 0)
    node.token.write_text("token-of-n1")  # kubelet has written the right one
    assert await client.describe() == INFO


async def test_no_token_for_who_is_no_controller(pki: Pki, node: Node, judge: Judge) -> None:
    """A node's own key, even one of the CA, opens no other node; a stranger's key not even a connection."""
    other = certificates.issue(pki.ca, "n2", [x509.DNSName("n2")], ExtendedKeyUsageOID.CLIENT_AUTH, days=1)
    stranger = certificates.issue_controller(certificates.make_ca(days=1), days=1)
    for name, pair in (("roleless", other), ("stranger", stranger)):
        client = AgentClient("n1", f"127.0.0.1:{node.port}", pki.write(name, pair), check=judge.check)
        with pytest.raises(Unavailable, match="is not proven"):
            await client.describe()
        await client.close()
    assert judge.asked == []


async def test_an_agent_of_another_node_in_its_place(
    pki: Pki, node: Node, client: AgentClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert await client.describe() == INFO
    await node.stop()
    # Everything stolen from n2: its key, its token. It listens where n1 was.
    thief = Node(pki, name="n2", token="token-of-n2")
    thief.port = node.port
    await thief.start()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await client.describe()
    assert thief.answered("Describe") == 0
    await thief.stop()
    assert "token-of" not in "".join(record.getMessage() + str(vars(record)) for record in caplog.records)


async def test_a_new_key_is_proven_again_and_the_same_key_is_not(client: AgentClient, judge: Judge, node: Node) -> None:
    assert await client.describe() == INFO
    for renewed, proofs in ((False, 1), (True, 2)):
        await node.stop()
        with pytest.raises(Unavailable):
            await client.describe()
        if renewed:
            node.renew()
        await node.start()
        async with asyncio.timeout(10):
            while True:
                try:
                    assert await client.describe() == INFO
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        assert len(judge.asked) == proofs


async def test_our_own_new_certificate_means_a_new_connection(pki: Pki, client: AgentClient, judge: Judge) -> None:
    assert await client.describe() == INFO
    pki.controller()  # written anew in the same place
    assert await client.describe() == INFO
    assert len(judge.asked) == 2


async def test_an_agent_with_a_certificate_of_the_ca_has_no_token(pki: Pki, judge: Judge) -> None:
    server = AgentServer(
        FakeAgent(), listen="127.0.0.1:0", tls_settings=pki.node("n1"), metrics=RpcMetrics(CollectorRegistry())
    )
    client = AgentClient("n1", f"127.0.0.1:{await server.start()}", pki.controller(), check=judge.check)
    with pytest.raises(Unavailable, match="is not proven: this agent has no token"):
        await client.describe()
    await client.close()
    await server.stop(0)


async def test_a_proof_that_takes_long_holds_nobody_beyond_the_deadline(client: AgentClient, judge: Judge) -> None:
    judge.gate.clear()
    with deadline.expires_in(0.5), pytest.raises(Unavailable, match="not answered in time"):
        await client.describe()
    judge.gate.set()
    assert await client.describe() == INFO
    assert len(judge.asked) == 1  # the wait was given up, the proof was not


async def test_closing_ends_the_wait(client: AgentClient, judge: Judge) -> None:
    judge.gate.clear()
    waiting = asyncio.create_task(client.describe())
    while not judge.asked:
        await asyncio.sleep(0.01)
    await client.close()
    with pytest.raises(Unavailable, match="no longer called"):
        await waiting
    with pytest.raises(Unavailable, match="no longer called"):
        await client.describe()


@pytest.mark.parametrize("port", ["1", "0"])
async def test_nobody_there(pki: Pki, judge: Judge, port: str) -> None:
    client = AgentClient("n1", f"127.0.0.1:{port}", pki.controller(), check=judge.check)
    with pytest.raises(Unavailable, match="is not proven"):
        await client.describe()
    await client.close()


async def test_without_our_own_certificate(tmp_path: Path, judge: Judge) -> None:
    tls = TlsSettings(ca=tmp_path / "ca.crt", certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    client = AgentClient("n1", "127.0.0.1:1", tls, check=judge.check)
    with pytest.raises(Unavailable, match=r"ca\.crt: No such file"):
        await client.describe()
    await client.close()
