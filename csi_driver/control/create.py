"""CreateVolume."""

from __future__ import annotations

from csi_driver.control.claims import settle
from csi_driver.control.context import Context
from csi_driver.control.hints import of_class
from csi_driver.control.order import Order
from csi_driver.control.requests import CreateVolume, VolumeView
from csi_driver.control.views import volume_context
from csi_driver.kit import deadline
from csi_driver.model.parameters import Access
from csi_driver.model.topology import reach


async def create_volume(context: Context, request: CreateVolume) -> VolumeView:
    """The one volume of this name, made if it was not there.

    A job of the name: it takes several questions to several agents, and must come to an end however short the
    deadlines of those are who ask for it. Raises InvalidRequest, OutOfRange, Incompatible, NoCapacity; StillWorking
    when the caller's deadline comes first, Busy while another request with this name runs, Unavailable while it
    cannot be told: then the same request again joins, or goes on from where this one ended.
    """
    order = Order.of(request, context.scheduler.weigher_names)
    _ = of_class(order.parameters)
    view = await context.jobs.run(order.key, "CreateVolume", order, lambda: _create(context, order))
    context.attempts.told(order.key)
    return view


async def _create(context: Context, order: Order) -> VolumeView:
    with deadline.expires_in(None):
        volume = await settle(context, order)
    access = order.parameters.access
    exported = bool(context.fleet.node(volume.node).portals) and access is not Access.LOCAL
    return VolumeView(
        id=str(volume.id),
        size=volume.size,
        context=volume_context(order.parameters),
        topology=reach(
            volume.node,
            exported=exported,
            requisite=order.topology.requisite,
            # A node that was never heard is only about to join: kubelet, and so the caller, does not know it yet.
            registered=(state.labels for state in context.fleet.nodes() if state.info is not None),
        ),
        source=volume.source,
    )
