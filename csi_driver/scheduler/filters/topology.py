"""Only pools whose volumes can be used from where the caller demands: nodes, availability zones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from csi_driver.model.topology import NODE_KEY, Segment
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class Requisite:
    """Holds ``requisite`` (CSI spec, TopologyRequirement) as ``Topology.admits`` says it, sorted for many nodes."""

    name = "topology"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        topology = request.topology
        if not topology.requisite:
            return None
        by_node: defaultdict[str, list[Segment]] = defaultdict(list)
        for segment in topology.requisite:
            by_node[dict(segment.labels).get(NODE_KEY, "")].append(segment)
        anywhere, access = any(by_node), request.access
        refusal = f"its volumes cannot be used from {topology.demand}"
        return [
            None if (anywhere and view.reachable(access)) or _inside(by_node, view.labels) else refusal
            for view in views
        ]


def _inside(by_node: Mapping[str, list[Segment]], labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels lies in a segment that names it, or in one that names none."""
    found = (*by_node.get(labels.get(NODE_KEY, ""), ()), *by_node.get("", ()))
    return any(segment.holds(labels) for segment in found)
