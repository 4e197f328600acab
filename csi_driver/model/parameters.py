"""Parameters of classes: one table for StorageClasses and one for VolumeSnapshotClasses say what there is; the
documentation is made from them too.

Keys with Kubernetes' own prefix are its business (external-provisioner adds the claim's name there; GetCapacity gets
the class unstripped): accepted, and the claim's name is used. Any other unknown key is refused, so that a typo fails.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
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


class Access(StrEnum):
    """Where a volume may be used, and how much the place of the pod counts when its own is chosen."""

    PREFER_LOCAL = "prefer-local"
    LOCAL = "local"
    NETWORK = "network"


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
    WriteCache,
    WriteCache.THROUGH,
    "through: a write over the network is acknowledged once it is on the disk; a crash of the storage node loses none.",
)
ACCESS = _choice(
    "access",
    Access,
    Access.PREFER_LOCAL,
    "prefer-local: on the pod's node if it has room, else on another, over the network; local: only ever used on the "
    "node that holds it; network: placed by free room alone, wherever the pod is.",
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

TABLE: tuple[Parameter, ...] = (LAYOUT, WRITE_CACHE, ACCESS, POOL, WIPE, MKFS_OPTIONS)
"""Every key that a class may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters of one class, checked, with the defaults filled in."""

    layout: Layout = Layout.THIN
    write_cache: WriteCache = WriteCache.THROUGH
    access: Access = Access.PREFER_LOCAL
    pool: str = ""
    wipe: Wipe = Wipe.CREATE
    mkfs_options: tuple[str, ...] = ()
    pvc_namespace: str = ""
    pvc_name: str = ""
    params_hash: str = ""
    """Of everything that makes a volume another one; a later parameter left at its default does not change it."""


def parse(parameters: Mapping[str, str], mutable: Mapping[str, str]) -> Parameters:
    """What a class, and a VolumeAttributesClass over it, ask for. Raises InvalidRequest naming the key."""
    given = {key: value for key, value in parameters.items() if not key.startswith(KUBERNETES_PREFIX)}
    _refuse_unknown(given, TABLE, "parameter")
    _refuse_unknown(mutable, tuple(each for each in TABLE if each.mutable), "mutable parameter")
    given.update(mutable)
    values = {each.key: each.check(given.get(each.key, each.default)) for each in TABLE}
    layout, wipe = Layout(values[LAYOUT.key]), Wipe(values[WIPE.key])
    if wipe is Wipe.DELETE and layout is Layout.THIN:
        raise InvalidRequest(
            "parameter wipe: 'delete' cannot be had with layout thin: writing zeros would fill the pool, and a thin "
            "volume never shows what another held"
        )
    return Parameters(
        layout=layout,
        write_cache=WriteCache(values[WRITE_CACHE.key]),
        access=Access(values[ACCESS.key]),
        pool=values[POOL.key],
        wipe=wipe,
        mkfs_options=mkfs.parse(values[MKFS_OPTIONS.key]),
        pvc_namespace=parameters.get(PVC_NAMESPACE, ""),
        pvc_name=parameters.get(PVC_NAME, ""),
        params_hash=_hash(values),
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


def _refuse_unknown(given: Mapping[str, str], table: tuple[Parameter, ...], what: str) -> None:
    known = {each.key for each in table}
    if unknown := sorted(set(given) - known):
        raise InvalidRequest(f"unknown {what} {unknown[0]!r}; known are: {', '.join(sorted(known)) or 'none'}")


def _hash(values: Mapping[str, str]) -> str:
    """Only what differs from the defaults counts: a class keeps its hash when the table gets a new key."""
    defaults = {each.key: each.default for each in TABLE if not each.mutable}
    told = sorted(f"{key}={values[key]}\n" for key, default in defaults.items() if values[key] != default)
    return hashlib.sha256("".join(told).encode()).hexdigest()[:16]
