"""GetCapacity."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.hints import of_class
from csi_driver.control.placement import views
from csi_driver.control.requests import CapacityView, GetCapacity
from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import parse
from csi_driver.model.sizes import DEFAULT_VOLUME_SIZE
from csi_driver.scheduler import rules
from csi_driver.scheduler.request import Request

NOTHING = CapacityView(available=0, maximum=0)


def get_capacity(context: Context, request: GetCapacity) -> CapacityView:
    """The room of a segment for volumes of a class, from what was last heard; never waits.

    What cannot be made there, and a segment in which no known node lies, has none. Raises InvalidRequest for
    parameters that no class may have.
    """
    parameters = parse(request.parameters, {})
    _ = of_class(parameters)
    try:
        if request.capabilities:
            checks.file_system(request.capabilities)
    except InvalidRequest:
        return NOTHING
    segment = request.segment
    if segment is not None and not any(segment.holds(state.labels) for state in context.fleet.nodes()):
        return NOTHING
    asked = Request(
        size=DEFAULT_VOLUME_SIZE,
        layout=parameters.layout,
        access=parameters.access,
        pool=parameters.pool,
        parameters=parameters.given,
        rules=rules.read(parameters, context.scheduler.weigher_names),
    )
    room = context.scheduler.capacity(asked, views(context, parameters.layout), segment)
    return CapacityView(available=room.available, maximum=room.maximum)
