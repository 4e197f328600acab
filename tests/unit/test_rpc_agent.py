"""The Agent service over real mTLS: what crosses, who is refused, and what silence means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc import aio
from prometheus_client import CollectorRegistry

from csi_driver.cli import certificates
from csi_driver.errors import (
    CommandFailed,
    Denied,
    DriverError,
    InternalError,
    Kind,
    NotFound,
    StillWorking,
    Unavailable,
    Unsupported,
    by_kind,
)
from csi_driver.kit import deadline
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.model.inventory import Change
from csi_driver.model.publication import Attachment
from csi_driver.model.secret import Secret
from csi_driver.model.volume import Content
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.rpc.agent_server import AgentServer
from csi_driver.rpc.gen import agent_pb2 as pb
from csi_driver.settings import PoolSettings, TlsSettings
from tests.unit.relay import relay_to
from tests.unit.rpc_fakes import CUT, CUT_ID, ID, INFO, ORDER, SNAPSHOT, SPEC, VOLUME, FakeAgent, Pki

Connect = Callable[..., AgentClient]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
async def port(pki: Pki, agent: FakeAgent) -> AsyncIterator[int]:
    server = AgentServer(
        agent,
        listen="127.0.0.1:0",
        tls_settings=pki.node("n1"),
        metrics=RpcMetrics(CollectorRegistry()),
        heartbeat=0.1,
    )
    port = await server.start()
    yield port
    await server.stop(grace=1)


@pytest.fixture
async def connect(pki: Pki, port: int) -> AsyncIterator[Connect]:
    clients: list[AgentClient] = []

    def make(node: str = "n1", tls: TlsSettings | None = None, at: int = port, silence: float = 5.0) -> AgentClient:
        client = AgentClient(node, f"127.0.0.1:{at}", tls or pki.controller(), silence=silence)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.close()


async def drain(stream: AsyncIterator[Change]) -> None:
    async for change in stream:
        assert not change.full


async def test_every_verb_crosses(connect: Connect, agent: FakeAgent) -> None:
    client = connect()
    assert await client.describe() == INFO
    claimed = await client.claim(SPEC)
    assert claimed.content is Content.CLAIMED
    assert await client.find(ID.key) == (claimed,)
    assert (await client.commit(ID)).content is Content.READY
    assert (await client.extend(ID, 2 << 30)).size == 2 << 30
    assert await client.get(ID) == agent.volumes[ID]
    published = await client.publish(ORDER)
    assert published.request == ORDER
    assert published.secret == Secret("hush")
    assert await client.publications(ID) == await agent.publications(ID)
    pools = (PoolSettings(name="fast", vg="vg0", thin_pool="t", overcommit=2.5, labels={"a": "b"}, nodes=("*",)),)
    await client.choose_pools(pools)
    assert agent.chosen == pools
    assert await client.unpublish(ID, "n2") == 7
    await client.drop(ID)
    assert not agent.volumes
    await client.delete(ID)


async def test_every_verb_of_snapshots_crosses(connect: Connect, agent: FakeAgent) -> None:
    client = connect()
    assert await client.cut(CUT) == SNAPSHOT
    assert await client.find_snapshots(CUT_ID.key) == (SNAPSHOT,)
    assert await client.get_snapshot(CUT_ID) == SNAPSHOT
    await client.delete_snapshot(CUT_ID)
    assert not agent.snapshots
    with pytest.raises(NotFound):
        await client.get_snapshot(CUT_ID)


async def test_a_secret_is_held_and_released(connect: Connect, agent: FakeAgent) -> None:
    client = connect()
    attachment = Attachment(volume=ID, number=7, portals=("[fd00::1]:3260",), chap_user="u", secret=Secret("hush"))
    await client.hold(attachment)
    assert agent.held == [attachment]
    await client.release(ID, 6)
    assert agent.held == [attachment]
    await client.release(ID, 7)
    assert agent.held == []


@pytest.mark.parametrize("kind", list(Kind))
async def test_an_error_crosses_as_what_it_is(connect: Connect, agent: FakeAgent, kind: Kind) -> None:
    agent.failures["get"] = by_kind(kind)("what went wrong")
    with pytest.raises(by_kind(kind), match="what went wrong") as caught:
        await connect().get(ID)
    assert type(caught.value) is by_kind(kind)


async def test_a_failed_command_crosses_as_internal(connect: Connect, agent: FakeAgent) -> None:
    agent.failures["get"] = CommandFailed("lvs", 5, "no such group")
    with pytest.raises(InternalError, match="no such group"):
        await connect().get(ID)


async def test_a_bug_crosses_without_its_text(connect: Connect, agent: FakeAgent) -> None:
    agent.failures["get"] = KeyError("hush")
    with pytest.raises(InternalError, match=r"^internal error, see the log$"):
        await connect().get(ID)


# -- who is refused


async def test_a_node_s_key_opens_no_agent(connect: Connect, pki: Pki) -> None:
    with pytest.raises(Unavailable):  # in the handshake: it is good for servers only
        await connect(tls=pki.node("n2")).describe()


async def test_a_certificate_of_our_ca_without_the_role_is_refused_in_words(connect: Connect, pki: Pki) -> None:
    names = [x509.UniformResourceIdentifier("urn:clinker:node:n2")]
    tls = pki.write("n2", certificates.issue(pki.ca, "n2", names, ExtendedKeyUsageOID.CLIENT_AUTH, days=1))
    with pytest.raises(Denied, match="came from urn:clinker:node:n2"):
        await connect(tls=tls).describe()
    client = connect(tls=tls)
    with pytest.raises(Denied):
        await anext(client.watch())


async def test_a_controller_of_another_ca_is_refused(connect: Connect, pki: Pki, tmp_path: Path) -> None:
    other = Pki(tmp_path / "other").controller()
    trusting = TlsSettings(ca=pki.controller().ca, certificate=other.certificate, key=other.key)
    with pytest.raises(Unavailable):
        await connect(tls=trusting).describe()


async def test_an_agent_of_another_ca_is_not_believed(connect: Connect, pki: Pki, tmp_path: Path) -> None:
    ours = pki.controller()
    mistaken = TlsSettings(ca=Pki(tmp_path / "other").controller().ca, certificate=ours.certificate, key=ours.key)
    with pytest.raises(Unavailable):
        await connect(tls=mistaken).describe()


async def test_the_agent_of_another_node_is_not_believed(connect: Connect) -> None:
    with pytest.raises(Unavailable, match="node n2"):
        await connect(node="n2").describe()


async def test_a_caller_without_a_certificate_is_refused(pki: Pki, port: int) -> None:
    credentials = grpc.ssl_channel_credentials(pki.ca.certificate)
    options = (("grpc.ssl_target_name_override", "n1.agent.clinker"),)
    async with aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        call = channel.unary_unary(
            "/clinker.agent.v1.Agent/Describe",
            request_serializer=pb.DescribeRequest.SerializeToString,
            response_deserializer=pb.AgentInfo.FromString,
        )
        with pytest.raises(aio.AioRpcError) as caught:
            await call(pb.DescribeRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


# -- time and silence


async def test_a_deadline_ends_the_wait(connect: Connect, agent: FakeAgent) -> None:
    client = connect()
    await client.describe()
    agent.gates["get"].clear()
    with deadline.expires_in(0.5), pytest.raises(StillWorking, match="node n1"):
        await client.get(ID)


async def test_nobody_at_the_address_is_unavailable(connect: Connect) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        with pytest.raises(Unavailable, match="does not answer"):
            await connect(at=taken.getsockname()[1]).describe()


async def test_a_host_that_swallows_connections_is_unavailable_and_not_at_work(connect: Connect) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(1)
        with deadline.expires_in(0.6), pytest.raises(Unavailable):
            await connect(at=mute.getsockname()[1]).describe()


async def test_a_host_that_falls_silent_is_noticed(pki: Pki, port: int, agent: FakeAgent) -> None:
    """As after a power cut: no connection is closed, nothing is answered, and no call has a deadline."""
    async with relay_to(port) as (address, power_cut):
        client = AgentClient("n1", address, pki.controller(), silence=60, notice=1.6)
        stream = client.watch()
        await anext(stream)
        agent.gates["get"].clear()
        call = asyncio.create_task(client.get(ID))
        power_cut.set()
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable, match="ping timeout"):
                await drain(stream)
            with pytest.raises(Unavailable, match="ping timeout"):
                await call
        await client.close()


async def test_a_verb_that_the_agent_does_not_know_is_unavailable(pki: Pki) -> None:
    server = aio.server()
    tls = pki.node("n1")
    credentials = grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())], tls.ca.read_bytes(), require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    client = AgentClient("n1", f"127.0.0.1:{port}", pki.controller())
    try:
        with pytest.raises(Unavailable, match="too old"):
            await client.describe()
    finally:
        await client.close()
        await server.stop(None)


async def test_an_agent_that_itself_says_unsupported_is_believed(connect: Connect, agent: FakeAgent) -> None:
    agent.failures["publish"] = Unsupported("no portals here")
    with pytest.raises(Unsupported):
        await connect().publish(ORDER)


async def test_missing_certificates_are_told(connect: Connect, tmp_path: Path) -> None:
    missing = TlsSettings(ca=tmp_path / "no", certificate=tmp_path / "no", key=tmp_path / "no")
    with pytest.raises(DriverError, match=r"no: No such file"):
        await connect(tls=missing).describe()


# -- the inventory


async def test_the_inventory_begins_full_and_goes_on(connect: Connect, agent: FakeAgent) -> None:
    agent.volumes[ID] = VOLUME
    stream = connect().watch()
    first = await anext(stream)
    assert first == Change(full=True, info=INFO, pools=(), volumes=(VOLUME,), wanted=())
    assert await anext(stream) == Change()  # a sign of life
    agent.changes.put_nowait(Change(volumes_gone=(ID,)))
    while (change := await anext(stream)) == Change():
        pass
    assert change == Change(volumes_gone=(ID,))
    await stream.aclose()


async def test_leaving_the_inventory_ends_it_at_the_agent_too(connect: Connect, agent: FakeAgent) -> None:
    stream = connect().watch()
    await anext(stream)
    assert agent.watchers == 1
    await stream.aclose()
    async with asyncio.timeout(5):
        await agent.left.wait()
    assert agent.watchers == 0


async def test_an_inventory_that_the_agent_ends_is_unavailable(connect: Connect, agent: FakeAgent) -> None:
    stream = connect().watch()
    await anext(stream)
    agent.changes.put_nowait(None)
    with pytest.raises(Unavailable, match="ended its inventory"):
        await drain(stream)


async def test_an_agent_without_heartbeat_is_unavailable(pki: Pki, agent: FakeAgent) -> None:
    metrics = RpcMetrics(CollectorRegistry())
    server = AgentServer(agent, listen="127.0.0.1:0", tls_settings=pki.node("n1"), metrics=metrics, heartbeat=3600.0)
    # The limit holds for the first message too, and so for the connection: far above what that takes.
    client = AgentClient("n1", f"127.0.0.1:{await server.start()}", pki.controller(), silence=2.0)
    stream = client.watch()
    await anext(stream)
    with pytest.raises(Unavailable, match="no sign of life"):
        await drain(stream)
    await client.close()
    await server.stop(grace=0)


async def test_a_stopping_server_ends_its_streams(pki: Pki, agent: FakeAgent) -> None:
    metrics = RpcMetrics(CollectorRegistry())
    server = AgentServer(agent, listen="127.0.0.1:0", tls_settings=pki.node("n1"), metrics=metrics)
    client = AgentClient("n1", f"127.0.0.1:{await server.start()}", pki.controller())
    stream = client.watch()
    await anext(stream)
    async with asyncio.timeout(5):  # far below the grace
        await server.stop(grace=60)
    with pytest.raises(Unavailable, match="stopping"):
        await anext(stream)
    await client.close()


async def test_an_answer_in_a_newer_language_is_unavailable(connect: Connect, agent: FakeAgent) -> None:
    class Newer:
        value = "zoned"

    odd = VOLUME.__class__(**{name: getattr(VOLUME, name) for name in VOLUME.__dataclass_fields__})
    object.__setattr__(odd, "layout", Newer)
    agent.volumes[ID] = odd
    with pytest.raises(Unavailable, match="newer language"):
        await connect().get(ID)


async def test_a_server_on_a_taken_address_says_so(pki: Pki, agent: FakeAgent, port: int) -> None:
    metrics = RpcMetrics(CollectorRegistry())
    second = AgentServer(agent, listen=f"127.0.0.1:{port}", tls_settings=pki.node("n1"), metrics=metrics)
    with pytest.raises(InternalError, match=f"cannot listen on 127.0.0.1:{port}"):
        await second.start()
    await second.stop(grace=0)


# -- renewal


async def test_renewed_certificates_are_taken_up_without_a_restart(connect: Connect, pki: Pki) -> None:
    """Everything is issued anew by another CA: with what was read at the start nobody could connect any more."""
    ours = pki.controller()
    client = connect(tls=ours)
    stream = client.watch()
    await anext(stream)
    pki.ca = certificates.make_ca(days=1)
    assert pki.node("n1").key.exists()
    assert pki.controller() == ours
    assert await client.describe() == INFO
    with pytest.raises(Unavailable, match="renewed"):
        await drain(stream)
    assert (await anext(client.watch())).full


async def test_a_volume_that_is_not_there_is_not_found(connect: Connect) -> None:
    with pytest.raises(NotFound, match=str(ID)):
        await connect().get(ID)
