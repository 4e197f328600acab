"""What expressions, capabilities and queries may name. One table; docs/scheduler.md repeats it, and a test compares.

Figures are bytes where they are sizes. What a pool does not have (no thin pool) counts as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csi_driver.model.sizes import GIB, KIB, MIB, TIB
from csi_driver.model.topology import ZONE_KEY
from csi_driver.scheduler.expression.terms import Kind, Term, literal
from csi_driver.scheduler.request import Get


@dataclass(frozen=True, slots=True)
class Attribute:
    """One thing that may be named."""

    kind: Kind
    get: Get
    help: str


_N, _T, _B, _L = Kind.NUMBER, Kind.TEXT, Kind.TRUTH, Kind.LABELS

POOL: Mapping[str, Attribute] = {
    "name": Attribute(_T, lambda _, v: v.pool.name, "its name"),
    "vg": Attribute(_T, lambda _, v: v.pool.vg, "its volume group"),
    "node": Attribute(_T, lambda _, v: v.pool.node, "the node that has it"),
    "labels": Attribute(_L, lambda _, v: v.pool.labels, "its labels, from the node's settings"),
    "free": Attribute(
        _N, lambda r, v: v.room(r.layout), "room for a volume of the request's layout, less what is promised"
    ),
    "thin_size": Attribute(_N, lambda _, v: v.pool.thin_size, "data size of the thin pool"),
    "thin_free": Attribute(_N, lambda _, v: v.pool.thin_free or 0, "room for thin volumes, by overcommit and reserve"),
    "thin_used": Attribute(_N, lambda _, v: v.pool.thin_used, "data of the thin pool that holds something"),
    "thin_allocated": Attribute(_N, lambda _, v: v.pool.thin_allocated, "sum of the sizes of its thin volumes"),
    "thick_free": Attribute(_N, lambda _, v: v.pool.thick_free or 0, "room for thick volumes"),
    "metadata_size": Attribute(_N, lambda _, v: v.pool.metadata_size, "of the thin pool's metadata"),
    "metadata_used": Attribute(_N, lambda _, v: v.pool.metadata_used, "of it, what is used"),
    "extent": Attribute(_N, lambda _, v: v.pool.extent, "size of an extent: volumes are multiples of it"),
    "volumes": Attribute(_N, lambda _, v: v.volumes, "how many volumes lie there"),
    "allocated": Attribute(_N, lambda _, v: v.allocated, "sum of their sizes"),
    "reserved": Attribute(_N, lambda _, v: v.reserved, "promised to creates that run in this controller"),
    "running": Attribute(_N, lambda _, v: v.running, "how many such creates"),
    "exported": Attribute(_B, lambda _, v: v.exported, "whether other nodes can reach it"),
}
NODE: Mapping[str, Attribute] = {
    "name": Attribute(_T, lambda _, v: v.pool.node, "its name"),
    "zone": Attribute(_T, lambda _, v: v.labels.get(ZONE_KEY, ""), "its zone; empty when it has none"),
    "labels": Attribute(_L, lambda _, v: v.labels, "its topology labels"),
}
REQUEST: Mapping[str, Attribute] = {
    "size": Attribute(_N, lambda r, _: r.size, "bytes asked for"),
    "layout": Attribute(_T, lambda r, _: str(r.layout), "thin or thick"),
    "access": Attribute(_T, lambda r, _: str(r.access), "the class's access policy"),
    "fs": Attribute(_T, lambda r, _: r.fs, "ext4, xfs, or empty for a raw block volume"),
    "namespace": Attribute(_T, lambda r, _: r.namespace, "of the claim; empty when it is not known"),
    "claim": Attribute(_T, lambda r, _: r.claim, "the claim's name; empty when it is not known"),
}
GROUPS: Mapping[str, Mapping[str, Attribute]] = {"pool": POOL, "node": NODE, "request": REQUEST}
CLASS = Attribute(_L, lambda r, _: r.parameters, "the parameters of the class as they are given")

CONSTANTS: Mapping[str, Term] = {
    "true": literal(True),  # noqa: FBT003  # a value
    "false": literal(False),  # noqa: FBT003
    "KiB": literal(KIB),
    "MiB": literal(MIB),
    "GiB": literal(GIB),
    "TiB": literal(TIB),
}


def term(attribute: Attribute) -> Term:
    """It as part of an expression."""
    return Term(kind=attribute.kind, get=attribute.get)
