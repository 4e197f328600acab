"""The door ``Hosts`` of the machine we run on."""

from __future__ import annotations

import time
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ThisHost:
    """See ``doors.Hosts``."""

    def boot_id(self) -> str:
        """See ``Hosts.boot_id``. The same in every container of the host."""
        return BOOT_ID.read_text().strip()

    def now(self) -> float:
        """See ``Hosts.now``."""
        return time.time()
