"""What a volume should be near to or apart from: read from its class and its claim, and found in the fleet.

The grammar, the same in class parameters and annotations: terms with ``;`` between them, each ``KIND:VALUE``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from csi_driver.control.cluster import ClusterPort
from csi_driver.control.context import Context
from csi_driver.control.order import Order
from csi_driver.errors import InvalidRequest
from csi_driver.fleet.state import NodeState
from csi_driver.model.ids import VolumeId
from csi_driver.model.parameters import AFFINITY, AFFINITY_SCOPE, ANTI_AFFINITY, NEAR, TABLE, Parameter, Parameters
from csi_driver.model.topology import ZONE_KEY
from csi_driver.model.volume import VolumeSpec
from csi_driver.scheduler.neighbours import NO_HINTS, Hints, Neighbour, Scope

PREFIX = "clinker.io/"
ANNOTATIONS: Mapping[str, Parameter] = {
    f"{PREFIX}affinity": AFFINITY,
    f"{PREFIX}anti-affinity": ANTI_AFFINITY,
    f"{PREFIX}affinity-scope": AFFINITY_SCOPE,
    f"{PREFIX}near": NEAR,
}
OF_VOLUMES = ("volume", "claim", "claims")
OF_PLACES = (*OF_VOLUMES, "pod", "node")
MOST = 20
"""Terms of one hint."""


@dataclass(frozen=True, slots=True)
class Term:
    """One thing named."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Something that a term names: a node, a volume, or the volume of a claim."""

    what: str
    scope: Scope
    node: str = ""
    volume: str = ""
    claim: tuple[str, str] | None = None

    def is_of(self, spec: VolumeSpec) -> bool:
        """Whether this volume is what is named."""
        if self.claim is not None:
            return (spec.pvc_namespace, spec.pvc_name) == self.claim
        return bool(self.volume) and str(spec.id) == self.volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """All that the hints of one request name."""

    same: tuple[Named, ...] = ()
    different: tuple[Named, ...] = ()
    near: tuple[Named, ...] = ()

    def find(self, context: Context) -> Hints:
        """Where it all is at this moment, volumes too that this controller has only ordered. Does not wait: what is
        decided by it at once is ordered before the next one asks.
        """
        if not (self.same or self.different or self.near):
            return NO_HINTS
        held = tuple(_held(context))
        return Hints(
            same=tuple(_neighbour(each, held) for each in self.same),
            different=tuple(_neighbour(each, held) for each in self.different),
            near=tuple(_neighbour(each, held) for each in self.near),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The hints of one source, a class or a claim, as they are written."""

    scope: Scope = Scope.NODE
    same: tuple[Term, ...] = ()
    different: tuple[Term, ...] = ()
    near: tuple[Term, ...] = ()


def of_class(parameters: Parameters) -> Wishes:
    """Raises InvalidRequest naming the key."""
    return _wishes({each: (f"parameter {each.key}", parameters.of(each)) for each in ANNOTATIONS.values()})


def of_claim(annotations: Mapping[str, str]) -> Wishes:
    """Raises InvalidRequest naming the annotation, also for one that looks like a hint and is none."""
    ours = {key: value for key, value in annotations.items() if key.startswith(PREFIX) and key not in ANNOTATIONS}
    for key in sorted(ours):
        _refuse_strange(key)
    return _wishes(
        {each: (f"annotation {key}", annotations.get(key, each.default)) for key, each in ANNOTATIONS.items()}
    )


async def understand(context: Context, order: Order) -> Understood:
    """The hints of an order, and what Kubernetes says of what they name. Raises InvalidRequest, Unavailable, Denied."""
    sources = [of_class(order.parameters)]
    namespace, name = order.parameters.pvc_namespace, order.parameters.pvc_name
    if context.cluster is not None and name:
        claim = await context.cluster.claim(namespace, name)
        sources.append(of_claim(claim.annotations if claim else {}))
    names = _Names(context.cluster, namespace, name)
    same: list[Named] = []
    different: list[Named] = []
    near: list[Named] = []
    for wishes in sources:
        same += [each for term in wishes.same for each in await names.of(term, wishes.scope)]
        different += [each for term in wishes.different for each in await names.of(term, wishes.scope)]
        near += [each for term in wishes.near for each in await names.of(term, Scope.NODE)]
    return Understood(same=tuple(same), different=tuple(different), near=tuple(near))


def _refuse_strange(key: str) -> None:
    name = key.removeprefix(PREFIX)
    if any(each.key.rstrip(".") == name.partition(".")[0] for each in TABLE):
        raise InvalidRequest(f"annotation {key}: only a class may say this, as its parameter {name}")
    if close := difflib.get_close_matches(key, ANNOTATIONS, n=1, cutoff=0.85):
        raise InvalidRequest(f"annotation {key} is not known; {close[0]} is")


def _held(context: Context) -> Iterator[tuple[NodeState, VolumeSpec]]:
    """Every volume, claims that are being settled too, and what is ordered just now; with its node."""
    for state in context.fleet.nodes():
        for spec in (*state.volumes.values(), *context.reservations.ordered(state.name)):
            yield state, spec


def _neighbour(named: Named, held: Iterable[tuple[NodeState, VolumeSpec]]) -> Neighbour:
    places = {named.node} | {_place(named.scope, state, spec) for state, spec in held if named.is_of(spec)}
    return Neighbour(what=named.what, places=frozenset(places - {""}), scope=named.scope)


def _place(scope: Scope, state: NodeState, spec: VolumeSpec) -> str:
    if scope is Scope.ZONE:
        return state.labels.get(ZONE_KEY, "")
    return state.name if scope is Scope.NODE else f"{state.name}/{spec.pool}"


def _wishes(given: Mapping[Parameter, tuple[str, str]]) -> Wishes:
    where, scope = given[AFFINITY_SCOPE]
    if scope not in AFFINITY_SCOPE.allowed:
        raise InvalidRequest(f"{where}: {scope!r} is not one of {', '.join(AFFINITY_SCOPE.allowed)}")
    return Wishes(
        scope=Scope(scope),
        same=_terms(given[AFFINITY], OF_VOLUMES),
        different=_terms(given[ANTI_AFFINITY], OF_VOLUMES),
        near=_terms(given[NEAR], OF_PLACES),
    )


def _terms(given: tuple[str, str], kinds: tuple[str, ...]) -> tuple[Term, ...]:
    where, text = given
    found = []
    for part in filter(None, (part.strip() for part in text.split(";"))):
        kind, _, value = (piece.strip() for piece in part.partition(":"))
        if kind not in kinds or not value:
            raise InvalidRequest(f"{where}: {part!r} is not one of {', '.join(f'{each}:VALUE' for each in kinds)}")
        if kind == "volume" and VolumeId.parse(value) is None:
            raise InvalidRequest(f"{where}: {value!r} is no volume id")
        found.append(Term(kind, value))
    if len(found) > MOST:
        raise InvalidRequest(f"{where}: {len(found)} terms, at most {MOST} are allowed")
    return tuple(found)


class _Names:
    """What terms name, for one claim: claims and pods of other namespaces cannot be named."""

    def __init__(self, cluster: ClusterPort | None, namespace: str, name: str) -> None:
        self._port, self._namespace, self._name = cluster, namespace, name

    async def of(self, term: Term, scope: Scope) -> list[Named]:
        """One; of a selector one for each claim but ourselves."""
        if term.kind == "node":
            return [Named(what=f"node {term.value}", node=term.value, scope=scope)]
        if term.kind == "volume":
            return [Named(what=f"volume {term.value}", volume=term.value, scope=scope)]
        namespace = self._of_claim(term)
        if term.kind == "pod":
            node = await self._cluster(term).node_of_pod(namespace, term.value)
            return [Named(what=f"pod {namespace}/{term.value}", node=node, scope=scope)]
        claims: tuple[str, ...] = (term.value,)
        if term.kind == "claims":
            claims = await self._cluster(term).claims(namespace, term.value)
        return [
            Named(what=f"claim {namespace}/{name}", claim=(namespace, name), scope=scope)
            for name in claims
            if name != self._name
        ]

    def _of_claim(self, term: Term) -> str:
        if not self._namespace:
            raise InvalidRequest(
                f"{term.kind}:{term.value} is of the claim's namespace, which is not known: "
                "external-provisioner tells it with --extra-create-metadata"
            )
        return self._namespace

    def _cluster(self, term: Term) -> ClusterPort:
        if self._port is None:
            raise InvalidRequest(f"{term.kind}:{term.value} needs Kubernetes, which this controller does not know")
        return self._port
