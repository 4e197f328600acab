"""What the kernel says of a thin pool (the kernel's device-mapper/thin-provisioning.rst, "Status"). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from csi_driver.host.doors import DmLine

METADATA_BLOCK = 4096
"""Bytes of a block of metadata."""
TARGET = "thin-pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinPoolStatus:
    """Bytes of metadata, chunks of data; ``mode`` is ``rw``, ``ro`` or ``out_of_data_space``, ``failed`` when the pool
    has given up.
    """

    metadata_used: int = 0
    metadata_size: int = 0
    data_used: int = 0
    data_size: int = 0
    mode: str = "rw"
    queues: bool = False
    """Writes that find no room wait."""
    needs_check: bool = False

    @property
    def data_part(self) -> float:
        """Of its data, used: 0 to 1."""
        return self.data_used / self.data_size if self.data_size else 0.0

    @property
    def metadata_part(self) -> float:
        """Of its metadata, used: 0 to 1."""
        return self.metadata_used / self.metadata_size if self.metadata_size else 0.0


def parse(lines: tuple[DmLine, ...]) -> ThinPoolStatus | None:
    """The status of a thin pool's own device; None when it is none, or not up."""
    if len(lines) != 1 or lines[0].target != TARGET:
        return None
    words = lines[0].args.split()
    if words[:1] in (["Fail"], ["Error"]):
        return ThinPoolStatus(mode="failed")
    if len(words) < 5:
        return None
    (metadata_used, metadata_size), (data_used, data_size) = _pair(words[1]), _pair(words[2])
    return ThinPoolStatus(
        metadata_used=metadata_used * METADATA_BLOCK,
        metadata_size=metadata_size * METADATA_BLOCK,
        data_used=data_used,
        data_size=data_size,
        mode=words[4],
        queues="queue_if_no_space" in words,
        needs_check="needs_check" in words,
    )


def _pair(word: str) -> tuple[int, int]:
    used, _, total = word.partition("/")
    return int(used), int(total)
