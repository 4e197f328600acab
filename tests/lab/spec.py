"""What a lab is made of, as plain values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.lab.errors import LabError

MIB = 1 << 20
GIB = 1 << 30
MOST_DISKS = 15
"""UML has 16 block devices; the first is the root file system."""

SUBNET = "10.77.0"
"""Every lab has it for itself: its network is a namespace of its own."""
GATEWAY = f"{SUBNET}.254"


@dataclass(frozen=True)
class DiskSpec:
    """A blank disk; `size` in bytes."""

    size: int


@dataclass(frozen=True)
class ImageSpec:
    """A root file system; another set of packages is another cached image."""

    extra_packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostSpec:
    """A host to boot; a disk is a `DiskSpec` or a size in bytes, memory is in MiB."""

    name: str
    disks: tuple[DiskSpec | int, ...] = ()
    memory_mib: int = 1024
    image: ImageSpec = field(default_factory=ImageSpec)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", self.name):  # it is part of Unix socket paths
            raise LabError(f"host name {self.name!r}: a letter, then at most 19 lower-case letters, digits and '-'")
        if len(self.disks) > MOST_DISKS:
            raise LabError(f"{self.name}: {len(self.disks)} disks, at most {MOST_DISKS} work")

    @property
    def disk_sizes(self) -> tuple[int, ...]:
        """Bytes of each disk."""
        return tuple(disk if isinstance(disk, int) else disk.size for disk in self.disks)


@dataclass(frozen=True)
class Identity:
    """Who a host is: fixed for its whole life, distinct within the lab and between labs."""

    lab: str
    name: str
    number: int

    @property
    def address(self) -> str:
        """Its IPv4 address in the lab's network."""
        return f"{SUBNET}.{self.number}"

    @property
    def mac(self) -> str:
        """Its network card's address; a changing one would leave stale ARP entries."""
        return f"02:00:00:00:00:{self.number:02x}"

    @property
    def tap(self) -> str:
        """The machine's end of its network card."""
        return f"tap{self.number}"

    @property
    def initiator(self) -> str:
        """Its iSCSI initiator name."""
        return f"iqn.1993-08.org.debian:01:{self.lab}{self.number:02x}"

    @property
    def machine_id(self) -> str:
        """32 hex digits for /etc/machine-id."""
        return f"{self.lab:0>8}{self.number:024x}"


def identities(lab: str, specs: Sequence[HostSpec]) -> tuple[Identity, ...]:
    """One for each spec, numbered from 1; raises LabError for a name used twice."""
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise LabError(f"two hosts of one name: {', '.join(names)}")
    return tuple(Identity(lab, name, number) for number, name in enumerate(names, start=1))


def device(index: int) -> str:
    """The guest's device of its disk number `index`, counted from 0."""
    return f"/dev/ubd{chr(ord('b') + index)}"


def etc_files(identity: Identity, everyone: Sequence[Identity]) -> dict[str, str]:
    """The files below /etc that make a host this host, by name."""
    hosts = ["127.0.0.1 localhost", *(f"{peer.address} {peer.name}" for peer in everyone)]
    return {
        "hosts": "\n".join(hosts) + "\n",
        "hostname": f"{identity.name}\n",
        "machine-id": f"{identity.machine_id}\n",
        "initiatorname.iscsi": f"InitiatorName={identity.initiator}\n",
    }
