"""How a volume is shown to the orchestrator."""

from __future__ import annotations

from csi_driver.control.context import Context
from csi_driver.control.requests import VolumeView
from csi_driver.model.parameters import REPLACEMENT_TIMEOUT, Parameters
from csi_driver.model.volume import Volume

ACCESS_KEY = "access"
"""In ``volume_context``: the class's access policy, which ControllerPublishVolume holds to."""


def volume_context(parameters: Parameters) -> dict[str, str]:
    """CSI ``volume_context``: what publishing and staging have to know of the class."""
    context = {ACCESS_KEY: parameters.access.value}
    if parameters.replacement_timeout != Parameters().replacement_timeout:
        context[REPLACEMENT_TIMEOUT.key] = str(parameters.replacement_timeout)
    return context


def show_volume(context: Context, volume: Volume) -> VolumeView:
    """The volume with the nodes it is published to, as its own node told."""
    published = context.fleet.node(volume.node).consumers(volume.id)
    return VolumeView(id=str(volume.id), size=volume.size, published=published, source=volume.source)
