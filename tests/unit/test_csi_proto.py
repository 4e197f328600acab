"""Holds proto/csi.proto against the wire format in the Go module of the CSI project."""

from importlib import resources
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from tests.csi_spec.facts import facts
from tests.gotools.spec import published_csi

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def published() -> list[str]:
    return facts(published_csi())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    compiled = tmp_path_factory.mktemp("proto") / "csi.pb"
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = (f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--descriptor_set_out={compiled}")
    assert protoc.main(["protoc", *arguments, "csi.proto"]) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
    return facts(file.SerializeToString())


def test_nothing_of_the_published_interface_is_missing(ours: list[str], published: list[str]) -> None:
    missing = [line for line in published if line not in ours]
    assert not missing, "\n".join(missing)


def test_nothing_was_added_to_the_published_interface(ours: list[str], published: list[str]) -> None:
    added = [line for line in ours if line not in published]
    assert not added, "\n".join(added)


@pytest.mark.parametrize(
    "line",
    [
        "service SnapshotMetadata [1060=1]",
        "import google/protobuf/wrappers.proto",
        "message .csi.v1.GetSnapshotRequest [1060=1]",
        ".csi.v1.NodeGetVolumeStatsResponse reserves 2 to 2",
        ".csi.v1.CreateVolumeRequest.name = 1 LABEL_OPTIONAL TYPE_STRING",
        ".csi.v1.ListVolumesRequest.max_entries = 1 LABEL_OPTIONAL TYPE_INT32",
        ".csi.v1.ControllerServiceCapability.RPC.Type.GET_SNAPSHOT = 15 [1060=1]",
        "extend .google.protobuf.FieldOptions csi_secret = 1059 LABEL_OPTIONAL TYPE_BOOL",
    ],
)
def test_the_comparison_sees_each_kind_of_fact(published: list[str], line: str) -> None:
    assert line in published


def test_the_comparison_sees_streams_and_oneofs(published: list[str]) -> None:
    streaming = [line.split("(")[0] for line in published if "-> stream" in line]
    assert streaming == ["SnapshotMetadata.GetMetadataAllocated", "SnapshotMetadata.GetMetadataDelta"]
    assert sum(line.endswith("in oneof access_type") for line in published) == 2


def test_every_secrets_field_is_marked_as_secret(ours: list[str]) -> None:
    secrets = [line for line in ours if ".secrets = " in line]
    assert len(secrets) > 15
    assert [line for line in secrets if "1059=1" not in line] == []
