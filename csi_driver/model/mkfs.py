"""The options that a class may give to mkfs: those that can neither destroy anything nor undo what we rely on."""

from __future__ import annotations

import re

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import FsType

_NUMBER = r"[1-9][0-9]{0,11}"
_TOGGLE = "[01]"
ALLOWED: dict[FsType, dict[str, str]] = {
    FsType.EXT4: {
        "-b": "1024|2048|4096",
        "-i": _NUMBER,
        "-I": "128|256|512|1024",
        "-N": _NUMBER,
        "-m": "[0-9]|[1-4][0-9]",
        "-J": rf"size={_NUMBER}",
        "-O": r"\^?(metadata_csum|metadata_csum_seed|orphan_file|64bit|large_dir|dir_index|project|quota|huge_file)",
        "-T": "news|largefile|largefile4|small|big|huge",
    },
    FsType.XFS: {
        "-b": "size=(1024|2048|4096)",
        "-d": rf"agcount={_NUMBER}|agsize={_NUMBER}[mg]?|su={_NUMBER}k|sw={_NUMBER}",
        "-i": r"size=(256|512|1024|2048)|maxpct=[0-9]{1,2}|sparse=[01]|nrext64=[01]",
        "-l": rf"size={_NUMBER}[mg]?",
        "-m": f"(crc|finobt|reflink|rmapbt|bigtime|inobtcount)={_TOGGLE}",
        "-s": "size=(512|4096)",
    },
}
"""By file system: the option and what its value must match; values of one option may stand in a list with commas
(mke2fs(8), mkfs.xfs(8)). Left out on purpose: force (-F, -f), labels and UUIDs, -E and -K (discard and zeroing are
ours), -n and -N of xfs (they make nothing), other devices (journal, realtime, -r) and sizes of the whole."""


def parse(text: str) -> tuple[str, ...]:
    """The words of ``text``, options and values in turn. Raises InvalidRequest when they fit no file system."""
    words = tuple(text.split())
    if words and not any(_refusal(fs, words) is None for fs in ALLOWED):
        reasons = "; ".join(f"{fs.value}: {_refusal(fs, words)}" for fs in ALLOWED)
        raise InvalidRequest(f"parameter mkfsOptions: {text!r} cannot be given to mkfs: {reasons}")
    return words


def check(fs: FsType | None, words: tuple[str, ...]) -> None:
    """Raises InvalidRequest unless mkfs of ``fs`` (None: there is no file system) may be given ``words``."""
    if not words:
        return
    if fs is None:
        raise InvalidRequest("parameter mkfsOptions: a block volume has no file system")
    if (reason := _refusal(fs, words)) is not None:
        raise InvalidRequest(f"parameter mkfsOptions: {' '.join(words)!r} cannot be given to mkfs.{fs.value}: {reason}")


def _refusal(fs: FsType, words: tuple[str, ...]) -> str | None:
    allowed = ALLOWED[fs]
    if len(words) % 2:
        return "each option needs its value, as in -i 8192"
    for option, value in zip(words[::2], words[1::2], strict=True):
        if option not in allowed:
            return f"option {option!r} is not one of {', '.join(sorted(allowed))}"
        if not all(re.fullmatch(allowed[option], part) for part in value.split(",")):
            return f"{option} {value!r} does not match {allowed[option]}"
    return None
