"""Only pools that can be used in the way the class says."""

from __future__ import annotations

from csi_driver.model.parameters import Access
from csi_driver.scheduler.request import PoolView, Request


class AccessPolicy:
    """Refuses a node without portals where the class wants the network."""

    name = "access"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if request.access is Access.NETWORK and not view.exported:
            return "the class asks for access by network, and the node has no portal"
        return None
