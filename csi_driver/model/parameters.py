"""Parameters of classes: one table for StorageClasses and one for VolumeSnapshotClasses say what there is; the
documentation is made from them too.

Keys with Kubernetes' own prefix are its business (external-provisioner adds the claim's name there; GetCapacity gets
the class unstripped): accepted, and the claim's name is used. Any other unknown key is refused, so that a typo fails.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from csi_driver.errors import InvalidRequest
from csi_driver.model import mkfs
from csi_driver.model.volume import Layout, Wipe, WriteCache

KUBERNETES_PREFIX = "csi.storage.k8s.io/"
PVC_NAME = KUBERNETES_PREFIX + "pvc/name"
PVC_NAMESPACE = KUBERNETES_PREFIX + "pvc/namespace"
SNAPSHOT_NAME = KUBERNETES_PREFIX + "volumesnapshot/name"
SNAPSHOT_NAMESPACE = KUBERNETES_PREFIX + "volumesnapshot/namespace"


class Caching(StrEnum):
    """When a write over the network is acknowledged."""

    THROUGH = "through"
    BACK = "back"


class AfterStorageCrash(StrEnum):
    """What becomes of a volume with ``writeCache: back`` whose storage node lost power while it was used."""

    FAIL = "fail"
    RESUME = "resume"


class Access(StrEnum):
    """Where a volume may be used, and how much the place of the pod counts when its own is chosen."""

    PREFER_LOCAL = "prefer-local"
    LOCAL = "local"
    NETWORK = "network"


class Choice(StrEnum):
    """How one of the pools that will do is taken."""

    DEFAULT = ""
    BEST = "best"
    STOCHASTIC = "stochastic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One key of a StorageClass. ``allowed`` empty: any text that ``pattern`` matches."""

    key: str
    default: str
    help: str
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    mutable: bool = False
    """Whether a VolumeAttributesClass may set it."""
    many: bool = False
    """It is the beginning of keys, each with a value."""
    placing: bool = False
    """It says where a volume goes and not what it is: a volume is the same with another value."""

    def check(self, value: str) -> str:
        """``value``, if it may be given. Raises InvalidRequest that says what may."""
        if self.allowed and value not in self.allowed:
            raise InvalidRequest(f"parameter {self.key}: {value!r} is not one of {', '.join(self.allowed)}")
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise InvalidRequest(f"parameter {self.key}: {value!r} must match {self.pattern}")
        return value


E = TypeVar("E", bound=StrEnum)


def _choice(key: str, kind: type[E], default: E, text: str) -> Parameter:
    return Parameter(key=key, default=default.value, allowed=tuple(each.value for each in kind), help=text)


LAYOUT = _choice(
    "layout",
    Layout,
    Layout.THIN,
    "thin: blocks are taken from the pool when they are first written; thick: all of them at creation; striped, raid1, "
    "raid10: thick, over several disks.",
)
WRITE_CACHE = _choice(
    "writeCache",
    Caching,
    Caching.THROUGH,
    "through: a write over the network is acknowledged once it is on the disk; a crash of the storage node loses none. "
    "back: as a disk with a cache does, on the disk only after a flush (fsync); faster, see afterStorageCrash.",
)
AFTER_STORAGE_CRASH = _choice(
    "afterStorageCrash",
    AfterStorageCrash,
    AfterStorageCrash.FAIL,
    "With writeCache: back only. fail: after a crash of the storage node its users get errors, and the volume is used "
    "again from the last flush once it was attached and staged anew. resume: users go on, and writes that were not "
    "flushed may be lost without an error.",
)
ACCESS = _choice(
    "access",
    Access,
    Access.PREFER_LOCAL,
    "prefer-local: on the pod's node if it has room, else on another, over the network; local: only ever used on the "
    "node that holds it; network: placed by free room alone, wherever the pod is.",
)
REPLACEMENT_TIMEOUT = Parameter(
    key="replacementTimeout",
    default="900",
    pattern=r"[1-9][0-9]{0,4}",
    help="Seconds that I/O over the network waits for a storage node that does not answer, before it fails.",
)
POOL = Parameter(
    key="pool",
    default="",
    pattern=r"[A-Za-z0-9_.+-]{0,63}",
    help="Name of the pools that may hold the volume; empty: any pool with the layout.",
)
WIPE = _choice(
    "wipe",
    Wipe,
    Wipe.CREATE,
    "create: a volume that is not thin is cleared before anyone gets it; delete: it is overwritten when it is deleted, "
    "too (not for thin ones).",
)
MKFS_OPTIONS = Parameter(
    key="mkfsOptions",
    default="",
    pattern=r"[A-Za-z0-9^=,_ -]{0,200}",
    help="Options for mkfs, of a list that is allowed, as in -i 8192.",
)

