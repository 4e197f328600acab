"""What a volume is made from: found, and compared with what is ordered (CSI spec, VolumeContentSource; csi.md 1.3)."""

from __future__ import annotations

import dataclasses

from csi_driver.control.context import Context
from csi_driver.control.lookup import find_volume
from csi_driver.control.order import Order, Origin
from csi_driver.control.snapshots import find_snapshot
from csi_driver.errors import InvalidRequest, NotFound, OutOfRange
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import show
from csi_driver.model.snapshot import Snapshot
from csi_driver.model.volume import Layout, Volume


async def with_origin(context: Context, order: Order) -> Order:
    """The order with what is to be known of its source, which lies on a node that answers; itself when it has none.

    Raises NotFound, Unavailable; InvalidRequest when the source is of another kind than what is ordered; OutOfRange
    when it is larger than the order allows.
    """
    if not order.asked_source:
        return order
    if order.source is None:
        asked = order.asked_source.removeprefix("?")
        raise NotFound(f"there is no volume and no snapshot {asked!r} to make a volume from")
    found: Volume | Snapshot
    if isinstance(order.source, VolumeId):
        found = await find_volume(context, str(order.source))
        _check_layout(order, found.layout)
    else:
        found = await find_snapshot(context, str(order.source))
        _check_layout(order, Layout.THIN)
    _check(order, found)
    return dataclasses.replace(order, origin=Origin(node=found.node, pool=found.pool, size=found.size, fs=found.fs))


def _check_layout(order: Order, layout: Layout) -> None:
    if layout is not Layout.THIN:
        raise InvalidRequest(f"volume {order.source} is {layout}: only thin volumes can be cloned (layout: thin)")
    if order.parameters.layout is not Layout.THIN:
        raise InvalidRequest(
            f"the class asks for a {order.parameters.layout} volume: what is made from {order.source} is thin "
            "(layout: thin)"
        )


def _check(order: Order, found: Volume | Snapshot) -> None:
    if found.access is not order.access:
        raise InvalidRequest(
            f"{found.id} is for {found.access} access, and so is what is made from it: {order.access} was asked for"
        )
    if order.fs is not None and order.fs is not found.fs:
        raise InvalidRequest(f"{found.id} holds {found.fs}, and so does what is made from it: {order.fs} was asked for")
    if order.parameters.pool and order.parameters.pool != found.pool:
        raise InvalidRequest(
            f"{found.id} lies in pool {found.pool}, and so does what is made from it: the class asks for pool "
            f"{order.parameters.pool}"
        )
    for bound in (order.limits.required, order.limits.limit):
        if bound is not None and bound < found.size:
            raise OutOfRange(f"{found.id} has {show(found.size)}: a volume made from it cannot have {show(bound)}")
