"""NodeGetInfo: who this node is, for Kubernetes and for the controller."""

from __future__ import annotations

from csi_driver.model.topology import NODE_KEY, ZONE_KEY
from csi_driver.node.context import NodeContext
from csi_driver.node.requests import NodeInfo


def info(context: NodeContext) -> NodeInfo:
    """The node's name as its CSI id, its topology labels and its limit of volumes. Asks nobody, changes nothing."""
    segments = {NODE_KEY: context.node}
    if context.zone:
        segments[ZONE_KEY] = context.zone
    return NodeInfo(node=context.node, max_volumes=context.settings.max_volumes, segments=segments)
