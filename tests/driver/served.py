"""Whole drivers over simulated hosts, put together by ``wiring`` and called through their real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from grpc import aio

from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.gen.csi_pb2_grpc import ControllerStub, IdentityStub, NodeStub
from csi_driver.settings import AgentSettings, ControllerSettings, FleetMember, PoolSettings, Settings
from csi_driver.testing.host import SimHost
from csi_driver.wiring import controller, node, standalone
from csi_driver.wiring.doors import ATTACHMENTS, JOURNAL, OFFER, STAGES, HostDoors
from csi_driver.wiring.process import Part
from tests.unit.rpc_fakes import Pki

POOLS = (PoolSettings(name="fast", vg="vg0", thin_pool="thin0"),)


class Csi:
    """Clients of the services behind one socket."""

    def __init__(self, socket: Path) -> None:
        self.channel = aio.insecure_channel(f"unix:{socket}")
        self.identity = IdentityStub(self.channel)
        self.controller = ControllerStub(self.channel)
        self.node = NodeStub(self.channel)

    async def until_ready(self) -> None:
        async with asyncio.timeout(10):
            while not (await self.identity.Probe(pb.ProbeRequest(), wait_for_ready=True)).ready.value:
                await asyncio.sleep(0.01)


def sim_doors(host: SimHost) -> HostDoors:
    """The doors of a simulated host."""
    return HostDoors(
        storage=host.storage,
        consumer=host.consumer,
        journal=host.records(JOURNAL),
        attachments=host.records(ATTACHMENTS),
        stages=host.records(STAGES),
        offer=host.records(OFFER),
        plans=host.records("plans"),
    )


@asynccontextmanager
async def started(parts: Sequence[Part]) -> AsyncIterator[None]:
    """The parts of a process, up; stopped in order at the end."""
    async with AsyncExitStack() as ends:
        for part in parts:
            await part.start()
            ends.push_async_callback(part.close)
        try:
            yield
        finally:
            for part in reversed(parts):
                await part.quiesce()


@dataclass(frozen=True)
class Cluster:
    """A node process on each of some hosts, and a controller process that knows them all."""

    controller: Csi
    nodes: dict[str, Csi]


@asynccontextmanager
async def cluster(folder: Path, *hosts: SimHost) -> AsyncIterator[Cluster]:
    """``clinker node`` on each host and one ``clinker controller``, which speak mTLS over this machine's loopback."""
    pki = Pki(folder)
    members = []
    async with AsyncExitStack() as ends:
        clients = {}
        for host in hosts:
            members.append(FleetMember(node=host.name, address=f"127.0.0.1:{free_port()}"))
            settings = Settings(
                endpoint=f"unix:{folder}/{host.name}.sock",
                node=host.name,
                agent=AgentSettings(
                    listen=members[-1].address,
                    pools=POOLS if host.machine.groups else (),
                    portals=(host.portal,),
                    tls=pki.node(host.name),
                ),
            )
            await ends.enter_async_context(started(node.parts(settings, sim_doors(host))))
            clients[host.name] = await ends.enter_async_context(client(folder / f"{host.name}.sock"))
        settings = Settings(
            endpoint=f"unix:{folder}/controller.sock",
            controller=ControllerSettings(agents=tuple(members), tls=pki.controller()),
        )
        await ends.enter_async_context(started(controller.parts(settings)))
        yield Cluster(await ends.enter_async_context(client(folder / "controller.sock")), clients)


def free_port() -> int:
    """A TCP port of the loopback address that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def client(path: Path) -> AsyncIterator[Csi]:
    """Of a served socket, once its process says that it is ready."""
    csi = Csi(path)
    await csi.until_ready()
    yield csi
    await csi.channel.close()


@asynccontextmanager
async def one_host(folder: Path, host: SimHost) -> AsyncIterator[Csi]:
    """``clinker standalone`` on ``host``."""
    settings = Settings(
        endpoint=f"unix:{folder}/csi.sock",
        node=host.name,
        agent=AgentSettings(pools=POOLS, portals=(host.portal,)),
        state_folder=folder,
    )
    async with started(standalone.parts(settings, sim_doors(host))), client(folder / "csi.sock") as csi:
        yield csi


@dataclass(frozen=True)
class Walk:
    """One volume's way to a pod and back, step by step as Kubernetes goes it."""

    controller: Csi
    node: Csi
    name: str
    volume: pb.Volume
    capability: pb.VolumeCapability
    staging: str = "/var/lib/kubelet/staging"
    target: str = "/var/lib/kubelet/target"

    async def there(self, host: SimHost) -> dict[str, str]:
        """Attached, staged and bound; the publish context."""
        context = dict(await self.attach())
        await host.mounts.make_folder(self.staging)
        await self.node.node.NodeStageVolume(
            pb.NodeStageVolumeRequest(
                volume_id=self.volume.volume_id,
                staging_target_path=self.staging,
                volume_capability=self.capability,
                publish_context=context,
                volume_context=self.volume.volume_context,
            )
        )
        await self.node.node.NodePublishVolume(
            pb.NodePublishVolumeRequest(
                volume_id=self.volume.volume_id,
                staging_target_path=self.staging,
                target_path=self.target,
                volume_capability=self.capability,
                publish_context=context,
                volume_context=self.volume.volume_context,
            )
        )
        return context

    async def attach(self) -> Mapping[str, str]:
        """ControllerPublishVolume; its publish context."""
        answer = await self.controller.controller.ControllerPublishVolume(
            pb.ControllerPublishVolumeRequest(
                volume_id=self.volume.volume_id,
                node_id=self.name,
                volume_capability=self.capability,
                volume_context=self.volume.volume_context,
            )
        )
        return answer.publish_context

    async def back(self) -> None:
        """Unbound, unstaged and detached."""
        identity = self.volume.volume_id
        await self.node.node.NodeUnpublishVolume(
            pb.NodeUnpublishVolumeRequest(volume_id=identity, target_path=self.target)
        )
        await self.node.node.NodeUnstageVolume(
            pb.NodeUnstageVolumeRequest(volume_id=identity, staging_target_path=self.staging)
        )
        await self.controller.controller.ControllerUnpublishVolume(
            pb.ControllerUnpublishVolumeRequest(volume_id=identity, node_id=self.name)
        )
