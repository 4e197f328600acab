"""In-memory stand-ins for what the gRPC layer calls, and the way to a running server."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from csi_driver.cli import certificates
from csi_driver.control import requests as control
from csi_driver.errors import NotFound
from csi_driver.model.access import AccessMode, AccessType
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.publication import Attachment, Publication, PublishContext, PublishRequest, Transport
from csi_driver.model.secret import Secret
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Content, Volume, VolumeSpec
from csi_driver.node import requests as node
from csi_driver.settings import PoolSettings, TlsSettings

ID = VolumeId("a" * 26, "b" * 8)
SPEC = VolumeSpec(id=ID, name="pvc-1", size=1 << 30, pool="fast")
VOLUME = Volume(id=ID, name="pvc-1", size=1 << 30, pool="fast", node="n1", vg="vg0", content=Content.READY)
ORDER = PublishRequest(
    volume=ID,
    node="n2",
    transport=Transport.ISCSI,
    mode=AccessMode.SINGLE_NODE_WRITER,
    access=AccessType.MOUNT,
    initiator="iqn.2026-11.test:n2",
)
CUT_ID = SnapshotId("c" * 26, "d" * 8)
CUT = SnapshotSpec(id=CUT_ID, name="snapshot-1", source=ID, object_namespace="ns", object_name="nightly")
SNAPSHOT = Snapshot(
    id=CUT_ID,
    name="snapshot-1",
    source=ID,
    object_namespace="ns",
    object_name="nightly",
    node="n1",
    vg="vg0",
    pool="fast",
    size=1 << 30,
    created=1_800_000_000,
)
INFO = AgentInfo(node="n1", boot_id="b", initiator="iqn.2026-11.test:n1", segments={"csi.clinker.io/node": "n1"})


class FakeAgent:
    """An AgentPort whose volumes are a dict. What is in ``failures`` under a verb's name is raised by that verb."""

    def __init__(self) -> None:
        self.volumes: dict[VolumeId, Volume] = {}
        self.snapshots: dict[SnapshotId, Snapshot] = {}
        self.held: list[Attachment] = []
        self.chosen: tuple[PoolSettings, ...] | None = None
        self.failures: dict[str, BaseException] = {}
        self.gates: defaultdict[str, asyncio.Event] = defaultdict(_open)
        self.changes: asyncio.Queue[Change | None] = asyncio.Queue()
        self.watchers = 0
        self.left = asyncio.Event()

    async def _pass(self, verb: str) -> None:
        await self.gates[verb].wait()
        if verb in self.failures:
            raise self.failures[verb]

    async def describe(self) -> AgentInfo:
        await self._pass("describe")
        return INFO

    async def watch(self) -> AsyncIterator[Change]:
        self.watchers += 1
        try:
            yield Change(full=True, info=INFO, pools=(), volumes=tuple(self.volumes.values()), wanted=())
            while (change := await self.changes.get()) is not None:
                yield change
        finally:
            self.watchers -= 1
            self.left.set()

    async def choose_pools(self, pools: tuple[PoolSettings, ...]) -> None:
        await self._pass("choose_pools")
        self.chosen = pools

    async def find(self, key: str) -> tuple[Volume, ...]:
        await self._pass("find")
        return tuple(volume for volume in self.volumes.values() if volume.id.key == key)

    async def claim(self, spec: VolumeSpec) -> Volume:
        await self._pass("claim")
        return self.volumes.setdefault(spec.id, replace(VOLUME, id=spec.id, content=Content.CLAIMED))

    async def commit(self, volume: VolumeId) -> Volume:
        self.volumes[volume] = replace(await self.get(volume), content=Content.READY)
        return self.volumes[volume]

    async def drop(self, volume: VolumeId) -> None:
        await self.delete(volume)

    async def get(self, volume: VolumeId) -> Volume:
        await self._pass("get")
        if volume not in self.volumes:
            raise NotFound(f"no volume {volume}")
        return self.volumes[volume]

    async def delete(self, volume: VolumeId) -> None:
        await self._pass("delete")
        self.volumes.pop(volume, None)

    async def extend(self, volume: VolumeId, size: int) -> Volume:
        self.volumes[volume] = replace(await self.get(volume), size=size)
        return self.volumes[volume]

    async def cut(self, spec: SnapshotSpec) -> Snapshot:
        await self._pass("cut")
        return self.snapshots.setdefault(spec.id, replace(SNAPSHOT, id=spec.id, source=spec.source))

    async def find_snapshots(self, key: str) -> tuple[Snapshot, ...]:
        await self._pass("find_snapshots")
        return tuple(each for each in self.snapshots.values() if each.id.key == key)

    async def get_snapshot(self, identity: SnapshotId) -> Snapshot:
        await self._pass("get_snapshot")
        if identity not in self.snapshots:
            raise NotFound(f"no snapshot {identity}")
        return self.snapshots[identity]

    async def delete_snapshot(self, identity: SnapshotId) -> None:
        await self._pass("delete_snapshot")
        self.snapshots.pop(identity, None)

    async def publish(self, request: PublishRequest) -> Publication:
        await self._pass("publish")
        return Publication(request=request, number=7, portals=("10.0.0.1:3260",), chap_user="u", secret=Secret("hush"))

    async def unpublish(self, volume: VolumeId, node: str) -> int:
        await self._pass("unpublish")
        return 7

    async def publications(self, volume: VolumeId) -> tuple[PublicationRef, ...]:
        await self._pass("publications")
        return (PublicationRef(volume, "n2", 7, Transport.ISCSI, AccessMode.SINGLE_NODE_WRITER, readonly=False),)

    async def hold(self, attachment: Attachment) -> None:
        await self._pass("hold")
        self.held.append(attachment)

    async def release(self, volume: VolumeId, number: int) -> None:
        await self._pass("release")
        self.held = [each for each in self.held if each.volume != volume or each.number > number]


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


