"""Settings of each process, as one file in TOML spells them. ``load`` reads and checks; nothing else reads it.

    [process]                       # all
    state_folder = "/var/lib/clinker"
    run_folder = "/run/clinker"

See ``docs/settings.md``. Sizes are bytes, times seconds.
"""

from __future__ import annotations

import json
import os
import socket
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from csi_driver.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """Where this process's certificate and key lie, and the CA that signs its peers'."""

    ca: Path
    certificate: Path
    key: Path


MOST_OVERCOMMIT = 1000.0
MOST_STRIPES = 64
MOST_HEADROOM, LEAST_HEADROOM = 0.2, 0.9
"""Bounds of ``extend_at``. Above, writers could fill what is left before anyone looks."""
WHEN_FULL = ("", "queue", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """One pool: a volume group that exists, and the thin pool in it if thin volumes are wanted."""

    name: str
    vg: str
    thin_pool: str = ""
    overcommit: float = 1.0
    """Virtual bytes that may be promised for each byte of the thin pool's data."""
    reserve: int = 0
    """Bytes that are never given out: of the group to thick volumes, of the thin pool's data to thin ones."""
    stripes: int = 2
    """Over how many disks a striped volume goes; a raid10 one over twice as many."""
    snapshot_share: float = 1.0
    """The part of its size that a snapshot counts with. At 1 with overcommit 1 no volume can meet a full pool."""
    disks: tuple[str, ...] = ()
    """Blank disks that the group and its thin pool are made of when they are not there; empty: they must be there."""
    thin_share: float = 1.0
    """The part of a group made so that its thin pool gets, metadata and all."""
    extend_at: float = 0.80
    """The part of the thin pool's data in use at which it is extended, if more is promised than it has."""
    extend_by: float = 0.20
    """By which part of its size; 0: never."""
    when_full: str = ""
    """What the thin pool does with writes that find no room: ``queue`` or ``error``; empty: as it was made."""
    labels: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    """Where it is. Empty: on every node that reads this, and one without the volume group says so. ``EVERYWHERE``:
    on every node that has the volume group. Else on the nodes named."""

    def __post_init__(self) -> None:
        """Raises InvalidRequest for a figure that cannot be."""
        where = f"pool {self.name!r}"
        if not 0 < self.overcommit <= MOST_OVERCOMMIT:
            raise InvalidRequest(f"{where}: overcommit {self.overcommit} must be above 0, at most {MOST_OVERCOMMIT}")
        if not 2 <= self.stripes <= MOST_STRIPES:
            raise InvalidRequest(f"{where}: stripes {self.stripes} must lie between 2 and {MOST_STRIPES}")
        if self.reserve < 0:
            raise InvalidRequest(f"{where}: reserve {self.reserve} must not be negative")
        if not 0 <= self.snapshot_share <= 1:
            raise InvalidRequest(f"{where}: snapshot_share {self.snapshot_share} must lie between 0 and 1")
        if not MOST_HEADROOM <= self.extend_at <= LEAST_HEADROOM:
            raise InvalidRequest(
                f"{where}: extend_at {self.extend_at} must lie between {MOST_HEADROOM} and {LEAST_HEADROOM}"
            )
        if not 0 < self.thin_share <= 1:
            raise InvalidRequest(f"{where}: thin_share {self.thin_share} must be above 0, at most 1")
        if wrong := [disk for disk in self.disks if not disk.startswith("/dev/")]:
            raise InvalidRequest(f"{where}: disks: {wrong[0]!r} is no path below /dev")
        if not 0 <= self.extend_by <= 1:
            raise InvalidRequest(f"{where}: extend_by {self.extend_by} must lie between 0 and 1")
        if self.when_full not in WHEN_FULL:
            raise InvalidRequest(f"{where}: when_full {self.when_full!r} must be queue, error or empty")


EVERYWHERE = ("*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """An agent without a certificate of the CA: it makes its own key and proves its node by a token."""

    ca: Path
    """Signs the certificates of controllers; may hold several."""
    token: Path
    """The pod's projected service account token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The storage side of a node process."""

    listen: str = ""
    """``address:port`` of the Agent service; empty in a standalone process."""
    portals: tuple[str, ...] = ()
    """``address:port`` that targets are reached by, IPv6 in brackets. Needed to export. Consumers take the first that
    answers."""
    mutual_chap: bool = False
    """Targets prove themselves to consumers that ask for it (``consumer.mutual_chap``)."""
    pools: tuple[PoolSettings, ...] = ()
    lvm_devices: tuple[str, ...] = ()
    """The only block devices that our LVM looks at (regular expressions of lvm.conf's ``accept``); empty: disks that
    udev lists in /dev/disk/by-path, iSCSI ones apart, and md arrays. Name others, as dm-crypt or multipath, here."""
    tls: TlsSettings | None = None
    identity: IdentitySettings | None = None
    """Instead of ``tls``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """The pods' side of a node process."""

    iscsiadm: str = "auto"
    """``direct``: as installed beside us; ``host``: in the namespaces of the host's PID 1; ``auto``: host when
    this process lives in another mount namespace than PID 1, else direct."""
    mutual_chap: bool = False
    """Log in only to targets that prove themselves; all storage nodes need ``agent.mutual_chap``."""
    max_volumes: int = 0
    """What NodeGetInfo tells; 0: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetMember:
    """One agent of a static list."""

    node: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSettings:
    """Where a controller finds its agents in Kubernetes, and what they must prove to be."""

    namespace: str
    selector: str
    """Label selector of the agents' pods."""
    service_account: str
    """The agents' own, in that namespace."""
    port: int = 7443
    audience: str = "csi.clinker.io"
    """Of the agents' tokens: none that the API server takes for itself."""
    kubeconfig: str = ""
    """A file; empty: the service account of this process's pod."""
    pools: str = ""
    """A ConfigMap in that namespace whose ``pools.json`` says which pools there are; empty: agents offer what their own
    settings say."""
    secret: str = ""
    """In that namespace, for the key that the controller makes itself, and puts where ``controller.tls`` says; empty:
    the key is given."""
    ca_map: str = "clinker-ca"
    """With ``secret``: the ConfigMap whose ``ca.crt`` agents trust."""
    lease: str = "clinker-controller"
    """In that namespace: of several controllers its holder alone writes StorageNodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """How pools are chosen, where a class says nothing."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """Multipliers of weighers."""
    choose: str = "best"
    """Or ``stochastic``."""
    capacity_step: int = 128 * 1024 * 1024
    """Capacities are told to Kubernetes in multiples of so many bytes."""
    filters: tuple[str, ...] = ()
    """Filters of other packages, by the names of their entry points."""
    weighers: tuple[str, ...] = ()
    """The same of weighers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """A controller process."""

    agents: tuple[FleetMember, ...] = ()
    kubernetes: KubernetesSettings | None = None
    """Instead of ``agents``."""
    tls: TlsSettings | None = None
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """How a node process makes itself known to the kubelet of its host."""

    registration_socket: str = ""
    """Where kubelet looks for plugins, as we see it; empty: somebody else registers us."""
    endpoint: str = ""
    """The CSI socket's path as kubelet sees it."""


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
    health: str = ""
    """``address:port`` of ``/healthz`` and ``/readyz`` over HTTP; empty: nowhere."""
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)
    consumer: ConsumerSettings = field(default_factory=ConsumerSettings)
    controller: ControllerSettings = field(default_factory=ControllerSettings)
    fault_plan: str = ""
    """For tests only: ``EFFECT:N:before|after`` kills the process at the N-th effect of that name (0: any)."""


NODE_VARIABLE, ZONE_VARIABLE, HOST_IP_VARIABLE = "CLINKER_NODE", "CLINKER_ZONE", "CLINKER_HOST_IP"
"""What differs between nodes that read one file (Kubernetes' downward API sets it)."""


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the TOML file at ``path``, with what ``environment`` says of this node. Raises InvalidRequest
    naming the file and the key.
    """
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}") from error
    return on_this_node(parse(table, str(path)), environment)


def parse(table: Mapping[str, Any], where: str) -> Settings:
    """The settings a TOML document holds; ``where`` goes into errors."""
    return _record(Settings, table, where)


def on_this_node(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """The same with this node's name, zone and addresses, and without the pools of other nodes. Raises
    InvalidRequest when an address is ``auto`` and nothing says which.
    """
    host = environment.get(HOST_IP_VARIABLE, "")
    node = environment.get(NODE_VARIABLE, "") or settings.node or socket.gethostname()
    agent = replace(
        settings.agent,
        listen=_address("agent.listen", settings.agent.listen, host),
        portals=tuple(_address("agent.portals", portal, host) for portal in settings.agent.portals),
        pools=tuple(pool for pool in settings.agent.pools if pool.nodes in ((), EVERYWHERE) or node in pool.nodes),
    )
    return replace(
        settings,
        node=node,
        zone=environment.get(ZONE_VARIABLE, "") or settings.zone,
        metrics=_address("metrics", settings.metrics, host),
        health=_address("health", settings.health, host),
        agent=agent,
    )


def _address(key: str, text: str, host: str) -> str:
    if not text.startswith("auto:"):
        return text
    if not host:
        raise InvalidRequest(f"{key} = {text!r}: {HOST_IP_VARIABLE} is not set")
    return (f"[{host}]" if ":" in host else host) + text.removeprefix("auto")


def read_pools(document: str, where: str) -> tuple[PoolSettings, ...]:
    """The pools of a JSON list of tables like ``[[agent.pools]]``. Raises InvalidRequest naming ``where`` and the key,
    or when they cannot all be on one node.
    """
    try:
        tables = json.loads(document)
    except ValueError as error:
        raise InvalidRequest(f"{where}: {error}") from error
    if not isinstance(tables, list):
        raise InvalidRequest(f"{where}: must be a list of pools")
    pools = tuple(read_pool(table, f"{where}[{n}]") for n, table in enumerate(tables))
    check_pools(pools)
    return pools


def read_pool(table: object, where: str) -> PoolSettings:
    """One table like ``[[agent.pools]]``. Raises InvalidRequest naming ``where`` and the key."""
    return _record(PoolSettings, table, where)


def show_pools(pools: Sequence[PoolSettings]) -> str:
    """What ``read_pools`` reads. Without what is the default: an older reader then knows all keys it is given."""
    bare = {f.name: f.default for f in fields(PoolSettings) if f.default is not MISSING} | {"labels": {}}
    tables = [{key: value for key, value in asdict(pool).items() if value != bare.get(key)} for pool in pools]
    return json.dumps(tables, sort_keys=True)


def check_pools(pools: Sequence[PoolSettings]) -> None:
    """Raises InvalidRequest when two pools of one node have one name or one volume group: the room of a group can be
    promised once.
    """
    for what, names in (("name", [pool.name for pool in pools]), ("volume group", [pool.vg for pool in pools])):
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                them = " and ".join(repr(pool.name) for pool in pools if name in (pool.name, pool.vg))
                raise InvalidRequest(f"two pools of one node have the {what} {name!r}: {them}; take one of them away")


T = TypeVar("T")
_NESTED: dict[tuple[type, str], type] = {
    (Settings, "agent"): AgentSettings,
    (Settings, "consumer"): ConsumerSettings,
    (Settings, "controller"): ControllerSettings,
    (Settings, "kubelet"): KubeletSettings,
    (AgentSettings, "tls"): TlsSettings,
    (AgentSettings, "identity"): IdentitySettings,
    (ControllerSettings, "kubernetes"): KubernetesSettings,
    (ControllerSettings, "tls"): TlsSettings,
    (ControllerSettings, "scheduler"): SchedulerSettings,
    (AgentSettings, "pools"): PoolSettings,
    (ControllerSettings, "agents"): FleetMember,
}
_PATHS = {"state_folder", "run_folder", "ca", "certificate", "key", "token"}


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
