"""NodePublishVolume: the staged volume shown at a pod's target path, by a bind mount (csi.md 1.8).

What is bound is proven to be the volume: a staging path where nothing is mounted would send the pod's data to the
node's own disk (failures.md D5).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from csi_driver.errors import Incompatible, Precondition
from csi_driver.host.doors import Mount
from csi_driver.model.access import AccessMode, AccessType
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import PublishContext, Transport
from csi_driver.node import look
from csi_driver.node.context import NodeContext, absolute, volume_of
from csi_driver.node.look import Own
from csi_driver.node.order import check_fits, publish_context
from csi_driver.node.requests import BindRequest

log = logging.getLogger(__name__)

SHARED_BY_PODS = frozenset(
    {
        AccessMode.SINGLE_NODE_MULTI_WRITER,
        AccessMode.MULTI_NODE_READER_ONLY,
        AccessMode.MULTI_NODE_SINGLE_WRITER,
        AccessMode.MULTI_NODE_MULTI_WRITER,
    }
)
"""Modes that allow several target paths on one node (CSI spec, NodePublishVolume, second table; csi.md 1.8)."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request, judged without looking at the world."""

    volume: VolumeId
    context: PublishContext
    staging_path: str
    target: str
    access: AccessType
    mode: AccessMode
    readonly: bool

    @property
    def uuid(self) -> str:
        """Of the device that this publication is staged on."""
        if self.context.transport is Transport.LOCAL:
            return self.volume.wrapper_uuid(self.context.number)
        return self.volume.consumer_uuid(self.context.number)


async def publish(context: NodeContext, request: BindRequest) -> None:
    """The volume is at the target path on return; fine when it was, in the same way.

    Precondition when the volume is not staged at the staging path, its file system has stopped writing, the target
    path shows something else, or the access mode allows one target path and there is another; Incompatible when it
    is at the target path in another way.
    """
    order = _order(request)
    await context.jobs.run(str(order.volume), "NodePublishVolume", order, lambda: _publish(context, order))


def _order(request: BindRequest) -> Order:
    volume = volume_of(request.volume)
    target = absolute(request.target_path, "target_path")
    if not request.staging_path:
        raise Precondition(f"volume {volume}: a staging_target_path is needed; stage the volume first")
    staging_path = absolute(request.staging_path, "staging_target_path")
    said, capability = publish_context(request.publish_context), request.capability
    check_fits(volume, capability, said)
    # A mount flag of the user's says it too: the file system is staged read-only then.
    readonly = request.readonly or said.readonly or capability.mode.reader_only or "ro" in capability.mount_flags
    return Order(volume, said, staging_path, target, capability.access, capability.mode, readonly)


async def _publish(context: NodeContext, order: Order) -> None:
    table = await context.doors.mounts.table()
    own = await _staged(context, order, table)
    published = await look.shown(context, table, own, order.staging_path)
    at_target = look.on_top(table, order.target)
    if at_target is not None:
        _check_same(order, at_target, published)
        return
    if published and order.mode not in SHARED_BY_PODS:
        raise Precondition(
            f"volume {order.volume} is published at {published[0].target} already, and access mode "
            f"{order.mode.name} allows one path on a node"
        )
    mounts, doors = context.doors.mounts, context.doors
    if order.access is AccessType.BLOCK:
        # The bind keeps the node's file system from being written, not the device: that is read-only at its source.
        await mounts.make_file(order.target)
        await mounts.bind(doors.devices.path(own.devno), order.target, readonly=order.readonly)
    else:
        await mounts.make_folder(order.target)
        await mounts.bind(order.staging_path, order.target, readonly=order.readonly)
    log.info("published", extra={"volume": str(order.volume), "path": order.target})


async def _staged(context: NodeContext, order: Order, table: tuple[Mount, ...]) -> Own:
    """The device that the volume is staged on, proven by dm uuid and device number to be at the staging path."""
    volume, dm = order.volume, context.doors.dm
    own = await look.with_uuid(dm, volume, order.uuid)
    if own is None:
        raise Precondition(f"volume {volume}: publication {order.context.number} is not staged on this node")
    await look.check_live(dm, volume, own)
    mount = look.on_top(table, order.staging_path)
    if order.access is AccessType.BLOCK:
        stage = context.stages.get(volume)
        if stage is None or not stage.done or stage.staging_path != order.staging_path:
            raise Precondition(f"volume {volume} is not staged at {order.staging_path}; stage it first")
        return own
    if mount is None or mount.devno != own.devno:
        raise Precondition(f"volume {volume} is not mounted at {order.staging_path}; stage it first")
    if not order.readonly and look.has_stopped(mount):
        raise Precondition(
            f"volume {volume}: its file system takes no writes, after an error or because it was staged so; "
            "unstage it and look at the node's kernel log"
        )
    return own


def _check_same(order: Order, mount: Mount, published: tuple[Mount, ...]) -> None:
    """Raise unless ``mount``, which is at the target path, is what was asked for."""
    if mount not in published:
        raise Precondition(f"{order.target}: what is mounted there is not volume {order.volume}; it is left alone")
    if ("ro" in mount.options) != order.readonly:
        raise Incompatible(
            f"volume {order.volume} is at {order.target} {'writable' if order.readonly else 'read-only'}"
        )
