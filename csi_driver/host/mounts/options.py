"""Mount options as mount(2) takes them: some are bits, some are words for the file system, some are for nobody."""

from __future__ import annotations

from collections.abc import Iterable

from csi_driver.errors import InvalidRequest

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REMOUNT, NOATIME, NODIRATIME, BIND = 32, 1024, 2048, 4096
RELATIME, STRICTATIME = 1 << 21, 1 << 24

_SET = {
    "ro": RDONLY,
    "nosuid": NOSUID,
    "nodev": NODEV,
    "noexec": NOEXEC,
    "sync": 16,
    "dirsync": 128,
    "noatime": NOATIME,
    "nodiratime": NODIRATIME,
    "silent": 32768,
    "relatime": RELATIME,
    "strictatime": STRICTATIME,
    "lazytime": 1 << 25,
    "iversion": 1 << 23,
}
_CLEARED = {
    "rw": RDONLY,
    "suid": NOSUID,
    "dev": NODEV,
    "exec": NOEXEC,
    "async": 16,
    "atime": NOATIME,
    "diratime": NODIRATIME,
    "loud": 32768,
    "norelatime": RELATIME,
    "nostrictatime": STRICTATIME,
    "nolazytime": 1 << 25,
    "noiversion": 1 << 23,
}
_IGNORED = frozenset({"defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "group", "owner"})
"""What mount(8) and /etc/fstab keep to themselves; ``x-`` and ``X-`` words too (mount(8))."""
_REFUSED = frozenset(
    {
        *("remount", "bind", "rbind", "move", "loop", "shared", "slave", "private", "unbindable"),
        *("rshared", "rslave", "rprivate", "runbindable"),
    }
)
"""They would make another operation of it. ``loop`` is mount(8)'s own."""
_PAGE = 4096


def split(options: Iterable[str]) -> tuple[int, str]:
    """Flags, and data for the file system; of two that contradict each other the later counts.

    An option may hold several, joined by commas, outside of quotes: an SELinux ``context="...:c1,c2"`` stays whole,
    quotes with it, as the kernel wants it (selinux's ``opt_len``). InvalidRequest for what cannot be granted.
    """
    flags, data = 0, []
    for option in (word for text in options for word in unjoin(text)):
        name = option.partition("=")[0]
        if name in _REFUSED:
            raise InvalidRequest(f"mount option {option!r} cannot be used for a volume")
        if option in _SET:
            flags |= _SET[option]
        elif option in _CLEARED:
            flags &= ~_CLEARED[option]
        elif option and name not in _IGNORED and not name.lower().startswith("x-"):
            data.append(option)
    joined = ",".join(data)
    if len(joined.encode()) >= _PAGE:
        raise InvalidRequest("the mount options are too long: the kernel takes 4095 bytes")
    return flags, joined


def unjoin(text: str) -> tuple[str, ...]:
    """The options in a comma-separated list; commas in double quotes do not separate."""
    words, word, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character == "," and not quoted:
            words.append(word)
            word = ""
        else:
            word += character
    return tuple(filter(None, [*words, word]))


def flags_of(options: Iterable[str]) -> int:
    """The bits that a mount's own options, as mountinfo shows them, stand for."""
    return sum(_SET.get(option, 0) for option in set(options))