REQUIRE = Parameter(
    key="require.",
    default="",
    many=True,
    placing=True,
    help="require.ATTRIBUTE is what a pool must have: a text, or an operator and a value, as in "
    "`require.labels.tier: ssd` and `require.thin_size: >= 100Gi`.",
)
FILTER = Parameter(
    key="filter",
    default="",
    placing=True,
    help="An expression that is true for the pools that may hold the volume.",
)
QUERY = Parameter(
    key="query", default="", placing=True, help="The same in JSON, as Cinder's query; a class may have it, a claim not."
)
GOODNESS = Parameter(
    key="goodness",
    default="",
    placing=True,
    help="An expression of 0 to 100, or of true and false: how good a pool is, for the weigher of that name.",
)
WEIGHTS = Parameter(
    key="weights",
    default="",
    placing=True,
    help="Multipliers of weighers, in place of the controller's: `capacity=2, chance=0`.",
)
CHOICE = Parameter(
    key="choose",
    default=Choice.DEFAULT.value,
    allowed=tuple(each.value for each in Choice),
    placing=True,
    help="best: the pool of the highest weight; stochastic: drawn among the better half by weight; empty: as the "
    "controller is set.",
)
AFFINITY = Parameter(
    key="affinity",
    default="",
    placing=True,
    help="Volumes with which it must share a place: `volume:ID`, `claim:NAME`, `claims:SELECTOR`, several with `;`.",
)
ANTI_AFFINITY = Parameter(
    key="antiAffinity", default="", placing=True, help="Volumes with which it must not share a place, named likewise."
)
AFFINITY_SCOPE = Parameter(
    key="affinityScope",
    default="node",
    allowed=("node", "pool", "zone"),
    placing=True,
    help="The place that affinity and antiAffinity speak of.",
)
NEAR = Parameter(
    key="near",
    default="",
    placing=True,
    help="Where it would be well to lie: on the node of these volumes, or `pod:NAME`, `node:NAME`.",
)

TABLE: tuple[Parameter, ...] = (
    LAYOUT,
    WRITE_CACHE,
    AFTER_STORAGE_CRASH,
    REPLACEMENT_TIMEOUT,
    ACCESS,
    POOL,
    WIPE,
    MKFS_OPTIONS,
    REQUIRE,
    FILTER,
    QUERY,
    GOODNESS,
    WEIGHTS,
    CHOICE,
    AFFINITY,
    ANTI_AFFINITY,
    AFFINITY_SCOPE,
    NEAR,
)
"""Every key that a class may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters of one class, checked, with the defaults filled in."""

    layout: Layout = Layout.THIN
    write_cache: WriteCache = WriteCache.THROUGH
    replacement_timeout: int = int(REPLACEMENT_TIMEOUT.default)
    access: Access = Access.PREFER_LOCAL
    pool: str = ""
    wipe: Wipe = Wipe.CREATE
    mkfs_options: tuple[str, ...] = ()
    pvc_namespace: str = ""
    pvc_name: str = ""
    params_hash: str = ""
    """Of everything that makes a volume another one; a later parameter left at its default does not change it."""
    given: Mapping[str, str] = field(default_factory=dict)
    """As they stand in the class, without Kubernetes' own."""

    def of(self, parameter: Parameter) -> str:
        """The value of one key, or its default."""
        return self.given.get(parameter.key, parameter.default)

    def every(self, parameter: Parameter) -> dict[str, str]:
        """The values of the keys that begin with this one, by what follows."""
        return {
            key.removeprefix(parameter.key): value
            for key, value in sorted(self.given.items())
            if key.startswith(parameter.key)
        }


