"""A second controller beside that of the stack, on the same host: as of a Deployment with two replicas."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc

from tests.lab.process import GuestProcess
from tests.lab.waiting import eventually
from tests.stack.csi import Csi
from tests.stack.stack import CONTROLLER_SOCKET, CONTROLLER_USER, READY, Stack

FOLDER = "/etc/clinker/controller"
SECOND = "second"


def await_silent(client: Csi, node: str, *, within: float = 90.0) -> None:
    """Wait until the controller behind ``client`` does not count the pool of the node any more."""
    eventually(lambda: client.capacity(node) == 0, within=within)


@dataclass(kw_only=True)
class SecondController:
    """Certificate and agents are those of the stack's controller; socket, folders and process its own.

    Used as a context: the process ends with it.
    """

    stack: Stack
    process: GuestProcess | None = None
    _client: Csi | None = field(default=None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()

    @property
    def client(self) -> Csi:
        """Its CSI client."""
        if self._client is None:
            self._client = Csi(self.stack.controller_host.socket(self._place("csi.sock")), timeout=20)
        return self._client

    def start(self, plan: str = "") -> None:
        """Anew, to die at ``plan`` (``Settings.fault_plan``); returns when it is ready."""
        host = self.stack.controller_host
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        plain = host.get(f"{FOLDER}/settings.toml").decode()
        text = plain.replace(str(Path(CONTROLLER_SOCKET).parent), self._place("")[:-1])
        text = text.replace('fault_plan = ""', f'fault_plan = "{plan}"')
        host.put(f"{FOLDER}/{SECOND}.toml", text.encode(), mode=0o644)
        host.run(["install", "-d", "-o", CONTROLLER_USER, self._place("")])
        user = ["setpriv", f"--reuid={CONTROLLER_USER}", "--clear-groups", "--bounding-set=-all", "--"]
        argv = [*user, "clinker", "controller", "--config", f"{FOLDER}/{SECOND}.toml"]
        self.process = host.spawn(argv, name=f"controller-{SECOND}")
        self.await_ready()

    def await_ready(self) -> None:
        """Return when it hears every node that runs; raises with its log when it does not come up."""
        until = time.monotonic() + READY
        while not self._is_ready():
            if self.process is None or self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"not ready:\n{self.process.log()[-4000:] if self.process else ''}")
            time.sleep(0.1)
        self.await_heard()

    def await_heard(self, *nodes: str) -> None:
        """Return when it hears these nodes (all that run) as they live now, see ``Stack.await_heard``."""
        assert self.process is not None
        self.stack.await_heard(self.process, nodes or None)

    def _is_ready(self) -> bool:
        try:
            return self.client.ready(timeout=2.0)
        except grpc.RpcError:
            return False

    @staticmethod
    def _place(name: str) -> str:
        return f"/run/clinker-{SECOND}/{name}"
