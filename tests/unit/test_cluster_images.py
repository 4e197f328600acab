"""OCI archives as the image specification (1.1) has them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

from tests.cluster.images import Image, architecture

NAMES = ("registry.example/one:1", "registry.example/two:2")


def write(folder: Path, **changes: Any) -> dict[str, bytes]:
    """The members of the archive of a small image."""
    program = folder / "program"
    program.write_bytes(b"#!/bin/sh\n")
    parts: dict[str, Any] = {
        "names": NAMES,
        "files": {"/usr/bin/program": program, "/etc/passwd": b"root:x:0:0::/:/bin/sh\n"},
        "links": {"/bin/sh": "program"},
        "folders": {"/tmp": 0o1777},
        "entrypoint": ("/usr/bin/program",),
        "user": "1:2",
    }
    target = folder / "image.tar"
    Image(**{**parts, **changes}).write(target)
    with tarfile.open(target) as tar:
        return {member.name: read(tar, member) for member in tar if member.isfile()}


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = tar.extractfile(member)
    assert opened is not None
    return opened.read()


def blob(members: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    """What a descriptor points to, its digest and size checked."""
    kind, _, digest = descriptor["digest"].partition(":")
    content = members[f"blobs/{kind}/{digest}"]
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, descriptor["size"])
    return content


def manifest(members: dict[str, bytes]) -> dict[str, Any]:
    index = json.loads(members["index.json"])
    parsed: dict[str, Any] = json.loads(blob(members, index["manifests"][0]))
    return parsed


def test_every_digest_is_that_of_a_blob(tmp_path: Path) -> None:
    members = write(tmp_path)
    assert json.loads(members["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    described = manifest(members)
    config = json.loads(blob(members, described["config"]))
    (layer,) = described["layers"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(blob(members, layer)).hexdigest()}"]
    assert (config["os"], config["architecture"]) == ("linux", architecture())
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/usr/bin/program"], "1:2")
    assert "Cmd" not in config["config"]


def test_one_image_has_all_its_names(tmp_path: Path) -> None:
    entries = json.loads(write(tmp_path)["index.json"])["manifests"]
    assert tuple(entry["annotations"]["io.containerd.image.name"] for entry in entries) == NAMES
    assert len({entry["digest"] for entry in entries}) == 1


def test_the_layer_has_files_links_and_folders_with_their_modes(tmp_path: Path) -> None:
    members = write(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(blob(members, manifest(members)["layers"][0]))) as layer:
        found = {member.name: member for member in layer}
        assert (found["tmp"].isdir(), found["tmp"].mode) == (True, 0o1777)
        assert (found["usr/bin"].isdir(), found["usr/bin"].mode) == (True, 0o755)
        assert (found["bin/sh"].issym(), found["bin/sh"].linkname) == (True, "program")
        assert found["usr/bin/program"].mode == 0o755
        assert read(layer, found["etc/passwd"]).startswith(b"root:")
        order = list(found)
    assert order.index("usr") < order.index("usr/bin") < order.index("usr/bin/program")


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path)
    assert first == write(tmp_path)
    assert first.keys() != write(tmp_path, user="3:4").keys()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "program"]