def parse(parameters: Mapping[str, str], mutable: Mapping[str, str]) -> Parameters:
    """What a class, and a VolumeAttributesClass over it, ask for. Raises InvalidRequest naming the key."""
    given = {key: value for key, value in parameters.items() if not key.startswith(KUBERNETES_PREFIX)}
    _refuse_unknown(given, TABLE, "parameter")
    _refuse_unknown(mutable, tuple(each for each in TABLE if each.mutable), "mutable parameter")
    given.update(mutable)
    values = {each.key: each.check(given.get(each.key, each.default)) for each in TABLE if not each.many}
    layout, wipe = Layout(values[LAYOUT.key]), Wipe(values[WIPE.key])
    if wipe is Wipe.DELETE and layout is Layout.THIN:
        raise InvalidRequest(
            "parameter wipe: 'delete' cannot be had with layout thin: writing zeros would fill the pool, and a thin "
            "volume never shows what another held"
        )
    return Parameters(
        layout=layout,
        write_cache=_write_cache(values),
        replacement_timeout=int(values[REPLACEMENT_TIMEOUT.key]),
        access=Access(values[ACCESS.key]),
        pool=values[POOL.key],
        wipe=wipe,
        mkfs_options=mkfs.parse(values[MKFS_OPTIONS.key]),
        pvc_namespace=parameters.get(PVC_NAMESPACE, ""),
        pvc_name=parameters.get(PVC_NAME, ""),
        params_hash=_hash(values),
        given=given,
    )


SNAPSHOT_TABLE: tuple[Parameter, ...] = ()
"""Every key that a VolumeSnapshotClass may have: a snapshot has nothing to choose, it is what its source was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotParameters:
    """The parameters of one snapshot class, checked, and which VolumeSnapshot it is for."""

    object_namespace: str = ""
    object_name: str = ""


def parse_snapshot(parameters: Mapping[str, str]) -> SnapshotParameters:
    """What a VolumeSnapshotClass asks for. Raises InvalidRequest naming the key."""
    given = {key: value for key, value in parameters.items() if not key.startswith(KUBERNETES_PREFIX)}
    _refuse_unknown(given, SNAPSHOT_TABLE, "parameter of a snapshot class")
    return SnapshotParameters(
        object_namespace=parameters.get(SNAPSHOT_NAMESPACE, ""), object_name=parameters.get(SNAPSHOT_NAME, "")
    )


def _write_cache(values: Mapping[str, str]) -> WriteCache:
    after = AfterStorageCrash(values[AFTER_STORAGE_CRASH.key])
    if Caching(values[WRITE_CACHE.key]) is Caching.THROUGH:
        if after is not AfterStorageCrash.FAIL:
            raise InvalidRequest(
                f"parameter {AFTER_STORAGE_CRASH.key}: {after} has a meaning with {WRITE_CACHE.key}: back only; "
                "written through, nothing is lost"
            )
        return WriteCache.THROUGH
    return WriteCache.BACK if after is AfterStorageCrash.FAIL else WriteCache.BACK_RESUME


def _refuse_unknown(given: Mapping[str, str], table: tuple[Parameter, ...], what: str) -> None:
    known = {f"{each.key}ATTRIBUTE" if each.many else each.key for each in table}
    beginnings = tuple(each.key for each in table if each.many)
    unknown = sorted(key for key in set(given) - known if not key.startswith(beginnings))
    if unknown:
        raise InvalidRequest(f"unknown {what} {unknown[0]!r}; known are: {', '.join(sorted(known)) or 'none'}")


def _hash(values: Mapping[str, str]) -> str:
    """Only what differs from the defaults counts: a class keeps its hash when the table gets a new key."""
    defaults = {each.key: each.default for each in TABLE if not (each.mutable or each.placing)}
    told = sorted(f"{key}={values[key]}\n" for key, default in defaults.items() if values[key] != default)
    return hashlib.sha256("".join(told).encode()).hexdigest()[:16]
