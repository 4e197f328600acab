"""Whatever is asked of a driver gets an answer that states a fact: never a bug's, never an empty one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode, aio
from hypothesis import given, settings
from hypothesis import strategies as st

from csi_driver.errors import Kind
from csi_driver.model.ids import VolumeId
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.register import handler
from csi_driver.rpc.statuses import CODES
from csi_driver.testing.host import SimHost
from csi_driver.testing.mounts import SimMounts
from tests.driver.right_requests import Right
from tests.driver.served import Csi, Walk, one_host
from tests.unit.rpc_driver import BLOCK, MOUNT

ABSENT = str(VolumeId("a" * 26, "b" * 8))
ODD = "who-made-this-id"
GIB = 1 << 30


def make_host(size: int = 8 * GIB) -> SimHost:
    host = SimHost("n1")
    host.add_group("vg0", size, thin_pool="thin0")
    return host


@pytest.fixture
async def csi(tmp_path: Path) -> AsyncIterator[Csi]:
    async with one_host(tmp_path, make_host()) as csi:
        yield csi


async def answer(csi: Csi, message: Message) -> StatusCode:
    """The code that the RPC to which ``message`` belongs is answered with; its words must not be empty."""
    name = message.DESCRIPTOR.name.removesuffix("Request")
    stub = next(stub for stub in (csi.controller, csi.node, csi.identity) if hasattr(stub, name))
    call = getattr(stub, name)(message, timeout=20)
    code: StatusCode = await call.code()
    assert code is StatusCode.OK or await call.details()
    return code


# -- what does not exist


def absent(identity: str) -> list[tuple[StatusCode, Message]]:
    larger = pb.CapacityRange(required_bytes=GIB)
    paths = {"volume_id": identity, "staging_target_path": "/var/lib/kubelet/s"}
    return [
        (StatusCode.OK, pb.DeleteVolumeRequest(volume_id=identity)),
        (
            StatusCode.NOT_FOUND,
            pb.ControllerPublishVolumeRequest(volume_id=identity, node_id="n1", volume_capability=MOUNT),
        ),
        (StatusCode.OK, pb.ControllerUnpublishVolumeRequest(volume_id=identity, node_id="n1")),
        (StatusCode.OK, pb.ControllerUnpublishVolumeRequest(volume_id=identity)),
        (
            StatusCode.NOT_FOUND,
            pb.ValidateVolumeCapabilitiesRequest(volume_id=identity, volume_capabilities=[MOUNT]),
        ),
        (StatusCode.NOT_FOUND, pb.ControllerExpandVolumeRequest(volume_id=identity, capacity_range=larger)),
        (StatusCode.NOT_FOUND, pb.ControllerGetVolumeRequest(volume_id=identity)),
        (StatusCode.OK, pb.NodeUnstageVolumeRequest(**paths)),
        (StatusCode.OK, pb.NodeUnpublishVolumeRequest(volume_id=identity, target_path="/var/lib/kubelet/t")),
        (StatusCode.NOT_FOUND, pb.NodeGetVolumeStatsRequest(volume_id=identity, volume_path="/var/lib/kubelet/t")),
        (StatusCode.NOT_FOUND, pb.NodeExpandVolumeRequest(volume_id=identity, volume_path="/var/lib/kubelet/t")),
    ]


@pytest.mark.parametrize(
    ("code", "message"), [*absent(ABSENT), *absent(ODD)], ids=lambda value: getattr(value, "name", type(value).__name__)
)
async def test_a_volume_that_does_not_exist(csi: Csi, code: StatusCode, message: Message) -> None:
    assert await answer(csi, message) is code


# -- what exists, asked for in a way that cannot be


async def create(csi: Csi, **fields: Any) -> pb.Volume:
    request = pb.CreateVolumeRequest(**{"name": "pvc-1", "volume_capabilities": [MOUNT]} | fields)
    return (await csi.controller.CreateVolume(request)).volume


def of_size(size: int, limit: int = 0) -> pb.CapacityRange:
    return pb.CapacityRange(required_bytes=size, limit_bytes=limit)


async def test_a_name_that_is_taken_by_another_size(csi: Csi) -> None:
    await create(csi, capacity_range=of_size(GIB))
    larger = pb.CreateVolumeRequest(name="pvc-1", volume_capabilities=[MOUNT], capacity_range=of_size(2 * GIB))
    assert await answer(csi, larger) is StatusCode.ALREADY_EXISTS
    raw = pb.CreateVolumeRequest(name="pvc-1", volume_capabilities=[BLOCK], capacity_range=of_size(GIB))
    assert await answer(csi, raw) is StatusCode.ALREADY_EXISTS


async def test_sizes_that_cannot_be(csi: Csi) -> None:
    huge = pb.CreateVolumeRequest(name="huge", volume_capabilities=[MOUNT], capacity_range=of_size(1 << 50))
    assert await answer(csi, huge) is StatusCode.RESOURCE_EXHAUSTED
    tight = pb.CreateVolumeRequest(name="tight", volume_capabilities=[MOUNT], capacity_range=of_size(GIB + 1, GIB + 2))
    assert await answer(csi, tight) is StatusCode.OUT_OF_RANGE
    volume = await create(csi, capacity_range=of_size(GIB))
    expand = pb.ControllerExpandVolumeRequest(volume_id=volume.volume_id, capacity_range=of_size(1 << 50))
    assert await answer(csi, expand) is StatusCode.OUT_OF_RANGE


async def test_parameters_that_are_unknown(csi: Csi) -> None:
    odd = {"colour": "red"}
    fixed = pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT], parameters=odd)
    assert await answer(csi, fixed) is StatusCode.INVALID_ARGUMENT
    mutable = pb.CreateVolumeRequest(name="x", volume_capabilities=[MOUNT], mutable_parameters=odd)
    assert await answer(csi, mutable) is StatusCode.INVALID_ARGUMENT


async def test_a_token_that_is_not_ours(csi: Csi) -> None:
    assert await answer(csi, pb.ListVolumesRequest(starting_token="invalid-token")) is StatusCode.ABORTED


async def test_a_node_that_does_not_exist(csi: Csi) -> None:
    volume = await create(csi)
    request = pb.ControllerPublishVolumeRequest(
        volume_id=volume.volume_id, node_id="nobody", volume_capability=MOUNT, volume_context=volume.volume_context
    )
    assert await answer(csi, request) is StatusCode.NOT_FOUND


async def test_a_volume_in_use_is_not_deleted(csi: Csi) -> None:
    volume = await create(csi)
    await Walk(csi, csi, "n1", volume, MOUNT).attach()
    assert await answer(csi, pb.DeleteVolumeRequest(volume_id=volume.volume_id)) is StatusCode.FAILED_PRECONDITION


async def test_publishing_on_a_node_without_a_staging_path(csi: Csi) -> None:
    volume = await create(csi)
    request = pb.NodePublishVolumeRequest(
        volume_id=volume.volume_id, target_path="/var/lib/kubelet/t", volume_capability=MOUNT
    )
    assert await answer(csi, request) is StatusCode.FAILED_PRECONDITION


# -- anything at all

LIVE = "the volume that exists"
"""Stands for its id, which nobody knows before."""
PATH = "/var/lib/kubelet/x"
TEXTS = st.sampled_from(["", "n1", "pvc-1", ABSENT, ODD, "/", PATH, "fast", "ext4"]) | st.text(max_size=8)
PAIRS = {"layout": "thin", "pool": "fast", "access": "local", "transport": "local", "publication": "1"}
BYTES = st.sampled_from([0, 0, 1, -1, 16 << 20, GIB, GIB, GIB + 1, 2 * GIB, 1 << 50, (1 << 63) - 1, -(1 << 63)])
NOT_BUILT = frozenset(
    {
        "ControllerListVolumeHealth",
        "ControllerGetVolumeHealth",
        "ControllerModifyVolume",
        "NodeGetVolumeHealth",
        "NodeGetStorageHealth",
    }
)
"""RPCs of the specification that no capability of ours offers."""
ANY_CODE = {StatusCode.OK, *CODES.values()} - {CODES[Kind.INTERNAL]}
SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["pvc-1", "pvc-2", "x" * 129, ""]) | st.text(max_size=8),
    "volume_id": st.sampled_from([LIVE, LIVE, LIVE, ABSENT, ODD, ""]),
    "node_id": st.sampled_from(["n1", "n1", "nobody", ""]),
    **dict.fromkeys(
        ("staging_target_path", "target_path", "volume_path"),
        st.sampled_from([PATH, f"{PATH}/y", "relative", "/../x", ""]),
    ),
}
"""Fields that are always set, so that requests come further than the first check."""


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    kinds: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
        FieldDescriptor.TYPE_STRING: lambda: TEXTS,
        FieldDescriptor.TYPE_BOOL: st.booleans,
        FieldDescriptor.TYPE_INT64: lambda: BYTES,
        FieldDescriptor.TYPE_INT32: lambda: st.integers(-2, 5),
        FieldDescriptor.TYPE_ENUM: lambda: st.integers(0, 9),
        FieldDescriptor.TYPE_MESSAGE: lambda: message_of(field),
    }
    return kinds[field.type]()


def message_of(field: FieldDescriptor) -> st.SearchStrategy[Message]:
    assert field.message_type is not None
    made = messages(field.message_type)
    return st.sampled_from([MOUNT, MOUNT, BLOCK]) | made if field.message_type.name == "VolumeCapability" else made


def of_field(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        known = st.sampled_from(sorted(PAIRS)).map(lambda key: {key: PAIRS[key]})
        return known | st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)
    return st.lists(values(field), min_size=1, max_size=2) if field.is_repeated else values(field)


def messages(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    """Any message of that type, most fields set or not; what they hold is often something that means something."""
    always = {field.name: SENSIBLE[field.name] for field in descriptor.fields if field.name in SENSIBLE}
    often = ("volume_capability", "volume_capabilities", "capacity_range")
    always |= {field.name: of_field(field) for field in descriptor.fields if field.name in often}
    rest = {field.name: of_field(field) for field in descriptor.fields if field.name not in always}
    fields = st.fixed_dictionaries(always, optional=rest)
    return fields.map(lambda chosen: GetMessageClass(descriptor)(**chosen))


def offered() -> list[MethodDescriptor]:
    services = pb.DESCRIPTOR.services_by_name
    return [method for name in ("Identity", "Controller", "Node") for method in services[name].methods]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def right(loop: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Right]:
    """A driver that all examples are thrown at, one after the other."""
    host = make_host(8192 * GIB)
    driver = one_host(tmp_path_factory.mktemp("fuzz"), host)
    csi = loop.run(driver.__aenter__())
    loop.run(SimMounts(host.machine).make_folder(PATH))
    right = Right(csi, host)
    yield right
    loop.run(right.clean_up())
    loop.run(clean_up(csi))
    loop.run(driver.__aexit__(None, None, None))
    assert host.leftovers() == ()


async def clean_up(csi: Csi) -> None:
    """As an operator would: everything that the driver lists."""
    for entry in (await csi.controller.ListVolumes(pb.ListVolumesRequest())).entries:
        identity = entry.volume.volume_id
        staged = pb.NodeUnstageVolumeRequest(volume_id=identity, staging_target_path="/var/lib/kubelet/x")
        await csi.node.NodeUnstageVolume(staged)
        await csi.controller.ControllerUnpublishVolume(pb.ControllerUnpublishVolumeRequest(volume_id=identity))
        await csi.controller.DeleteVolume(pb.DeleteVolumeRequest(volume_id=identity))
    for cut in (await csi.controller.ListSnapshots(pb.ListSnapshotsRequest())).entries:
        await csi.controller.DeleteSnapshot(pb.DeleteSnapshotRequest(snapshot_id=cut.snapshot.snapshot_id))


@pytest.fixture(scope="module")
def fuzzed(right: Right) -> Csi:
    return right.csi


def changed(request: Message, other: Message, fields: list[str]) -> Message:
    """``request`` with some fields as ``other`` has them."""
    part = type(other)()
    part.CopyFrom(other)
    for name in (field.name for field in other.DESCRIPTOR.fields):
        (request if name in fields else part).ClearField(name)
    request.MergeFrom(part)
    return request


@pytest.mark.parametrize("method", offered(), ids=lambda method: method.name)
def test_any_request_gets_an_answer_that_states_a_fact(
    loop: asyncio.Runner, right: Right, method: MethodDescriptor
) -> None:
    """Anything at all, and what succeeds with a field or two changed; the counts show that both ways are gone."""
    codes: Counter[StatusCode] = Counter()

    async def live(request: Message) -> Message:
        if getattr(request, "volume_id", "") == LIVE:
            request.volume_id = (await create(right.csi)).volume_id  # type: ignore[attr-defined]  # one that has it
        return request

    async def ask(wild: Message, fields: list[str] | None) -> StatusCode:
        base = await right.request(method.name) if fields is not None else None
        return await answer(right.csi, await live(wild if base is None else changed(base, wild, fields or [])))

    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def play(data: st.DataObject) -> None:
        names = [field.name for field in method.input_type.fields]
        fields = st.lists(st.sampled_from(names), max_size=2, unique=True) if names else st.just([])
        chosen = data.draw(fields | st.none())
        code = loop.run(ask(data.draw(messages(method.input_type)), chosen))
        codes[code] += 1
        assert code in ANY_CODE

    play()
    if method.name in NOT_BUILT:
        assert set(codes) == {StatusCode.UNIMPLEMENTED}
        return
    assert codes[StatusCode.OK], f"{method.name} has never succeeded: {codes}"
    assert len(codes) > 1 or not method.input_type.fields, f"{method.name} has never been refused: {codes}"


@settings(max_examples=50, deadline=None)
@given(raw=st.binary(max_size=200))
def test_bytes_that_are_no_request_hurt_nobody(loop: asyncio.Runner, fuzzed: Csi, raw: bytes) -> None:
    async def throw() -> None:
        method: aio.UnaryUnaryMultiCallable[bytes, bytes] = fuzzed.channel.unary_unary("/csi.v1.Node/NodeStageVolume")
        call = method(raw, timeout=20)
        assert await call.code() is StatusCode.OK or await call.details()
        assert (await fuzzed.identity.Probe(pb.ProbeRequest())).ready.value

    loop.run(throw())


def test_a_servicer_s_method_of_no_service_is_a_slip() -> None:
    class Slip:
        async def Prob(self) -> None: ...  # noqa: N802  # the slip

    with pytest.raises(ValueError, match=r"csi\.v1\.Identity has no method Prob"):
        handler(pb.DESCRIPTOR.services_by_name["Identity"], Slip())
