"""Clinker on lab hosts: certificates, settings, processes; started, killed and started again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import Host, Lab
from tests.lab.process import GuestProcess
from tests.lab.waiting import eventually
from tests.stack.csi import Csi
from tests.stack.leftovers import leftovers

REPOSITORY = Path(__file__).resolve().parents[2]
VG, THIN_POOL, POOL = "vg0", "thin0", "fast"
AGENT_PORT, PORTAL_PORT = 7443, 3260
SOCKET, CONTROLLER_SOCKET = "/run/clinker/csi.sock", "/run/clinker-controller/csi.sock"
CONTROLLER_USER = "nobody"
READY = 60.0
"""Seconds after which a process that is not ready is taken for broken."""


@dataclass(kw_only=True)
class Stack:
    """The driver on every host of a lab; the controller on the last one, as an unprivileged user.

    ``fault_plans`` name, by process (a host's name or ``controller``), the effect at which it kills itself.
    """

    lab: Lab
    node_extra: str = ""
    """TOML that goes in front of each node's settings."""
    fault_plans: dict[str, str] = field(default_factory=dict)
    portals: dict[str, list[str]] = field(default_factory=dict)
    """``address:port``s of a host's targets by its name, in place of its own address."""
    agent_extra: str = ""
    """TOML in ``[agent]`` of each node's settings; ``consumer_extra`` in ``[consumer]``."""
    consumer_extra: str = ""
    lvm_devices: str = '"/dev/ubd.*"'
    """What the driver's LVM looks at, as TOML."""
    patience: float = 0.0
    """Of the CSI clients, see ``Csi``: seconds."""
    processes: dict[str, GuestProcess] = field(default_factory=dict)
    _clients: dict[str, Csi] = field(default_factory=dict)
    _lives: dict[str, dict[Path, int]] = field(default_factory=dict)
    """By node: how long the log of each controller was when the node's process was started last."""

    def up(self) -> None:
        """Pools, certificates, code and processes; returns when every process says that it is ready."""
        self.issue_certificates()
        for host in self.lab.hosts:
            self.prepare(host)
        nodes = [host.name for host in self.lab.hosts]
        self.start(nodes)
        # A controller that starts beside them finds them refusing, and calls again only after a pause.
        self.await_ready(nodes)
        self.start(["controller"])
        self.await_ready(["controller"])

    def prepare(self, host: Host) -> None:
        """Code and settings for one host, and a volume group with a thin pool when it has a disk."""
        host.install_driver()
        if host.disks:
            make_pool(host)
        self._put_settings(host)
        # What an operator installed long ago is on disk; a plug pulled seconds after must not undo it.
        host.run(["sync"])

    def start(self, names: Iterable[str] | None = None) -> None:
        """Start the processes that are named (all: every node's, then the controller) and do not run."""
        for name in names if names is not None else [*(host.name for host in self.lab.hosts), "controller"]:
            running = self.processes.get(name)
            if running is None or running.poll() is not None:
                self.processes[name] = self._spawn(name)

    def kill(self, names: Iterable[str] | None = None) -> None:
        """``kill -9``."""
        for name in names if names is not None else tuple(self.processes):
            self.processes.pop(name).kill()

    def restart(self, name: str, plan: str = "") -> None:
        """``kill -9`` and again, to die at ``plan`` (``Settings.fault_plan``) in this life only; ready on return."""
        host = self.controller_host if name == "controller" else self.lab.host(name)
        path = f"/etc/clinker/{name}/settings.toml"
        plain = host.get(path)
        self.kill([name])
        host.put(path, plain.replace(b'fault_plan = ""', f'fault_plan = "{plan}"'.encode()))
        try:
            self.start([name])
            self.await_ready([name])
        finally:
            host.put(path, plain)

    def await_ready(self, names: Iterable[str] | None = None) -> None:
        """Return when what is named (all that was started) can be used: each node serves kubelet and controllers, and
        the controller, if it runs, hears those nodes; one that is named hears every node that runs.

        Raises with the log when a process ended or does not come up.
        """
        waited = tuple(names if names is not None else self.processes)
        for name in waited:
            until = time.monotonic() + READY
            while not self._is_ready(name):
                process = self.processes[name]
                if process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"{name} is not ready:\n{process.log()[-4000:]}")
                time.sleep(0.1)
        controller = self.processes.get("controller")
        if controller is not None and controller.poll() is None:
            self.await_heard(controller, None if "controller" in waited else waited)

    def await_heard(self, controller: GuestProcess, nodes: Iterable[str] | None = None) -> None:
        """Return when a controller hears the nodes (all that run) as they live now.

        Probe does not tell: a controller is ready once each node was heard or refused, and it may take a node that
        was killed or cut off for alive for a while. Its log tells, when it goes on after the node's last start.
        """
        for name in nodes if nodes is not None else self._running_nodes():
            begin = self._lives[name].get(controller.log_path, 0)
            says = re.compile(rf" node (answers|does not answer) node={name}\b")

            def heard(begin: int = begin, says: re.Pattern[str] = says) -> bool:
                return says.findall(controller.log(begin))[-1:] == ["answers"]

            eventually(heard, within=READY)

    def _running_nodes(self) -> list[str]:
        return [name for name, it in self.processes.items() if name != "controller" and it.poll() is None]

    def node(self, name: str) -> Csi:
        """The CSI client of a node process."""
        if name not in self._clients:
            self._clients[name] = Csi(self.lab.host(name).socket(SOCKET), patience=self.patience)
        return self._clients[name]

    @property
    def controller(self) -> Csi:
        """The CSI client of the controller."""
        if "controller" not in self._clients:
            self._clients["controller"] = Csi(self.controller_host.socket(CONTROLLER_SOCKET), patience=self.patience)
        return self._clients["controller"]

    @property
    def controller_host(self) -> Host:
        """Where the controller runs."""
        return self.lab.hosts[-1]

    def reboot(self, host: Host, *, reimage: bool = False) -> None:
        """Power cut and boot; then the processes of that host, as its init system would start them."""
        host.crash()
        names = [host.name, *(["controller"] if host is self.controller_host else [])]
        host.boot(reimage=reimage)
        if reimage:
            self.prepare(host)
        for name in names:
            self.processes.pop(name, None)
        self.start(names)

    def leftovers(self) -> dict[str, list[str]]:
        """What of ours is left on each host; empty when there is nothing on any."""
        found = {host.name: leftovers(host) for host in self.lab.hosts}
        return {name: things for name, things in found.items() if things}

    def issue_certificates(self) -> None:
        """A CA and a certificate for each process, under the lab's folder."""
        _clinker("pki", "ca", "--folder", str(self._pki))
        for host in self.lab.hosts:
            issue = ["--role", "node", "--name", host.name, "--address", host.address]
            _clinker("pki", "issue", "--folder", str(self._pki), *issue)
        _clinker("pki", "issue", "--folder", str(self._pki), "--role", "controller", "--name", "controller")

    @property
    def _pki(self) -> Path:
        return self.lab.folder / "pki"

    def _put_settings(self, host: Host) -> None:
        for name in (host.name, *(["controller"] if host is self.controller_host else [])):
            for file in ("ca.crt", f"{name}.crt", f"{name}.key"):
                host.put(f"/etc/clinker/{name}/{file}", (self._pki / file).read_bytes(), mode=0o600)
            text = self._controller_settings() if name == "controller" else self._node_settings(host)
            host.put(f"/etc/clinker/{name}/settings.toml", text.encode(), mode=0o600)
            if name == "controller":
                host.run(["chown", "-R", CONTROLLER_USER, "/etc/clinker/controller"])
                host.run(["install", "-d", "-o", CONTROLLER_USER, str(Path(CONTROLLER_SOCKET).parent)])

    def _node_settings(self, host: Host) -> str:
        pools = f'[[agent.pools]]\nname = "{POOL}"\nvg = "{VG}"\nthin_pool = "{THIN_POOL}"\n' if host.disks else ""
        own = self.portals.get(host.name, [f"{host.address}:{PORTAL_PORT}"] if host.disks else [])
        portals = f"portals = {json.dumps(own)}\n"
        return (
            f'{self.node_extra}\nendpoint = "unix://{SOCKET}"\nnode = "{host.name}"\n'
            f'fault_plan = "{self.fault_plans.get(host.name, "")}"\n'
            f'[agent]\nlisten = "{host.address}:{AGENT_PORT}"\n{portals}'
            f"lvm_devices = [{self.lvm_devices}]\n{self.agent_extra}\n"
            f"[agent.tls]\n{_tls(host.name)}{pools}"
            f"[consumer]\n{self.consumer_extra}\n"
        )

    def _controller_settings(self) -> str:
        agents = "".join(
            f'[[controller.agents]]\nnode = "{host.name}"\naddress = "{host.address}:{AGENT_PORT}"\n'
            for host in self.lab.hosts
        )
        return (
            f'endpoint = "unix://{CONTROLLER_SOCKET}"\nfault_plan = "{self.fault_plans.get("controller", "")}"\n'
            f'state_folder = "/run/clinker-controller/state"\n'
            f'run_folder = "/run/clinker-controller"\n'
            f"[controller.tls]\n{_tls('controller')}{agents}"
        )

    def _spawn(self, name: str) -> GuestProcess:
        config = ["--config", f"/etc/clinker/{name}/settings.toml"]
        if name == "controller":
            user = ["setpriv", f"--reuid={CONTROLLER_USER}", "--clear-groups", "--bounding-set=-all", "--"]
            host = self.controller_host
            host.run(["install", "-d", "-o", CONTROLLER_USER, str(Path(CONTROLLER_SOCKET).parent)])
            return host.spawn([*user, "clinker", "controller", *config], name="controller")
        logs = Path(self.lab.folder, "logs", self.controller_host.name).glob("controller*.log")
        self._lives[name] = {log: log.stat().st_size for log in logs}
        return self.lab.host(name).spawn(["clinker", "node", *config], name="clinker-node")

    def _is_ready(self, name: str) -> bool:
        import grpc

        client = self.controller if name == "controller" else self.node(name)
        try:
            return client.ready(timeout=2.0) and (name == "controller" or _serves(self.lab.host(name)))
        except grpc.RpcError:
            return False


def make_pool(host: Host, disks: Sequence[str] = ()) -> None:
    """A volume group on ``disks``, the host's own by default, with one thin pool in it; nothing when it is there."""
    if host.run(["vgs", VG], check=False).rc == 0:
        return
    host.run(["vgcreate", "--metadatasize", "64m", VG, *(disks or host.disks)])
    host.run(["lvcreate", "--type", "thin-pool", "-l", "70%VG", "-n", THIN_POOL, "-Zy", "-c", "64k", VG])


def _serves(host: Host) -> bool:
    """Whether the Agent service of a host is there: it comes last, long after Probe says ready."""
    return host.run(["ss", "-Hltn", f"sport = :{AGENT_PORT}"]).stdout != ""


def _tls(name: str) -> str:
    folder = f"/etc/clinker/{name}"
    return f'ca = "{folder}/ca.crt"\ncertificate = "{folder}/{name}.crt"\nkey = "{folder}/{name}.key"\n'


def _clinker(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "csi_driver", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"clinker {' '.join(arguments)}: {done.stderr}")
