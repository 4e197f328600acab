"""Only pools whose volumes can be used from where the caller demands."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class Requisite:
    """Holds ``requisite`` (CSI spec, TopologyRequirement); see ``Topology.admits``."""

    name = "topology"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if request.topology.admits(view.labels, remote=view.reachable(request.access)):
            return None
        return f"its volumes cannot be used from {request.topology.demand}"
