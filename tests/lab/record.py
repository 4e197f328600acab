"""What a lab writes about itself into its folder, for other processes that want to use it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.kernel import Kernel
from tests.lab.spec import HostSpec, ImageSpec

NAME = "lab.json"


@dataclass(frozen=True)
class Record:
    """All that is needed to make the lab's objects again; `images` holds a path for each spec."""

    id: str
    specs: tuple[HostSpec, ...]
    kernel: Kernel
    images: tuple[Path, ...]


def write(folder: Path, record: Record) -> None:
    """Put it into the lab's folder, whole."""
    fresh = folder / f"{NAME}.new"
    fresh.write_text(json.dumps(asdict(record), default=str))
    fresh.replace(folder / NAME)


def read(folder: Path) -> Record:
    """Raises LabError when the folder holds no lab that came up so far."""
    try:
        fields = json.loads((folder / NAME).read_text())
    except OSError as error:
        raise LabError(f"no such lab ({folder} has no {NAME}): python3 -m tests.lab list") from error
    booted = fields["kernel"]
    kernel = Kernel(Path(booted["binary"]), Path(booted["modules"]), booted["version"], booted["seccomp"])
    return Record(fields["id"], tuple(map(_spec, fields["specs"])), kernel, tuple(map(Path, fields["images"])))


def _spec(fields: dict[str, object]) -> HostSpec:
    plain = json.loads(json.dumps(fields))
    disks = tuple(disk if isinstance(disk, int) else disk["size"] for disk in plain["disks"])
    image = ImageSpec(tuple(plain["image"]["extra_packages"]))
    return HostSpec(plain["name"], disks, plain["memory_mib"], image)
