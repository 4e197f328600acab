"""Settings of each process, as one file in TOML spells them. ``load`` reads and checks; nothing else reads it.

    [process]                       # all
    state_folder = "/var/lib/clinker"
    run_folder = "/run/clinker"

See ``docs/settings.md``. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from csi_driver.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Where this process's certificate and key lie, and the CA that signs its peers'."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """One pool: a volume group that exists, and the thin pool in it if thin volumes are wanted."""

    name: str
    vg: str
    thin_pool: str = ""
    overcommit: float = 1.0
    """Virtual bytes that may be promised for each byte of the thin pool's data."""
    reserve: int = 0
    """Bytes that are never given out."""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The storage side of a node process."""

    listen: str = ""
    """``address:port`` of the Agent service; empty in a standalone process."""
    portals: tuple[str, ...] = ()
    """``address:port`` that targets are reached by, IPv6 in brackets. Needed to export."""
    pools: tuple[PoolSettings, ...] = ()
    lvm_devices: tuple[str, ...] = ()
    """The only block devices that our LVM looks at (regular expressions of lvm.conf's ``accept``); empty: disks that
    udev lists in /dev/disk/by-path, iSCSI ones apart, and md arrays. Name others, as dm-crypt or multipath, here."""
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """The pods' side of a node process."""

    iscsiadm: str = "auto"
    """``direct``: as installed beside us; ``host``: in the namespaces of the host's PID 1; ``auto``: host when
    this process lives in another mount namespace than PID 1, else direct."""
    max_volumes: int = 0
    """What NodeGetInfo tells; 0: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMember:
    """One agent of a static list."""

    node: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """A controller process."""

    agents: tuple[FleetMember, ...] = ()
    tls: TlsSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything one process needs to know. Tables that a mode does not use are ignored by it."""

    endpoint: str = "unix:///run/clinker/csi.sock"
    node: str = ""
    """This node's name; empty: the host's name."""
    cluster: str = "default"
    """Goes into each volume's tags: an agent touches no volume of another cluster."""
    zone: str = ""
    state_folder: Path = Path("/var/lib/clinker")
    run_folder: Path = Path("/run/clinker")
    log_level: str = "info"
    log_format: str = "text"
    metrics: str = ""
    """``address:port`` of ``/metrics`` over HTTP; empty: nowhere."""
    agent: AgentSettings = field(default_factory=AgentSettings)
    consumer: ConsumerSettings = field(default_factory=ConsumerSettings)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    fault_plan: str = ""
    """For tests only: ``EFFECT:N:before|after`` kills the process at the N-th effect of that name (0: any)."""


def load(path: Path) -> Settings:
    """The settings in the TOML file at ``path``. Raises InvalidRequest naming the file and the key."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}") from error
    return parse(table, str(path))


def parse(table: Mapping[str, Any], where: str) -> Settings:
    """The settings a TOML document holds; ``where`` goes into errors."""
    return _record(Settings, table, where)


T = TypeVar("T")
_NESTED: dict[tuple[type, str], type] = {
    (Settings, "agent"): AgentSettings,
    (Settings, "consumer"): ConsumerSettings,
    (Settings, "controller"): ControllerSettings,
    (AgentSettings, "tls"): TlsSettings,
    (ControllerSettings, "tls"): TlsSettings,
    (AgentSettings, "pools"): PoolSettings,
    (ControllerSettings, "agents"): FleetMember,
}
_PATHS = {"state_folder", "run_folder", "ca", "certificate", "key"}


def _record(cls: type[T], table: object, where: str) -> T:
    if not isinstance(table, Mapping):
        raise InvalidRequest(f"{where}: must be a table")
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]  # every cls here is a dataclass
    if unknown := sorted(set(table) - known):
        raise InvalidRequest(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values = {key: _value(cls, key, value, f"{where}: {key}") for key, value in table.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise InvalidRequest(f"{where}: {error}") from error


def _value(cls: type, key: str, value: object, where: str) -> object:
    nested = _NESTED.get((cls, key))
    if nested is not None:
        if isinstance(value, list):
            return tuple(_record(nested, item, f"{where}[{n}]") for n, item in enumerate(value))
        return _record(nested, value, where)
    if key in _PATHS:
        return Path(str(value))
    return tuple(value) if isinstance(value, list) else value
