"""What the model can hold crosses the wire unchanged."""

from typing import TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import AccessMode
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool, WhenFull
from csi_driver.model.publication import Attachment, Publication, PublishRequest, Transport
from csi_driver.model.secret import Secret
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Layout, Volume, VolumeSpec, Wipe
from csi_driver.rpc import agent_convert as convert
from csi_driver.rpc import inventory_convert
from csi_driver.rpc.gen import agent_pb2 as pb

T = TypeVar("T")
M = TypeVar("M", bound=Message)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # protobuf strings are UTF-8: no surrogates
SIZE = st.integers(0, 2**62)
MAPS = st.dictionaries(TEXT, TEXT, max_size=3)
IDS = st.builds(VolumeId, st.from_regex(r"[a-z2-7]{26}", fullmatch=True), st.from_regex(r"[a-z2-7]{8}", fullmatch=True))
CUT_IDS = IDS.map(lambda volume: SnapshotId(volume.key, volume.copy))
SOURCES = st.none() | IDS | CUT_IDS
SECRETS = st.builds(Secret, TEXT.filter(bool))


def texts(count: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(TEXT, max_size=count).map(tuple)


def tuples_of(each: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(each, max_size=2).map(tuple)


SPECS = st.builds(
    VolumeSpec,
    id=IDS,
    name=TEXT,
    size=SIZE,
    pool=TEXT,
    layout=st.sampled_from(Layout),
    mkfs_options=texts(),
    wipe=st.sampled_from(Wipe),
    params_hash=TEXT,
    source=SOURCES,
)
CUTS = st.builds(SnapshotSpec, id=CUT_IDS, name=TEXT, source=IDS, object_namespace=TEXT, object_name=TEXT)
SNAPSHOTS = st.builds(
    Snapshot,
    id=CUT_IDS,
    name=TEXT,
    source=IDS,
    object_namespace=TEXT,
    object_name=TEXT,
    node=TEXT,
    vg=TEXT,
    pool=TEXT,
    size=SIZE,
    created=SIZE,
)
VOLUMES = st.builds(
    Volume,
    id=IDS,
    name=TEXT,
    size=SIZE,
    pool=TEXT,
    mkfs_options=texts(),
    params_hash=TEXT,
    node=TEXT,
    vg=TEXT,
    layout=st.sampled_from(Layout),
    wipe=st.sampled_from(Wipe),
    created=SIZE,
    condition=TEXT,
    source=SOURCES,
)
ORDERS = st.builds(PublishRequest, volume=IDS, node=TEXT, initiator=TEXT)
PUBLICATIONS = st.builds(
    Publication,
    request=ORDERS,
    number=SIZE,
    portals=texts(),
    chap_user=TEXT,
    secret=st.none() | SECRETS,
    size=SIZE,
)
ATTACHMENTS = st.builds(Attachment, volume=IDS, number=SIZE, portals=texts(), chap_user=TEXT, secret=SECRETS)
VERSIONS = st.tuples(st.integers(0, 2**31), st.integers(0, 2**31))
INFOS = st.builds(
    AgentInfo, node=TEXT, boot_id=TEXT, portals=texts(), segments=MAPS, api_version=VERSIONS, driver_version=TEXT
)
POOLS = st.builds(
    Pool,
    node=TEXT,
    name=TEXT,
    vg=TEXT,
    extent=SIZE,
    thin_free=st.none() | SIZE,
    thick_free=st.none() | SIZE,
    thin_size=SIZE,
    thin_used=SIZE,
    thin_allocated=SIZE,
    metadata_size=SIZE,
    metadata_used=SIZE,
    thin_layout=TEXT,
    when_full=st.none() | st.sampled_from(WhenFull),
    group_size=SIZE,
    group_free=SIZE,
    group_metadata_size=SIZE,
    group_metadata_free=SIZE,
    overcommit=st.floats(0, 1000),
    reserve=SIZE,
    snapshot_share=st.floats(0, 1),
    problem=TEXT,
    warnings=texts(),
    striped_free=st.none() | SIZE,
    raid1_free=st.none() | SIZE,
    raid10_free=st.none() | SIZE,
    stripes=st.integers(1, 64),
    labels=MAPS,
)
REFS = st.builds(
    PublicationRef, IDS, TEXT, SIZE, st.sampled_from(Transport), st.sampled_from(AccessMode), st.booleans()
)
CHANGES = st.builds(
    Change,
    info=st.none() | INFOS,
    pools=st.none() | tuples_of(POOLS),
    volumes=tuples_of(VOLUMES),
    volumes_gone=tuples_of(IDS),
    snapshots=tuples_of(SNAPSHOTS),
    snapshots_gone=tuples_of(CUT_IDS),
    publications=tuples_of(REFS),
    publications_gone=tuples_of(st.tuples(IDS, TEXT)),
    held=st.none() | tuples_of(st.tuples(IDS, SIZE)),
    wanted=st.none() | tuples_of(IDS),
)


def over_the_wire(message: M) -> M:
    return type(message).FromString(message.SerializeToString())


@given(SPECS)
def test_a_spec(spec: VolumeSpec) -> None:
    assert convert.spec_from(over_the_wire(convert.spec_to(spec))) == spec


@given(VOLUMES)
def test_a_volume(volume: Volume) -> None:
    assert convert.volume_from(over_the_wire(convert.volume_to(volume))) == volume


@given(CUTS)
def test_an_order_to_cut(spec: SnapshotSpec) -> None:
    assert convert.cut_from(over_the_wire(convert.cut_to(spec))) == spec


@given(PUBLICATIONS)
def test_a_publication(publication: Publication) -> None:
    assert convert.publication_from(over_the_wire(convert.publication_to(publication))) == publication


@given(ATTACHMENTS)
def test_an_attachment(attachment: Attachment) -> None:
    assert convert.attachment_from(over_the_wire(convert.attachment_to(attachment))) == attachment


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])  # on a busy machine it is
@given(CHANGES)
def test_a_change_of_the_inventory(change: Change) -> None:
    assert inventory_convert.change_from(over_the_wire(inventory_convert.change_to(change))) == change


def test_an_empty_change_is_an_empty_message() -> None:
    assert inventory_convert.change_to(Change()) == pb.Change()


@pytest.mark.parametrize(
    "message",
    [
        pb.VolumeSpec(id="vol-x", layout="thin", write_cache="through"),
        pb.VolumeSpec(id=f"vol-{'a' * 26}-{'b' * 8}", layout="raid7", write_cache="through"),
        pb.VolumeSpec(id=f"vol-{'a' * 26}-{'b' * 8}", layout="thin", write_cache="sometimes"),
        pb.VolumeSpec(id=f"vol-{'a' * 26}-{'b' * 8}", layout="thin", write_cache="through", fs="ntfs"),
        pb.VolumeSpec(id=f"vol-{'a' * 26}-{'b' * 8}", layout="thin", write_cache="through", source="backup-1"),
    ],
)
def test_what_the_model_cannot_hold_is_refused(message: pb.VolumeSpec) -> None:
    with pytest.raises(InvalidRequest):
        convert.spec_from(message)
