"""Only pools whose volumes can be used from where the caller demands."""

from __future__ import annotations

from csi_driver.model.topology import Segment
from csi_driver.scheduler.request import PoolView, Request

SHOWN = 3


class Requisite:
    """Holds ``requisite`` (CSI spec, TopologyRequirement): usable from one of its segments at least.

    A segment that names a node says where the pod may run: the network reaches it from anywhere, unless the class says
    local. A segment that names no node (an operator's ``allowedTopologies``: a zone) says where the data may lie.
    """

    name = "topology"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        wanted = request.topology.requisite
        if not wanted or any(self._serves(segment, request, view) for segment in wanted):
            return None
        shown = " or ".join(str(segment) for segment in wanted[:SHOWN])
        more = f" or {len(wanted) - SHOWN} more" if len(wanted) > SHOWN else ""
        return f"its volumes cannot be used from {shown}{more}"

    @staticmethod
    def _serves(segment: Segment, request: Request, view: PoolView) -> bool:
        return segment.holds(view.labels) or (segment.names_node and view.reachable(request.access))
