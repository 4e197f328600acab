"""ValidateVolumeCapabilities."""

from __future__ import annotations

from collections.abc import Collection

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_volume
from csi_driver.control.publish import unsupported
from csi_driver.control.requests import ValidateCapabilities, Validated
from csi_driver.control.views import ACCESS_KEY
from csi_driver.errors import InvalidRequest
from csi_driver.model.access import check_supported
from csi_driver.model.parameters import ACCESS, REPLACEMENT_TIMEOUT, parse
from csi_driver.model.volume import Volume
from csi_driver.scheduler import rules


async def validate_capabilities(context: Context, request: ValidateCapabilities) -> Validated:
    """Whether the volume supports all that is given; what it does not support is an answer and not an error.

    Raises InvalidRequest when a field is missing, NotFound, Unavailable.
    """
    checks.given(request.id, "volume_id")
    checks.present(request.capabilities)
    volume = await find_volume(context, request.id)
    try:
        reason = _reason(volume, request, context.scheduler.weigher_names)
    except InvalidRequest as error:
        reason = str(error)
    return Validated(confirmed=reason is None, message=reason or "")


def _reason(volume: Volume, request: ValidateCapabilities, weighers: Collection[str]) -> str | None:
    for capability in request.capabilities:
        check_supported(capability)
        if reason := unsupported(volume, capability):
            return reason
    if ACCESS_KEY in request.context:
        ACCESS.check(request.context[ACCESS_KEY])
    if REPLACEMENT_TIMEOUT.key in request.context:
        REPLACEMENT_TIMEOUT.check(request.context[REPLACEMENT_TIMEOUT.key])
    if request.parameters or request.mutable_parameters:
        parameters = parse(request.parameters, request.mutable_parameters)
        if parameters.params_hash != volume.params_hash:
            return "it was made with other parameters"
        _ = rules.read(parameters, weighers)
    return None
