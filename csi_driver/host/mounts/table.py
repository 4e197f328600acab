"""The mount table, as proc_pid_mountinfo(5) describes it."""

from __future__ import annotations

import re

from csi_driver.host.doors.mounts import Mount
from csi_driver.host.mounts.options import unjoin

_ESCAPE = re.compile(r"\\([0-7]{3})")


def parse(text: str) -> tuple[Mount, ...]:
    """The mounts in the text of mountinfo, oldest first."""
    return tuple(_line(line) for line in text.splitlines() if line)


def _line(line: str) -> Mount:
    # Between the options and the lone dash stand any number of fields; after it, type, source and super options.
    head, _, tail = line.partition(" - ")
    fields, (fs, rest) = head.split(" "), tail.split(" ", 1)
    major, _, minor = fields[2].partition(":")
    return Mount(
        devno=(int(major), int(minor)),
        root=unescape(fields[3]),
        target=unescape(fields[4]),
        fs=fs,
        options=frozenset(unjoin(fields[5])),
        super_options=frozenset(unjoin(rest.rpartition(" ")[2])),
    )


def unescape(text: str) -> str:
    r"""A path as it is: blanks, tabs, line ends and backslashes stand as ``\040`` and so on."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
