"""Only pools that can be used in the way the class says."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.model.parameters import Access
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request

_NO_PORTAL = "the class asks for access by network, and the node has no portal"


class AccessPolicy:
    """Refuses a node without portals where the class wants the network."""

    name = "access"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        if request.access is not Access.NETWORK:
            return None
        return [None if view.exported else _NO_PORTAL for view in views]
