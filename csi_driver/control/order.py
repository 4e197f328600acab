"""A CreateVolume request, checked and understood: what to make, and whether what exists is that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from csi_driver.control import checks
from csi_driver.control.requests import CreateVolume
from csi_driver.errors import OutOfRange
from csi_driver.model import mkfs
from csi_driver.model.access import AccessType, FsType
from csi_driver.model.ids import SourceId, VolumeId, parse_source, volume_key
from csi_driver.model.parameters import Access, Parameters, parse
from csi_driver.model.sizes import DEFAULT_VOLUME_SIZE, MIB, MINIMUM_VOLUME_SIZE, show
from csi_driver.model.topology import Topology
from csi_driver.model.volume import Limits, Volume, VolumeSpec
from csi_driver.scheduler import rules
from csi_driver.scheduler.decide import WEIGHER_NAMES
from csi_driver.scheduler.neighbours import NO_HINTS, Hints
from csi_driver.scheduler.request import Request, Rules

SMALLEST: Mapping[FsType, int] = {FsType.XFS: 300 * MIB}
"""mkfs.xfs refuses less (mkfs.xfs(8))."""
NOWHERE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What has to be known of a source to place what is made from it."""

    node: str
    pool: str
    size: int
    fs: FsType | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be made, once, under this name."""

    name: str
    access: AccessType
    fs: FsType | None
    """None for block, and for a mount that leaves the choice open."""
    limits: Limits
    parameters: Parameters
    topology: Topology
    asked_source: str = ""
    """As the request names it; empty: it begins empty."""
    origin: Origin | None = None
    """Filled in when the volume has to be made (``control.sources``)."""
    rules: Rules = field(default=Rules(), compare=False)
    """Made of ``parameters``."""

    @classmethod
    def of(cls, request: CreateVolume, weighers: Collection[str] = WEIGHER_NAMES) -> Order:
        """``weighers``: the names that the class may give weights to. Raises InvalidRequest, or OutOfRange when no
        size will do for the file system.
        """
        checks.name(request.name)
        access, fs = checks.file_system(request.capabilities)
        checks.small_map(request.parameters, "parameters")
        checks.small_map(request.mutable_parameters, "mutable_parameters")
        parameters = parse(request.parameters, request.mutable_parameters)
        order = cls(
            name=request.name,
            access=access,
            fs=fs,
            limits=checks.limits(request.limits),
            parameters=parameters,
            topology=request.topology,
            asked_source=request.source,
            rules=rules.read(parameters, weighers),
        )
        order.check_size()
        mkfs.check(order.made_fs, order.parameters.mkfs_options)
        return order

    @property
    def source(self) -> SourceId | None:
        """What it is made from; None too when the request names what cannot be."""
        return parse_source(self.asked_source)

    @property
    def key(self) -> str:
        """Of the name: how the volume is found again."""
        return volume_key(self.name)

    @property
    def made_fs(self) -> FsType | None:
        """The file system that is made when the volume is, or that comes with its content."""
        if self.origin is not None:
            return self.origin.fs
        return (self.fs or checks.DEFAULT_FS) if self.access is AccessType.MOUNT else None

    @property
    def smallest(self) -> int:
        """The smallest volume of this kind, in bytes."""
        return SMALLEST.get(self.made_fs, MINIMUM_VOLUME_SIZE) if self.made_fs else MINIMUM_VOLUME_SIZE

    @property
    def least(self) -> int:
        """The smallest size that will do, in bytes."""
        if self.origin is not None:
            return max(self.limits.required or 0, self.origin.size)
        return max(self.limits.required or 0, self.smallest)

    def check_size(self) -> None:
        """Raises OutOfRange when the limit is too small for any volume of this kind, or the size for its file system.

        A small size without a limit is rounded up instead, unless the user names a file system that needs far more.
        What is made from a source is as large as that at least (``control.sources``).
        """
        if self.asked_source:
            return
        what = f"an {self.made_fs} volume" if self.made_fs else "a block volume"
        required = self.limits.required if self.made_fs in SMALLEST else None
        for bound in (self.limits.limit, required):
            if bound is not None and bound < self.smallest:
                raise OutOfRange(f"{show(bound)} is too small: {what} needs at least {show(self.smallest)}")

    def request(self, hints: Hints = NO_HINTS, attempted: Mapping[str, str] = NOWHERE) -> Request:
        """As the scheduler is asked. ``attempted``: pools where it has failed, and how."""
        default = self.origin.size if self.origin else DEFAULT_VOLUME_SIZE
        aimed = self.limits.required or min(default, self.limits.limit or default)
        return Request(
            size=max(aimed, self.least),
            least=self.least,
            limit=self.limits.limit,
            layout=self.parameters.layout,
            access=self.parameters.access,
            pool=self.parameters.pool,
            topology=self.topology,
            source=f"{self.origin.node}/{self.origin.pool}" if self.origin else "",
            fs=self.made_fs or "",
            namespace=self.parameters.pvc_namespace,
            claim=self.parameters.pvc_name,
            parameters=self.parameters.given,
            rules=self.rules,
            hints=hints,
            attempted=attempted,
            seed=self.name,
        )

    def spec(self, copy: str, *, size: int, pool: str) -> VolumeSpec:
        """As an agent is told."""
        return VolumeSpec(
            id=VolumeId(self.key, copy),
            name=self.name,
            size=size,
            pool=pool,
            layout=self.parameters.layout,
            fs=self.made_fs,
            mkfs_options=self.parameters.mkfs_options,
            write_cache=self.parameters.write_cache,
            wipe=self.parameters.wipe,
            params_hash=self.parameters.params_hash,
            pvc_namespace=self.parameters.pvc_namespace,
            pvc_name=self.parameters.pvc_name,
            source=self.source,
        )

    def differences(self, volume: Volume, labels: Mapping[str, str], *, exported: bool) -> tuple[str, ...]:
        """What makes ``volume`` another than the one ordered, in words; nothing when it is just that.

        ``labels`` are those of the node that holds it; ``exported``: whether that node has portals.
        """
        found = []
        if volume.name != self.name:
            found.append(f"its name is {volume.name!r}")
        if str(volume.source or "") != self.asked_source:
            found.append(f"it was made from {volume.source or 'nothing'}")
        if not self.limits.admits(volume.size):
            found.append(f"its size is {volume.size} bytes ({show(volume.size)})")
        if volume.access is not self.access:
            found.append(f"it was made for {volume.access} access")
        elif self.fs is not None and volume.fs is not self.fs:
            found.append(f"its file system is {volume.fs}")
        if volume.params_hash != self.parameters.params_hash:
            found.append("it was made with other parameters")
        if not self.topology.admits(labels, remote=exported and self.parameters.access is not Access.LOCAL):
            found.append(f"it lies on node {volume.node} and cannot be used from {self.topology.demand}")
        return tuple(found)
