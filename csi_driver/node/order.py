"""From a request to an order: what a stage is to be, judged without looking at the world."""

from __future__ import annotations

from collections.abc import Mapping

from csi_driver.errors import InvalidRequest, Precondition
from csi_driver.model.access import AccessType, Capability, check_supported
from csi_driver.model.ids import VolumeId
from csi_driver.model.parameters import REPLACEMENT_TIMEOUT
from csi_driver.model.publication import PublishContext
from csi_driver.node import mount_options
from csi_driver.node.context import absolute, volume_of
from csi_driver.node.requests import StageRequest
from csi_driver.node.stages import Stage


def order(request: StageRequest) -> Stage:
    """The stage that ``request`` asks for.

    NotFound for an id of unknown form, InvalidRequest for what no volume could be, Precondition when this volume
    was made for another use.
    """
    volume = volume_of(request.volume)
    path = absolute(request.staging_path, "staging_target_path")
    context = publish_context(request.publish_context)
    capability = request.capability
    check_fits(volume, capability, context)
    mount = capability.access is AccessType.MOUNT
    return Stage(
        volume=volume,
        number=context.number,
        transport=context.transport,
        staging_path=path,
        access=capability.access,
        readonly=context.readonly or capability.mode.reader_only,
        fs=context.fs if mount else None,
        mount_flags=mount_options.checked(capability.mount_flags) if mount else (),
        portals=context.portals,
        replacement_timeout=_replacement_timeout(request.volume_context),
        size=context.size,
    )


def _replacement_timeout(volume_context: Mapping[str, str]) -> int:
    """Seconds, as the class says. InvalidRequest for a value that no class can have."""
    return int(REPLACEMENT_TIMEOUT.check(volume_context.get(REPLACEMENT_TIMEOUT.key, REPLACEMENT_TIMEOUT.default)))


def publish_context(fields: Mapping[str, str]) -> PublishContext:
    """What ControllerPublishVolume said. InvalidRequest when it is missing or not this driver's."""
    try:
        return PublishContext.from_map(fields)
    except (KeyError, ValueError) as error:
        raise InvalidRequest(
            "publish_context is missing or not one of this driver; it comes from ControllerPublishVolume"
        ) from error


def check_fits(volume: VolumeId, capability: Capability, context: PublishContext) -> None:
    """Raise InvalidRequest for a use that is not offered, Precondition for one that this volume was not made for."""
    check_supported(capability)
    if capability.access is AccessType.BLOCK:
        if context.fs is not None:
            raise Precondition(f"volume {volume} holds an {context.fs.value} file system; it cannot be a raw block one")
        return
    if context.fs is None:
        raise Precondition(f"volume {volume} was made without a file system; it can only be a raw block one")
    if capability.fs not in (None, context.fs):
        raise Precondition(f"volume {volume} holds {context.fs.value}, not {capability.fs}: it is not formatted anew")
