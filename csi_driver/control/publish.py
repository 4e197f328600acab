"""ControllerPublishVolume: the storage node lets a node use the volume, and that node learns how."""

from __future__ import annotations

import dataclasses

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_volume
from csi_driver.control.requests import Published, PublishVolume
from csi_driver.control.views import ACCESS_KEY
from csi_driver.errors import Busy, InternalError, NoCapacity, Precondition
from csi_driver.fleet.state import NodeState
from csi_driver.model.access import AccessType, Capability
from csi_driver.model.inventory import PublicationRef
from csi_driver.model.parameters import Access
from csi_driver.model.publication import Attachment, Publication, PublishContext, PublishRequest, Transport
from csi_driver.model.volume import Volume

CONFIRMATIONS = 5


async def publish_volume(context: Context, request: PublishVolume) -> Published:
    """What the node needs to know, once both ends hold the publication. The order of checks is the spec's.

    Raises InvalidRequest; NotFound for the volume or the node; Precondition when another node holds it, or this one
    cannot reach it; NoCapacity when that node uses as many as it may; Incompatible when this node holds it in another
    way; Unavailable when one end does not answer.
    """
    checks.given(request.id, "volume_id")
    checks.given(request.node, "node_id")
    capability = checks.capability(request.capability)
    volume = await find_volume(context, request.id)
    consumer = context.fleet.node(request.node)
    context.fleet.agent(consumer.name)
    _check_policy(volume, request)
    if reason := unsupported(volume, capability):
        raise Precondition(f"volume {volume.id}: {reason}")
    _check_limit(context, volume, consumer)
    owner = context.fleet.node(volume.node)
    order = PublishRequest(
        volume=volume.id,
        node=consumer.name,
        transport=_transport(owner, consumer, capability),
        mode=capability.mode,
        access=capability.access,
        readonly=request.readonly,
        initiator=_initiator(context, owner, consumer, capability),
    )
    return Published(context=PublishContext.of(await grant(context, owner.name, order)))


async def grant(context: Context, owner: str, order: PublishRequest) -> Publication:
    """The publication, in force at the storage node and, over iSCSI, held by the consumer."""
    publication = await _order(context, owner, order)
    if order.transport is Transport.LOCAL:
        return publication
    for _ in range(CONFIRMATIONS):
        attachment = _attachment(publication)
        await context.fleet.agent(order.node).hold(attachment)
        if not order.new_secret and order.volume not in context.fleet.node(order.node).wanted:
            return publication
        # While a secret is being replaced another controller may do the same: what counts is what the storage node
        # has in the end, and whoever handed something over last looks after that.
        publication = await _order(context, owner, _again(order))
        if _attachment(publication) == attachment:
            return publication
    raise Busy(f"volume {order.volume}: its secret for node {order.node} keeps changing; ask again")


def unsupported(volume: Volume, capability: Capability) -> str | None:
    """Why the volume cannot be used so, or None. A file system may also be read as the blocks it is."""
    if capability.access is AccessType.BLOCK:
        return None
    if volume.fs is None:
        return "it is a raw block volume and holds no file system to mount"
    if capability.fs is not None and capability.fs is not volume.fs:
        return f"its file system is {volume.fs}, not {capability.fs}"
    return None


def _transport(owner: NodeState, consumer: NodeState, capability: Capability) -> Transport:
    """The storage node itself uses the disk, unless others may do so at the same time (DESIGN 4)."""
    local = owner.name == consumer.name and not capability.mode.many_nodes
    return Transport.LOCAL if local else Transport.ISCSI


def _check_policy(volume: Volume, request: PublishVolume) -> None:
    if request.context.get(ACCESS_KEY) == Access.LOCAL and request.node != volume.node:
        raise Precondition(
            f"volume {volume.id} lies on node {volume.node}, and its class allows local access only: "
            f"node {request.node} cannot use it"
        )


def _check_limit(context: Context, volume: Volume, consumer: NodeState) -> None:
    """NoCapacity when the node uses as many volumes as it may. By our picture: two controllers at once may pass it
    by one, which harms nothing.
    """
    limit = consumer.info.max_volumes if consumer.info else 0
    used = {each for state in context.fleet.nodes() for each, node in state.publications if node == consumer.name}
    if limit and volume.id not in used and len(used) >= limit:
        raise NoCapacity(f"node {consumer.name} uses {len(used)} volumes, and {limit} are allowed (max_volumes)")


def _initiator(context: Context, owner: NodeState, consumer: NodeState, capability: Capability) -> str:
    """The consumer's iSCSI name, if it needs one. Raises Precondition when the network way is not there."""
    if _transport(owner, consumer, capability) is Transport.LOCAL:
        return ""
    if not owner.portals:
        raise Precondition(f"node {owner.name} exports nothing: agent.portals is not set there")
    if not consumer.initiator:
        raise Precondition(f"node {consumer.name} has no iSCSI initiator name: open-iscsi is not set up there")
    if twins := context.fleet.initiator_twins(consumer.name):
        raise Precondition(
            f"nodes {', '.join((consumer.name, *twins))} have the same iSCSI initiator name {consumer.initiator}; "
            "give each its own in /etc/iscsi/initiatorname.iscsi"
        )
    return consumer.initiator


async def _order(context: Context, owner: str, order: PublishRequest) -> Publication:
    publication = await context.fleet.agent(owner).publish(order)
    context.fleet.learn_publication(
        owner,
        PublicationRef(
            volume=order.volume,
            node=order.node,
            number=publication.number,
            transport=order.transport,
            mode=order.mode,
            readonly=order.write_protected,
        ),
    )
    return publication


def _again(order: PublishRequest) -> PublishRequest:
    return dataclasses.replace(order, new_secret=False)


def _attachment(publication: Publication) -> Attachment:
    if publication.secret is None:
        raise InternalError(f"the publication of {publication.volume} to {publication.node} came without a secret")
    return Attachment(
        volume=publication.volume,
        number=publication.number,
        portals=publication.portals,
        chap_user=publication.chap_user,
        secret=publication.secret,
    )
