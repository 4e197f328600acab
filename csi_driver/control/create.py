"""CreateVolume."""

from __future__ import annotations

from csi_driver.control.claims import settle
from csi_driver.control.context import Context
from csi_driver.control.order import Order
from csi_driver.control.requests import CreateVolume, VolumeView
from csi_driver.control.views import ACCESS_KEY
from csi_driver.errors import Busy
from csi_driver.model.parameters import Access
from csi_driver.model.topology import reach


async def create_volume(context: Context, request: CreateVolume) -> VolumeView:
    """The one volume of this name, made if it was not there.

    Raises InvalidRequest, OutOfRange, Incompatible, NoCapacity; Busy, StillWorking or Unavailable while it cannot be
    told: then the same request again goes on from where this one ended.
    """
    order = Order.of(request)
    if order.key in context.creating:
        raise Busy(f"the volume {order.name!r} is being created; ask again")
    context.creating.add(order.key)
    try:
        volume = await settle(context, order)
    finally:
        context.creating.discard(order.key)
    access = order.parameters.access
    exported = bool(context.fleet.node(volume.node).portals) and access is not Access.LOCAL
    return VolumeView(
        id=str(volume.id),
        size=volume.size,
        context={ACCESS_KEY: access.value},
        topology=reach(
            volume.node,
            exported=exported,
            requisite=order.topology.requisite,
            # A node that was never heard is only about to join: kubelet, and so the caller, does not know it yet.
            registered=(state.labels for state in context.fleet.nodes() if state.info is not None),
        ),
    )
