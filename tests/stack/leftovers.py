"""What a driver may leave behind on a host, looked for with the distribution's own tools, not with ours."""

from __future__ import annotations

from tests.lab import Host

_LOOKS = {
    "logical volume": "lvs --noheadings -o lv_name 2>/dev/null | tr -d ' ' | grep -E '^(vol|snap|group)-' || true",
    "dm device": "dmsetup info -c --noheadings -o name,uuid 2>/dev/null | grep -E 'CLINKER-|vol--' || true",
    "target": "ls /sys/kernel/config/target/iscsi 2>/dev/null | grep clinker || true",
    "backstore": "ls -d /sys/kernel/config/target/core/*/vol-* 2>/dev/null || true",
    "reservations": "ls /etc/target/pr /var/target/pr 2>/dev/null | grep aptpl_ || true",
    "session": "cat /sys/class/iscsi_session/session*/targetname 2>/dev/null | grep clinker || true",
    "node record": "ls -d /etc/iscsi/nodes/*clinker* /var/lib/iscsi/nodes/*clinker* 2>/dev/null || true",
    "mount": "grep -E 'vol-[a-z2-7]{26}|CLINKER' /proc/self/mountinfo || true",
    "state file": "find /var/lib/clinker -type f ! -path '*/lvm/*' 2>/dev/null | grep -E 'vol-' || true",
}


def leftovers(host: Host) -> list[str]:
    """One line for each thing found: what it is and its name."""
    script = "\n".join(f"echo '== {what}'\n{look}" for what, look in _LOOKS.items())
    found, what = [], ""
    for line in host.run(["sh", "-c", script]).stdout.splitlines():
        if line.startswith("== "):
            what = line.removeprefix("== ")
        elif line.strip():
            found.append(f"{what}: {line.strip()}")
    return found
