"""Publish: let a node use a volume. The journal is written first, so that a crash never leaves an export that
nobody remembers; everything after it converges by repeating.
"""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent import aftermath, device
from csi_driver.agent.context import AgentContext, Found
from csi_driver.errors import Incompatible, InternalError, NotFound, Precondition
from csi_driver.host import wrapper
from csi_driver.host.lio import reservations, targets
from csi_driver.model.access import AccessMode, AccessType
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
    await aftermath.settle(context, found)
    publication = await _enter(context, request, found.volume)
    await put_up(context, found)
    context.picture.put_publication(publication)
    return publication


async def put_up(context: AgentContext, found: Found) -> None:
    """Device, wrapper and, for iSCSI, the target of all publications of the volume that stand in the journal.

    All at once: a consumer must not get in before what another one has reserved is in force again.
    """
    entries = context.journal.of(found.volume.id)
    if not entries:
        return
    devno = await device.open_volume(context, found)
    if found.volume.layout is Layout.THIN and await context.doors.devices.size(devno) < found.lv.size:
        # Its device is suspended for a moment: nobody may cut it then (``agent.cut``).
        async with context.locks[found.group.name]:
            await device.follow(context, found)
    (first, *_), volume = entries, found.volume.id
    local = first.request.transport is Transport.LOCAL
    wrapped = await wrapper.ensure(
        context.doors.dm,
        str(volume),
        uuid=volume.wrapper_uuid(first.wrapper),
        over=devno,
        sectors=found.volume.size // SECTOR,
        # Over iSCSI the target protects each initiator's mapping by itself.
        readonly=local and first.request.write_protected,
    )
    shown = await context.doors.devices.size(wrapped.devno)
    if shown != found.volume.size:
        raise InternalError(f"volume {volume} has {show(found.volume.size)}, and its device {show(shown)}")
    if not local:
        if context.journal.clean_boot == context.doors.host.boot_id():
            await context.journal.mark_clean("")
        spec = _target(context, entries, context.doors.devices.path(wrapped.devno), found.volume)
        remembered = await _remembered(context, entries)
        await targets.ensure_target(context.doors.configfs, dataclasses.replace(spec, remembered=remembered))


def _target(context: AgentContext, entries: tuple[Publication, ...], path: str, volume: Volume) -> targets.TargetSpec:
    """What the kernel's target is told of the publications of one volume, but for what was reserved before."""
    *beside, last = (_admission(entry) for entry in entries)
    return targets.TargetSpec(
        volume=volume.id,
        device=path,
        write_cache=volume.write_cache,
        portals=entries[-1].portals,
        initiator=last.initiator,
        chap_user=last.chap_user,
        secret=last.secret,
        write_protected=last.write_protected,
        beside=tuple(beside),
        mutual=context.settings.mutual_chap,
        reservations=keeps_reservations(entries[0].request),
    )


def keeps_reservations(request: PublishRequest) -> bool:
    """Whether the consumers may reserve the volume among themselves: where several write it (DESIGN 4)."""
    return request.mode is AccessMode.MULTI_NODE_MULTI_WRITER


def _admission(entry: Publication) -> targets.Admission:
    if entry.secret is None:
        raise Precondition(f"publication of {entry.volume} to {entry.node} has no CHAP secret")
    return targets.Admission(
        initiator=entry.request.initiator,
        chap_user=entry.chap_user,
        secret=entry.secret,
        write_protected=entry.request.write_protected,
    )


async def _remembered(context: AgentContext, entries: tuple[Publication, ...]) -> tuple[str, ...]:
    """The reservations that the target kept of those who still use the volume, in the kernel's spelling."""
    if not keeps_reservations(entries[0].request):
        return ()
    await context.doors.reservations.prepare()
    saved = await context.doors.reservations.read(entries[0].volume.serial)
    if saved is None:
        return ()
    # A publication made since the file was written: what it has of that initiator is of an earlier one, which ended.
    since = {entry.request.initiator: entry.number / 1000 for entry in entries}
    return reservations.registrations(saved.text, lambda initiator: since.get(initiator, float("inf")) <= saved.written)


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
        if entry.node != request.node:
            _check_together(entry.request, request)


def _check_together(standing: PublishRequest, request: PublishRequest) -> None:
    """Raise Precondition unless two nodes may use the volume at once."""
    where = f"volume {request.volume} is published to node {standing.node} already"
    if not (standing.mode.many_nodes and request.mode.many_nodes):
        raise Precondition(where)
    if (standing.mode, standing.access) != (request.mode, request.access):
        raise Precondition(f"{where}, as {standing.access} with {standing.mode.name}: all nodes use it in one way")
    if standing.initiator == request.initiator:
        raise Precondition(
            f"{where}, which has the iSCSI initiator name {request.initiator}, as node {request.node} has: "
            "no more than one of them can be let in"
        )


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
    others = [each for each in context.journal.of(request.volume) if each.node != request.node]
    remote = request.transport is Transport.ISCSI
    secret = entry.secret if entry and not renew else (draw_secret() if remote else None)
    publication = Publication(
        request=dataclasses.replace(request, new_secret=False),
        number=number,
        wrapper=entry.wrapper if entry else others[0].wrapper if others else number,
        portals=context.settings.portals if remote else (),
        chap_user=f"{request.volume.copy}.{request.node}" if remote else "",
        secret=secret,
        fs=volume.fs,
        size=volume.size,
        boot=context.doors.host.boot_id(),
        unflushed=entry.unflushed if entry else False,
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
