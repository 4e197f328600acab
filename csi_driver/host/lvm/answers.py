"""What the lvm shell answers: one JSON document per command, its log part and its rows (kernel.md 8)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUCCESS = 1
"""ECMD_PROCESSED of LVM's lib/commands/errors.h; every other status is a failure."""
UNREADABLE = 0
"""Stands for a status that the answer does not tell; LVM itself never has it."""

_END = b"\n  }\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """One command's end. ``status`` is LVM's own; ``errors`` and ``warnings`` are its messages in order."""

    status: int
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    reports: tuple[Mapping[str, list[Mapping[str, str]]], ...]

    @property
    def ok(self) -> bool:
        """Whether LVM says that the command succeeded."""
        return self.status == SUCCESS

    def rows(self, kind: str) -> list[Mapping[str, str]]:
        """The rows of one kind (``vg``, ``lv``) of all reports."""
        return [row for report in self.reports for row in report.get(kind, [])]


def parse_answer(came: bytes) -> Answer | None:
    """The answer in ``came``, or None while it is not whole.

    A document ends with a brace on a line of its own, indented by two; every brace inside stands deeper. Texts may hold
    control characters as they are, which strict JSON forbids, and bytes that are no UTF-8.
    """
    if not came.endswith(_END):
        return None
    try:
        document: dict[str, Any] = json.loads(came.decode(errors="replace"), strict=False)
    except ValueError as error:
        return Answer(UNREADABLE, (f"the lvm shell's answer cannot be read: {error}",), (), ())
    entries = document.get("log", [])
    return Answer(
        _status(entries),
        _messages(entries, "error"),
        _messages(entries, "warn"),
        tuple(document.get("report", [])),
    )


def _status(entries: list[Mapping[str, str]]) -> int:
    """Of the last word on the command itself."""
    for entry in reversed(entries):
        if entry["log_type"] == "status" and entry["log_context"] == "shell":
            return int(entry["log_ret_code"])
    return UNREADABLE


def _messages(entries: list[Mapping[str, str]], kind: str) -> tuple[str, ...]:
    return tuple(entry["log_message"] for entry in entries if entry["log_type"] == kind)
