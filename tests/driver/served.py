"""Whole drivers over simulated hosts, put together by ``wiring`` and called through their real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from grpc import aio

from csi_driver.rpc.gen.csi_pb2_grpc import ControllerStub, IdentityStub, NodeStub
from csi_driver.settings import AgentSettings, PoolSettings, Settings
from csi_driver.testing.host import SimHost
from csi_driver.wiring import standalone
from csi_driver.wiring.doors import ATTACHMENTS, JOURNAL, STAGES, HostDoors
from csi_driver.wiring.process import Part
from csi_driver.rpc.gen import csi_pb2 as pb

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


@asynccontextmanager
async def one_host(folder: Path, host: SimHost) -> AsyncIterator[Csi]:
    """``clinker standalone`` on ``host``."""
    settings = Settings(
        endpoint=f"unix:{folder}/csi.sock",
        node=host.name,
        agent=AgentSettings(pools=POOLS, portals=(host.portal,)),
        state_folder=folder,
    )
    async with started(standalone.parts(settings, sim_doors(host))):
        csi = Csi(folder / "csi.sock")
        await csi.until_ready()
        yield csi
        await csi.channel.close()
