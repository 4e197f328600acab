"""ListVolumes and ControllerGetVolume."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_volume
from csi_driver.control.requests import GetVolume, ListVolumes, VolumePage, VolumeView
from csi_driver.control.views import show_volume
from csi_driver.errors import BadToken, InvalidRequest
from csi_driver.model.ids import VolumeId


def list_volumes(context: Context, request: ListVolumes) -> VolumePage:
    """One page, in the order of ids. Pages go on after an id, so that what comes and goes between them does no harm.

    Of a silent node it shows what was last heard. Raises InvalidRequest, BadToken.
    """
    if request.maximum < 0:
        raise InvalidRequest(f"max_entries is {request.maximum}: it cannot be negative")
    after = _read(request.token)
    ready = {volume.id: volume for state in context.fleet.nodes() for volume in state.ready()}
    left = sorted(identity for identity in ready if after is None or identity > after)
    page = left[: request.maximum] if request.maximum else left
    return VolumePage(
        volumes=tuple(show_volume(context, ready[identity]) for identity in page),
        token=str(page[-1]) if len(page) < len(left) else "",
    )


async def get_volume(context: Context, request: GetVolume) -> VolumeView:
    """The volume and where it is published. Raises InvalidRequest, NotFound, Unavailable."""
    checks.given(request.id, "volume_id")
    return show_volume(context, await find_volume(context, request.id))


def _read(token: str) -> VolumeId | None:
    after = VolumeId.parse(token)
    if token and after is None:
        raise BadToken("starting_token was not given out by this driver: start again without one")
    return after
