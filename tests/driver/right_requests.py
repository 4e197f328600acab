"""For each RPC of CSI a request that is in order, in a world where it succeeds: what a fuzz then changes a little."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from google.protobuf.message import Message
from grpc import StatusCode, aio

from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.testing.host import SimHost
from csi_driver.testing.mounts import SimMounts
from tests.driver.served import Csi
from tests.unit.rpc_driver import MOUNT

PATH = "/var/lib/kubelet/right"


@dataclass
class Right:
    """One driver. Each RPC has a volume and paths of its own, brought to where the RPC finds what it needs."""

    csi: Csi
    host: SimHost
    volumes: dict[str, pb.Volume] = field(default_factory=dict)

    async def request(self, rpc: str) -> Message | None:
        """A request that succeeds now; None for an RPC that needs none, or is not offered."""
        make = _MAKERS.get(rpc)
        return await make(self, rpc) if make else None

    async def clean_up(self) -> None:
        """Nothing of it is left."""
        for rpc, volume in self.volumes.items():
            identity = volume.volume_id
            target, staging = f"{PATH}/{rpc}/target", f"{PATH}/{rpc}/staging"
            await self.csi.node.NodeUnpublishVolume(
                pb.NodeUnpublishVolumeRequest(volume_id=identity, target_path=target)
            )
            await self.csi.node.NodeUnstageVolume(
                pb.NodeUnstageVolumeRequest(volume_id=identity, staging_target_path=staging)
            )
            await self.csi.controller.ControllerUnpublishVolume(pb.ControllerUnpublishVolumeRequest(volume_id=identity))
            await self.csi.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=identity))

    async def volume(self, rpc: str) -> pb.Volume:
        """The RPC's own, made anew when it is gone."""
        known = self.volumes.get(rpc)
        if known is not None:
            try:
                ask = pb.ControllerGetVolumeRequest(volume_id=known.volume_id)
                await self.csi.controller.ControllerGetVolume(ask)
            except aio.AioRpcError as error:
                if error.code() is not StatusCode.NOT_FOUND:
                    raise
            else:
                return known
        made = await self.csi.controller.CreateVolume(
            pb.CreateVolumeRequest(name=f"right-{rpc}", volume_capabilities=[MOUNT])
        )
        self.volumes[rpc] = made.volume
        return made.volume

    async def attach(self, rpc: str) -> pb.ControllerPublishVolumeRequest:
        volume = await self.volume(rpc)
        return pb.ControllerPublishVolumeRequest(
            volume_id=volume.volume_id, node_id="n1", volume_capability=MOUNT, volume_context=volume.volume_context
        )

    async def stage(self, rpc: str) -> pb.NodeStageVolumeRequest:
        answer = await self.csi.controller.ControllerPublishVolume(await self.attach(rpc))
        await SimMounts(self.host.machine).make_folder(f"{PATH}/{rpc}/staging")
        return pb.NodeStageVolumeRequest(
            volume_id=(await self.volume(rpc)).volume_id,
            staging_target_path=f"{PATH}/{rpc}/staging",
            volume_capability=MOUNT,
            publish_context=answer.publish_context,
        )

    async def bind(self, rpc: str) -> pb.NodePublishVolumeRequest:
        staged = await self.stage(rpc)
        await self.csi.node.NodeStageVolume(staged)
        return pb.NodePublishVolumeRequest(
            volume_id=staged.volume_id,
            staging_target_path=staged.staging_target_path,
            target_path=f"{PATH}/{rpc}/target",
            volume_capability=MOUNT,
            publish_context=staged.publish_context,
        )

    async def bound(self, rpc: str) -> pb.NodePublishVolumeRequest:
        request = await self.bind(rpc)
        await self.csi.node.NodePublishVolume(request)
        return request


async def _create(_: Right, rpc: str) -> Message:
    return pb.CreateVolumeRequest(name=f"made-{rpc}", volume_capabilities=[MOUNT])


async def _delete(right: Right, rpc: str) -> Message:
    return pb.DeleteVolumeRequest(volume_id=(await right.volume(rpc)).volume_id)


async def _unpublish(right: Right, rpc: str) -> Message:
    request = await right.attach(rpc)
    await right.csi.controller.ControllerPublishVolume(request)
    return pb.ControllerUnpublishVolumeRequest(volume_id=request.volume_id, node_id="n1")


async def _validate(right: Right, rpc: str) -> Message:
    volume = await right.volume(rpc)
    return pb.ValidateVolumeCapabilitiesRequest(volume_id=volume.volume_id, volume_capabilities=[MOUNT])


async def _expand(right: Right, rpc: str) -> Message:
    volume = await right.volume(rpc)
    wanted = pb.CapacityRange(required_bytes=volume.capacity_bytes)
    return pb.ControllerExpandVolumeRequest(volume_id=volume.volume_id, capacity_range=wanted)


async def _get(right: Right, rpc: str) -> Message:
    return pb.ControllerGetVolumeRequest(volume_id=(await right.volume(rpc)).volume_id)


async def _cut(right: Right, rpc: str) -> pb.CreateSnapshotRequest:
    return pb.CreateSnapshotRequest(name=f"cut-{rpc}", source_volume_id=(await right.volume(rpc)).volume_id)


async def _snapshot(right: Right, rpc: str) -> str:
    return (await right.csi.controller.CreateSnapshot(await _cut(right, rpc))).snapshot.snapshot_id


async def _delete_snapshot(right: Right, rpc: str) -> Message:
    return pb.DeleteSnapshotRequest(snapshot_id=await _snapshot(right, rpc))


async def _get_snapshot(right: Right, rpc: str) -> Message:
    return pb.GetSnapshotRequest(snapshot_id=await _snapshot(right, rpc))


async def _unstage(right: Right, rpc: str) -> Message:
    request = await right.stage(rpc)
    await right.csi.node.NodeStageVolume(request)
    return pb.NodeUnstageVolumeRequest(volume_id=request.volume_id, staging_target_path=request.staging_target_path)


async def _unbind(right: Right, rpc: str) -> Message:
    request = await right.bound(rpc)
    return pb.NodeUnpublishVolumeRequest(volume_id=request.volume_id, target_path=request.target_path)


async def _stats(right: Right, rpc: str) -> Message:
    request = await right.bound(rpc)
    return pb.NodeGetVolumeStatsRequest(volume_id=request.volume_id, volume_path=request.target_path)


async def _grow(right: Right, rpc: str) -> Message:
    request = await right.bound(rpc)
    return pb.NodeExpandVolumeRequest(volume_id=request.volume_id, volume_path=request.target_path)


_MAKERS: dict[str, Callable[[Right, str], Awaitable[Message]]] = {
    "CreateVolume": _create,
    "DeleteVolume": _delete,
    "ControllerPublishVolume": Right.attach,
    "ControllerUnpublishVolume": _unpublish,
    "ValidateVolumeCapabilities": _validate,
    "ControllerExpandVolume": _expand,
    "ControllerGetVolume": _get,
    "CreateSnapshot": _cut,
    "DeleteSnapshot": _delete_snapshot,
    "GetSnapshot": _get_snapshot,
    "NodeStageVolume": Right.stage,
    "NodeUnstageVolume": _unstage,
    "NodePublishVolume": Right.bind,
    "NodeUnpublishVolume": _unbind,
    "NodeGetVolumeStats": _stats,
    "NodeExpandVolume": _grow,
}
