"""Logs to standard error, a line for each event, the extras of a record with it.

``text``: time, level, event, then ``key=value``. ``json``: one object with the keys ``time`` (RFC 3339, UTC),
``level``, ``logger``, ``event``, the extras, and ``trace`` where there is one.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def begin(log_format: str, level: str) -> None:
    """Log from now on, one of ``FORMATS`` and of ``LEVELS``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # The libraries' own chatter is nobody's business but their authors'.
    logging.getLogger("grpc").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class TextFormatter(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a trace follows on lines of its own."""
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}"
        for key, value in extras(record).items():
            text = value if isinstance(value, str) else _json(value)
            line += f" {key}={text if text.isprintable() and ' ' not in text and text else _json(text)}"
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    """For machines."""

    def format(self, record: logging.LogRecord) -> str:
        """One object on one line."""
        fields = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        told = {**fields, "event": record.getMessage(), **extras(record)}
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return _json(told)


def extras(record: logging.LogRecord) -> dict[str, object]:
    """What was given as ``extra``."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
