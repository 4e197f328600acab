"""The controller's verbs in one place: what ``rpc`` calls. Each verb is a file of its own."""

from __future__ import annotations

from csi_driver.control.capacity import get_capacity
from csi_driver.control.context import Context
from csi_driver.control.create import create_volume
from csi_driver.control.delete import delete_volume
from csi_driver.control.expand import expand_volume
from csi_driver.control.listing import get_volume, list_volumes
from csi_driver.control.publish import publish_volume
from csi_driver.control.requests import (
    CapacityView,
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    Expanded,
    ExpandVolume,
    GetCapacity,
    GetSnapshot,
    GetVolume,
    ListSnapshots,
    ListVolumes,
    Published,
    PublishVolume,
    SnapshotPage,
    SnapshotView,
    UnpublishVolume,
    ValidateCapabilities,
    Validated,
    VolumePage,
    VolumeView,
)
from csi_driver.control.snapshot_create import create_snapshot
from csi_driver.control.snapshot_delete import delete_snapshot
from csi_driver.control.snapshot_listing import get_snapshot, list_snapshots
from csi_driver.control.unpublish import unpublish_volume
from csi_driver.control.validate import validate_capabilities


class Controller:
    """CSI's controller verbs over a fleet. Each may be repeated, by several controllers at once, and raises
    errors of ``csi_driver.errors`` only.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def close(self) -> None:
        """End what runs, where it is: whoever is asked next goes on from there."""
        self._context.jobs.abandon()

    @property
    def ready(self) -> bool:
        """For Probe: each agent has been heard, or given up once."""
        return self._context.fleet.settled

    async def create_volume(self, request: CreateVolume) -> VolumeView:
        return await create_volume(self._context, request)

    async def delete_volume(self, request: DeleteVolume) -> None:
        await delete_volume(self._context, request)

    async def publish_volume(self, request: PublishVolume) -> Published:
        return await publish_volume(self._context, request)

    async def unpublish_volume(self, request: UnpublishVolume) -> None:
        await unpublish_volume(self._context, request)

    async def validate_capabilities(self, request: ValidateCapabilities) -> Validated:
        return await validate_capabilities(self._context, request)

    async def expand_volume(self, request: ExpandVolume) -> Expanded:
        return await expand_volume(self._context, request)

    async def list_volumes(self, request: ListVolumes) -> VolumePage:
        return list_volumes(self._context, request)

    async def get_volume(self, request: GetVolume) -> VolumeView:
        return await get_volume(self._context, request)

    async def get_capacity(self, request: GetCapacity) -> CapacityView:
        return get_capacity(self._context, request)

    async def create_snapshot(self, request: CreateSnapshot) -> SnapshotView:
        return await create_snapshot(self._context, request)

    async def delete_snapshot(self, request: DeleteSnapshot) -> None:
        await delete_snapshot(self._context, request)

    async def list_snapshots(self, request: ListSnapshots) -> SnapshotPage:
        return await list_snapshots(self._context, request)

    async def get_snapshot(self, request: GetSnapshot) -> SnapshotView:
        return await get_snapshot(self._context, request)
