"""A whole CSI server on a Unix socket over in-memory verbs, and requests for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from grpc import StatusCode, aio
from prometheus_client import CollectorRegistry

from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.rpc.csi_server import CsiServer
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.gen.csi_pb2_grpc import ControllerStub, IdentityStub, NodeStub
from tests.unit.rpc_fakes import FakeController, FakeNode

Q = TypeVar("Q")
A = TypeVar("A")

Mode = pb.VolumeCapability.AccessMode
MOUNT = pb.VolumeCapability(
    mount=pb.VolumeCapability.MountVolume(fs_type="ext4", mount_flags=["noatime"]),
    access_mode=Mode(mode=Mode.SINGLE_NODE_WRITER),
)
BLOCK = pb.VolumeCapability(
    block=pb.VolumeCapability.BlockVolume(), access_mode=Mode(mode=Mode.SINGLE_NODE_MULTI_WRITER)
)
MOUNTED = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT, FsType.EXT4, ("noatime",))
RAW = Capability(AccessMode.SINGLE_NODE_MULTI_WRITER, AccessType.BLOCK)


class Driver:
    """A served driver and a channel to it."""

    def __init__(self, folder: Path) -> None:
        self.controller, self.node, self.ready = FakeController(), FakeNode(), True
        self.registry = CollectorRegistry()
        self.path = folder / "deep" / "csi.sock"
        self.server = CsiServer(
            f"unix://{self.path}",
            RpcMetrics(self.registry),
            ready=lambda: self.ready,
            controller=self.controller,
            node=self.node,
        )
        self.channel = aio.insecure_channel(f"unix:{self.path}")
        self.identity, self.controls, self.nodes = (
            IdentityStub(self.channel),
            ControllerStub(self.channel),
            NodeStub(self.channel),
        )


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Driver]:
    driver = Driver(folder)
    await driver.server.start()
    yield driver
    await driver.channel.close()
    await driver.server.stop(grace=1)
    assert not driver.path.exists()


async def refusal(call: aio.UnaryUnaryCall[Q, A]) -> tuple[StatusCode, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    metadata = [key for key, _ in caught.value.trailing_metadata()]
    assert "grpc-status-details-bin" not in metadata
    assert "clinker-kind" not in metadata
    return caught.value.code(), caught.value.details() or ""
