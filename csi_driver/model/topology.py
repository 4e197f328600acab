"""Labels that say where a node stands, and which of them a caller asks for (CSI spec, "TopologyRequirement")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NODE_KEY = "csi.clinker.io/node"
"""Each node has this one, with its own name as the value."""
ZONE_KEY = "topology.kubernetes.io/zone"
SHOWN = 3


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One CSI ``Topology``: labels that must all hold. Sorted, so that equal ones compare equal."""

    labels: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Segment:
        """The segment that a map of labels spells."""
        return cls(tuple(sorted(labels.items())))

    @classmethod
    def node(cls, name: str) -> Segment:
        """The segment that is just this one node."""
        return cls(((NODE_KEY, name),))

    def to_map(self) -> dict[str, str]:
        """As CSI ``Topology.segments``."""
        return dict(self.labels)

    @property
    def names_node(self) -> bool:
        """Whether it says on which node, and not only in which part of the cluster."""
        return any(key == NODE_KEY for key, _ in self.labels)

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels lies in the segment."""
        return all(labels.get(key) == value for key, value in self.labels)

    def near(self, labels: Mapping[str, str]) -> bool:
        """Whether such a node shares everything but the node's name, and there is something to share."""
        rest = [pair for pair in self.labels if pair[0] != NODE_KEY]
        return bool(rest) and all(labels.get(key) == value for key, value in rest)

    def __str__(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.labels) or "anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """CSI ``TopologyRequirement``: usable from one of ``requisite`` (empty: no demand), best in this order."""

    requisite: tuple[Segment, ...] = ()
    preferred: tuple[Segment, ...] = ()

    def admits(self, labels: Mapping[str, str], *, remote: bool) -> bool:
        """Whether a volume on a node with these labels can be used from one of ``requisite``.

        A segment that names a node says where the pod may run: the network reaches it from anywhere, when ``remote``
        nodes may use the volume. One that names no node (an operator's ``allowedTopologies``: a zone) says where the
        data may lie.
        """
        return not self.requisite or any(
            segment.holds(labels) or (remote and segment.names_node) for segment in self.requisite
        )

    @property
    def demand(self) -> str:
        """``requisite`` for people, cut short."""
        shown = " or ".join(str(segment) for segment in self.requisite[:SHOWN])
        more = len(self.requisite) - SHOWN
        return f"{shown} or {more} more" if more > 0 else shown


def reach(
    node: str, *, exported: bool, requisite: Sequence[Segment], registered: Iterable[Mapping[str, str]]
) -> tuple[Segment, ...]:
    """CSI ``accessible_topology`` of a volume on ``node``: empty says from everywhere.

    ``exported``: whether other nodes may use it over the network. ``requisite`` is what the caller asked for: when
    it leaves out one of the ``registered`` nodes (their labels), an operator's ``allowedTopologies`` stands behind
    it, and pods must stay within it too. When it names all of them it is only the list of the nodes of today, and a
    volume bound to that could never be used on one that comes tomorrow.
    """
    if not exported:
        return (Segment.node(node),)
    if not requisite or all(any(each.holds(labels) for each in requisite) for labels in registered):
        return ()
    return tuple(requisite)
