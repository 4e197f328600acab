"""Publish: let a node use a volume. The journal is written first, so that a crash never leaves an export that
nobody remembers; everything after it converges by repeating.
"""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent import device
from csi_driver.agent.context import AgentContext, Found
from csi_driver.errors import Incompatible, InternalError, NotFound, Precondition
from csi_driver.host import wrapper
from csi_driver.host.lio import targets
from csi_driver.model.access import AccessType
from csi_driver.model.publication import Publication, PublishRequest, Transport
from csi_driver.model.secret import draw_secret
from csi_driver.model.sizes import SECTOR, show
from csi_driver.model.volume import Content, Layout, Volume

log = logging.getLogger(__name__)


async def publish(context: AgentContext, request: PublishRequest) -> Publication:
    """The publication in force, everything behind it standing. See ``AgentPort.publish`` for the errors."""
    found = await context.look(request.volume)
    if found is None:
        raise NotFound(f"node {context.node} has no volume {request.volume}")
    _check(context, request, found.volume)
    publication = await _enter(context, request, found.volume)
    await put_up(context, publication, found)
    context.picture.put_publication(publication)
    return publication


async def put_up(context: AgentContext, publication: Publication, found: Found) -> None:
    """Device, wrapper and, for iSCSI, the target of a publication that stands in the journal."""
    devno = await device.open_volume(context, found)
    if found.volume.layout is Layout.THIN:
        await device.follow(context, found)
    volume = publication.volume
    number = min(entry.number for entry in context.journal.of(volume))
    local = publication.request.transport is Transport.LOCAL
    wrapped = await wrapper.ensure(
        context.doors.dm,
        str(volume),
        uuid=volume.wrapper_uuid(number),
        over=devno,
        sectors=found.volume.size // SECTOR,
        # Over iSCSI the target protects each initiator's mapping by itself.
        readonly=local and publication.request.write_protected,
    )
    shown = await context.doors.devices.size(wrapped.devno)
    if shown != found.volume.size:
        raise InternalError(f"volume {volume} has {show(found.volume.size)}, and its device {show(shown)}")
    if publication.request.transport is Transport.ISCSI:
        await targets.ensure_target(
            context.doors.configfs,
            target(publication, context.doors.devices.path(wrapped.devno), found.volume),
        )


def target(publication: Publication, path: str, volume: Volume) -> targets.TargetSpec:
    """What the kernel's target is told of a publication."""
    request = publication.request
    if publication.secret is None:
        raise Precondition(f"publication of {volume.id} to {request.node} has no CHAP secret")
    return targets.TargetSpec(
        volume=volume.id,
        device=path,
        write_cache=volume.write_cache,
        portals=publication.portals,
        initiator=request.initiator,
        chap_user=publication.chap_user,
        secret=publication.secret,
        write_protected=request.write_protected,
    )


def _check(context: AgentContext, request: PublishRequest, volume: Volume) -> None:
    if volume.content is not Content.READY:
        raise Precondition(f"volume {volume.id} is {volume.content.value}, not ready: it cannot be published yet")
    if request.access is AccessType.MOUNT and volume.fs is None:
        raise Precondition(f"volume {volume.id} is a raw block volume: it holds no file system to mount")
    if request.transport is Transport.LOCAL and request.node != context.node:
        raise Precondition(f"volume {volume.id} lies on node {context.node}: not local to {request.node}")
    if request.transport is Transport.ISCSI and not context.settings.portals:
        raise Precondition(f"node {context.node} has no portal address set: it cannot export volumes")
    if request.transport is Transport.ISCSI and not request.initiator:
        raise Precondition(f"node {request.node} has no iSCSI initiator name: is open-iscsi installed there?")
    for entry in context.journal.of(request.volume):
        both_many = entry.request.mode.many_nodes and request.mode.many_nodes
        if entry.node != request.node and not both_many:
            raise Precondition(f"volume {volume.id} is published to node {entry.node} already")


async def _enter(context: AgentContext, request: PublishRequest, volume: Volume) -> Publication:
    """The journal's entry for this request: the one in force, or a new one, durable."""
    entry = context.journal.get(request.volume, request.node)
    if entry is not None and not _same_use(entry.request, request):
        raise Incompatible(f"volume {volume.id} is published to node {request.node} already, in another way")
    if entry is not None and entry.request.initiator != request.initiator:
        # The node was set up anew. Its old name is shut out before the new one is let in.
        await targets.remove_acl(context.doors.configfs, request.volume, entry.request.initiator)
    renew = request.new_secret or (entry is not None and entry.request.initiator != request.initiator)
    number = entry.number if entry else context.journal.next_number(context.doors.host.now())
    remote = request.transport is Transport.ISCSI
    secret = entry.secret if entry and not renew else (draw_secret() if remote else None)
    publication = Publication(
        request=dataclasses.replace(request, new_secret=False),
        number=number,
        portals=context.settings.portals if remote else (),
        chap_user=f"{request.volume.copy}.{request.node}" if remote else "",
        secret=secret,
        fs=volume.fs,
        size=volume.size,
    )
    if publication != entry:
        await context.journal.put(publication)
        log.info("publication entered", extra={"volume": str(volume.id), "node": request.node})
    return publication


def _same_use(one: PublishRequest, other: PublishRequest) -> bool:
    return (one.transport, one.mode, one.access, one.readonly) == (
        other.transport,
        other.mode,
        other.access,
        other.readonly,
    )