class FakeController:
    """Keeps each request; answers with what it was given; raises ``failure`` when that is set."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.failure: BaseException | None = None
        self.view = control.VolumeView(id=str(ID), size=1 << 30, context={"pool": "fast"}, published=("n2",))
        self.cut = control.SnapshotView(id=str(CUT_ID), source=str(ID), size=1 << 30, created=1_800_000_000)

    def _note(self, request: object) -> None:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure

    async def create_volume(self, request: control.CreateVolume) -> control.VolumeView:
        self._note(request)
        return self.view

    async def delete_volume(self, request: control.DeleteVolume) -> None:
        self._note(request)

    async def publish_volume(self, request: control.PublishVolume) -> control.Published:
        self._note(request)
        return control.Published(context=PublishContext(transport=Transport.LOCAL, number=3, readonly=request.readonly))

    async def unpublish_volume(self, request: control.UnpublishVolume) -> None:
        self._note(request)

    async def validate_capabilities(self, request: control.ValidateCapabilities) -> control.Validated:
        self._note(request)
        return control.Validated(confirmed=True)

    async def expand_volume(self, request: control.ExpandVolume) -> control.Expanded:
        self._note(request)
        return control.Expanded(size=2 << 30)

    async def list_volumes(self, request: control.ListVolumes) -> control.VolumePage:
        self._note(request)
        return control.VolumePage(volumes=(self.view,), token="next")

    async def get_volume(self, request: control.GetVolume) -> control.VolumeView:
        self._note(request)
        return self.view

    async def create_snapshot(self, request: control.CreateSnapshot) -> control.SnapshotView:
        self._note(request)
        return self.cut

    async def delete_snapshot(self, request: control.DeleteSnapshot) -> None:
        self._note(request)

    async def list_snapshots(self, request: control.ListSnapshots) -> control.SnapshotPage:
        self._note(request)
        return control.SnapshotPage(snapshots=(self.cut,), token="next")

    async def get_snapshot(self, request: control.GetSnapshot) -> control.SnapshotView:
        self._note(request)
        return self.cut

    async def get_capacity(self, request: control.GetCapacity) -> control.CapacityView:
        self._note(request)
        return control.CapacityView(available=5 << 30, maximum=4 << 30)


class FakeNode:
    """Likewise for the node plugin."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.stats_answer = node.VolumeStats(
            bytes=node.Bytes(total=100, used=40, available=60), inodes=node.Inodes(total=10, used=4, available=6)
        )

    async def stage(self, request: node.StageRequest) -> None:
        self.asked.append(request)

    async def unstage(self, request: node.UnstageRequest) -> None:
        self.asked.append(request)

    async def publish(self, request: node.BindRequest) -> None:
        self.asked.append(request)

    async def unpublish(self, request: node.UnbindRequest) -> None:
        self.asked.append(request)

    async def expand(self, request: node.ExpandRequest) -> int:
        self.asked.append(request)
        return 2 << 30

    async def stats(self, request: node.StatsRequest) -> node.VolumeStats:
        self.asked.append(request)
        return self.stats_answer

    def info(self) -> node.NodeInfo:
        return node.NodeInfo(node="n1", max_volumes=0, segments={"csi.clinker.io/node": "n1"})


class Pki:
    """A CA on disk that issues certificates as the tests want them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, certificates.make_ca(days=1)

    def controller(self) -> TlsSettings:
        return self.write("controller", certificates.issue_controller(self.ca, days=1))

    def node(self, name: str) -> TlsSettings:
        return self.write(name, certificates.issue_node(self.ca, name, days=1))

    def write(self, name: str, pair: certificates.Pair) -> TlsSettings:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        tls = TlsSettings(ca=folder / "ca.crt", certificate=folder / "tls.crt", key=folder / "tls.key")
        tls.ca.write_bytes(self.ca.certificate)
        tls.certificate.write_bytes(pair.certificate)
        tls.key.write_bytes(pair.key)
        return tls
