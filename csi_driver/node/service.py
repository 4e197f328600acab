"""The node plugin as one object: a method for each CSI verb, each in a file of its own."""

from __future__ import annotations

from csi_driver.node import expand, info, publish, stage, stats, unpublish, unstage
from csi_driver.node.context import NodeContext
from csi_driver.node.requests import (
    BindRequest,
    ExpandRequest,
    NodeInfo,
    StageRequest,
    StatsRequest,
    UnbindRequest,
    UnstageRequest,
    VolumeStats,
)


class NodePlugin:
    """What ``rpc`` calls. Errors are those of ``csi_driver.errors``; every verb may be repeated.

    Verbs that change something run as a job of their volume: StillWorking when the caller's deadline comes first,
    Busy while another verb works on the same volume.
    """

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    async def stage(self, request: StageRequest) -> None:
        """See ``csi_driver.node.stage``."""
        await stage.stage(self._context, request)

    async def unstage(self, request: UnstageRequest) -> None:
        """See ``csi_driver.node.unstage``."""
        await unstage.unstage(self._context, request)

    async def publish(self, request: BindRequest) -> None:
        """See ``csi_driver.node.publish``."""
        await publish.publish(self._context, request)

    async def unpublish(self, request: UnbindRequest) -> None:
        """See ``csi_driver.node.unpublish``."""
        await unpublish.unpublish(self._context, request)

    async def expand(self, request: ExpandRequest) -> int:
        """The size in bytes that the volume has on this node now. See ``csi_driver.node.expand``."""
        return await expand.expand(self._context, request)

    async def stats(self, request: StatsRequest) -> VolumeStats:
        """See ``csi_driver.node.stats``."""
        return await stats.stats(self._context, request)

    def info(self) -> NodeInfo:
        """See ``csi_driver.node.info``."""
        return info.info(self._context)
