"""What may go wrong, by meaning.

One class for each thing a caller can act on. ``kind`` is for machines: ``rpc.statuses`` maps it to
a gRPC code in one table. ``final`` says whether the caller may conclude that nothing goes on any more
(CSI spec, "Error Scheme"; external-provisioner keeps asking only after codes that are not final).

    DriverError
    ├── InvalidRequest     malformed or unsupported input; nothing was changed
    ├── NotFound           the thing named does not exist
    ├── Incompatible       it exists, with other properties than asked for
    ├── OutOfRange         a size or an offset that cannot be
    ├── NoCapacity         no room, or a limit reached
    ├── Precondition       the state of the thing forbids it (still published, published elsewhere)
    ├── Denied             the caller may not
    ├── Unsupported        not offered in this mode
    ├── Busy               another operation on the same thing runs
    ├── StillWorking       this very operation goes on without the caller
    ├── BadToken           a list token that is not ours: start again from the beginning
    ├── Unavailable        someone needed does not answer: unknown, not absent
    └── InternalError      a bug, or an outside failure known to be over
        └── CommandFailed  a program of the host ended with an exit status that was not expected
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """The machine-readable meaning of an error; crosses the Agent wire by its value."""

    INVALID = "invalid"
    NOT_FOUND = "not-found"
    INCOMPATIBLE = "incompatible"
    OUT_OF_RANGE = "out-of-range"
    NO_CAPACITY = "no-capacity"
    PRECONDITION = "precondition"
    DENIED = "denied"
    UNSUPPORTED = "unsupported"
    BUSY = "busy"
    PENDING = "pending"
    BAD_TOKEN = "bad-token"  # noqa: S105  # a list token, not a password
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class DriverError(Exception):
    """Base of all errors raised on purpose. The text is for the user: what is wrong and what to change."""

    kind: ClassVar[Kind] = Kind.INTERNAL
    final: ClassVar[bool] = True


class InvalidRequest(DriverError):
    """The request itself is wrong; repeating it cannot help."""

    kind = Kind.INVALID


class NotFound(DriverError):
    """The thing named does not exist. Never raised because an answer was missing."""

    kind = Kind.NOT_FOUND


class Incompatible(DriverError):
    """The thing exists, but not as asked for."""

    kind = Kind.INCOMPATIBLE


class OutOfRange(DriverError):
    """A size or an offset that cannot be granted; a smaller one may."""

    kind = Kind.OUT_OF_RANGE


class NoCapacity(DriverError):
    """No room here now; another place may have some."""

    kind = Kind.NO_CAPACITY


class Precondition(DriverError):
    """The state of the thing forbids it; something else has to happen first."""

    kind = Kind.PRECONDITION


class Denied(DriverError):
    """The caller is not one whom we obey."""

    kind = Kind.DENIED


class Unsupported(DriverError):
    """Not offered by this process in this mode."""

    kind = Kind.UNSUPPORTED


class Busy(DriverError):
    """Another operation on the same thing is running; ask again."""

    kind = Kind.BUSY
    final = False


class StillWorking(DriverError):
    """The operation asked for goes on without the caller; the same request joins it."""

    kind = Kind.PENDING
    final = False


class BadToken(DriverError):
    """A continuation token that this driver did not give out."""

    kind = Kind.BAD_TOKEN
    final = False


class Unavailable(DriverError):
    """Someone who is needed does not answer. Says nothing about what is there."""

    kind = Kind.UNAVAILABLE
    final = False


class InternalError(DriverError):
    """A bug, or a failure outside that is known to be over."""


class CommandFailed(InternalError):
    """A program ended with a status that was not expected.

    ``program`` is its name, ``status`` its exit status (negative: the signal that ended it), ``stderr`` its
    complaint, cut to a length fit for a log. Arguments are not kept here: they are in the debug log.
    """

    def __init__(self, program: str, status: int, stderr: str) -> None:
        self.program, self.status, self.stderr = program, status, stderr.strip()[-2000:]
        super().__init__(f"{program} ended with status {status}: {self.stderr or 'no message'}")


def by_kind(kind: Kind) -> type[DriverError]:
    """The class that stands for ``kind``: how an error that crossed a wire becomes itself again."""
    return _BY_KIND[kind]


_BY_KIND: dict[Kind, type[DriverError]] = {
    cls.kind: cls
    for cls in (
        InvalidRequest,
        NotFound,
        Incompatible,
        OutOfRange,
        NoCapacity,
        Precondition,
        Denied,
        Unsupported,
        Busy,
        StillWorking,
        BadToken,
        Unavailable,
        InternalError,
    )
}
