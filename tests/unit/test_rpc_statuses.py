"""The two tests that hold the table, and what a message looks like."""

from collections.abc import Iterator

import pytest

from csi_driver.errors import CommandFailed, DriverError, InternalError, Kind, NotFound
from csi_driver.rpc.statuses import CODES, MESSAGE_LIMIT, STILL_RUNNING, code_of, message_of


def every_error(base: type[DriverError] = DriverError) -> Iterator[type[DriverError]]:
    for cls in base.__subclasses__():
        yield cls
        yield from every_error(cls)


def test_every_kind_has_a_code() -> None:
    assert set(CODES) == set(Kind)


@pytest.mark.parametrize("error", list(every_error()))
def test_only_unfinished_work_is_reported_as_unfinished(error: type[DriverError]) -> None:
    assert (CODES[error.kind] in STILL_RUNNING) == (not error.final)


def test_a_failed_command_is_internal() -> None:
    assert code_of(CommandFailed("lvcreate", 5, "no")) is CODES[Kind.INTERNAL]


def test_a_message_is_never_empty() -> None:
    assert message_of(InternalError()) == "InternalError without further words"


def test_a_long_message_is_cut_to_what_a_header_holds() -> None:
    cut = message_of(NotFound("ü" * MESSAGE_LIMIT))
    assert len(cut.encode()) <= MESSAGE_LIMIT
    assert cut.endswith("ü ...")
