"""LVM's messages as errors that callers can act on.

LVM has one exit status for all failures, so its words are all there is. They were taken from lvm2 2.03.31; what is
not known here becomes CommandFailed with the words themselves.
"""

from __future__ import annotations

import re

from csi_driver.errors import Busy, CommandFailed, DriverError, Incompatible, NoCapacity, NotFound, StillWorking
from csi_driver.host.lvm.answers import UNREADABLE, Answer

_MEANINGS: tuple[tuple[re.Pattern[str], type[DriverError] | None], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        # First, because LVM goes on to complain of a threshold: the pool is broken, not full (cluster.md).
        (r"transaction.id", None),
        (r"volume group \S+ not found", NotFound),
        (r"failed to find logical volume", NotFound),
        (r"snapshot origin LV \S+ not found", NotFound),
        (r"already exists in volume group", Incompatible),
        (r"\bin use\b|is used by another device|contains a filesystem in use", Busy),
        (r"insufficient (free|suitable)|not enough free|free space in thin pool \S+ reached threshold", NoCapacity),
        (r"number of stripes \S+ must not exceed number of physical volumes", NoCapacity),
        (r"metadata .*too large|circular buffer", NoCapacity),
        (r"maximum number of logical volumes", NoCapacity),
    )
)


def failure(command: str, answer: Answer) -> DriverError:
    """The error that a failed ``answer`` to ``command`` (``lvcreate``) stands for.

    StillWorking when it does not tell how the command ended: it may have been done.
    """
    text = "; ".join(answer.errors) or "; ".join(answer.warnings)
    if answer.status == UNREADABLE:
        return StillWorking(f"{command}: {text or 'LVM did not say how it ended'}; look before it is repeated")
    for pattern, meaning in _MEANINGS:
        if any(pattern.search(message) for message in (*answer.errors, *answer.warnings)):
            return meaning(f"{command}: {text}") if meaning else CommandFailed(command, answer.status, text)
    return CommandFailed(command, answer.status, text)


def has_that_size(answer: Answer) -> bool:
    """Whether a refused ``lvextend`` says that the volume has exactly the size asked for."""
    return any("No size change" in message for message in answer.errors)
