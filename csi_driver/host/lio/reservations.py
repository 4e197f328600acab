"""What the kernel's target writes down of persistent reservations that are to outlive a loss of power (SPC-4, APTPL).

One file a volume, a block of ``name=value`` lines for each registration between ``PR_REG_START`` and ``PR_REG_END``
(the kernel's ``core_scsi3_update_aptpl_buf``). The kernel writes it and never reads it: given back to
``pr/res_aptpl_metadata``, one write each, a registration counts from the moment when its initiator is let in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

_START, _END, _NODE = "PR_REG_START", "PR_REG_END", "initiator_node="


def registrations(text: str, admit: Callable[[str], bool]) -> tuple[str, ...]:
    """The registrations in a file, as the kernel takes them back: those of initiators that ``admit`` says yes to."""
    return tuple(",".join(lines) for initiator, lines in _blocks(text) if admit(initiator))


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Initiator and lines of each whole block: a crash may have cut the last one short."""
    lines: list[str] | None = None
    for line in text.splitlines():
        if line.startswith(_START):
            lines = []
        elif line.startswith(_END):
            named = [each.removeprefix(_NODE) for each in lines or () if each.startswith(_NODE)]
            if lines and named:
                yield named[0].lower(), lines
            lines = None
        elif lines is not None and "=" in line:
            lines.append(line.strip())
