"""The ``lvm.conf`` that our LVM runs under, instead of the host's (lvm.conf(5))."""

from __future__ import annotations

import re
from pathlib import Path

from csi_driver.errors import InvalidRequest
from csi_driver.settings import AgentSettings

LOCKING_FOLDER = "/run/lock/lvm"
"""The host's own. Two LVMs that do not share it break a thin pool at their first race (cluster.md)."""

LOCAL_DISKS = ("r|-iscsi-|", "a|^/dev/disk/by-path/|", "a|^/dev/md|", "r|.*|")
"""When no devices are named: disks that udev knows by a path of the hardware, and md arrays. LVM accepts a device when
any one of its names is accepted, so what must stay out may have no accepted name at all: a disk of an iSCSI session is
called ``ip-...-iscsi-...`` by path, and device-mapper's devices (our wrappers, multipath) have no path."""

_QUOTES = "|#!@~"


def render_config(settings: AgentSettings) -> str:
    """The text of lvm.conf. Raises InvalidRequest for a device pattern that cannot be written in it."""
    named = tuple(_exactly(disk) for pool in settings.pools for disk in pool.disks)
    patterns = ", ".join(f'"{rule}"' for rule in _filter(settings.lvm_devices, named))
    return _TEMPLATE.format(filter=patterns, locking=LOCKING_FOLDER)


def write_config(folder: Path, settings: AgentSettings) -> None:
    """Make ``folder`` a fit LVM_SYSTEM_DIR; it must be ours alone."""
    text = render_config(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "lvm.conf").write_text(text)


def _filter(devices: tuple[str, ...], disks: tuple[str, ...]) -> tuple[str, ...]:
    """``disks``: those that pools are made of, in any case."""
    named = tuple(f"a{_quoted(pattern)}" for pattern in (*disks, *devices))
    if devices:
        return (*named, "r|.*|")
    return (LOCAL_DISKS[0], *named, *LOCAL_DISKS[1:])


def _exactly(path: str) -> str:
    """A pattern for this path alone; lvm.conf takes no backslash."""
    return "^" + re.sub(r"[.+*?]", lambda sign: f"[{sign[0]}]", path) + "$"


def _quoted(pattern: str) -> str:
    quote = next((sign for sign in _QUOTES if sign not in pattern), None)
    if quote is None or not pattern or any(sign in pattern for sign in '"\\\n'):
        raise InvalidRequest(f"lvm_devices: {pattern!r} cannot stand in a filter of lvm.conf")
    return f"{quote}{pattern}{quote}"


# udev_sync and udev_rules stay on, as the host's own tools have them: without, nodes go stale when an operator's lvm
# and ours take turns (cluster.md). retry_deactivation off: a busy volume would hold up every other for 5 s.
# thin_check_options: without them a pool does not come up again after some power losses (mechanisms.md 5).
# command_log_cols leaves out the names of objects: 2.03.31 prints freed memory there, line breaks and all.
# The reserved_ and process_priority entries spare each command the locking of memory, which matters only where
# the LVs carry the root file system or swap.
_TEMPLATE = """\
# Written by clinker at each start; changes are lost.
config {{
    checks = 1
    abort_on_errors = 0
}}
devices {{
    dir = "/dev"
    scan = [ "/dev" ]
    use_devicesfile = 0
    scan_lvs = 0
    obtain_device_list_from_udev = 0
    external_device_info_source = "none"
    global_filter = [ {filter} ]
    filter = [ "a|.*|" ]
    allow_changes_with_duplicate_pvs = 0
    ignore_suspended_devices = 1
}}
allocation {{
    wipe_signatures_when_zeroing_new_lvs = 1
    thin_pool_zero = 1
}}
log {{
    report_command_log = 1
    command_log_sort = "log_seq_num"
    command_log_cols = "log_seq_num,log_type,log_context,log_message,log_ret_code"
    command_log_selection = "log_context=shell || log_type!=status"
    syslog = 0
}}
report {{
    output_format = "json"
    compact_output = 0
}}
backup {{
    backup = 0
    archive = 0
}}
shell {{
    history_size = 0
}}
global {{
    locking_dir = "{locking}"
    wait_for_locks = 1
    use_lvmlockd = 0
    use_lvmpolld = 0
    event_activation = 0
    notify_dbus = 0
    thin_check_options = [ "-q", "--clear-needs-check-flag", "--auto-repair" ]
}}
activation {{
    udev_sync = 1
    udev_rules = 1
    verify_udev_operations = 0
    retry_deactivation = 0
    monitoring = 0
    reserved_stack = 0
    reserved_memory = 0
    process_priority = 0
}}
"""
