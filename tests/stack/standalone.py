"""``clinker standalone`` on one lab host."""

from __future__ import annotations

import time

import grpc

from tests.lab import Host
from tests.lab.process import GuestProcess
from tests.stack.csi import Csi
from tests.stack.stack import POOL, PORTAL_PORT, READY, THIN_POOL, VG, make_pool

SOCKET = "/run/clinker/csi.sock"
SETTINGS = "/etc/clinker/standalone.toml"


def start_standalone(host: Host, *, max_volumes: int = 0) -> GuestProcess:
    """The driver in one process, with a pool, ready to be called on ``SOCKET``."""
    host.install_driver()
    make_pool(host)
    pool = f'[[agent.pools]]\nname = "{POOL}"\nvg = "{VG}"\nthin_pool = "{THIN_POOL}"\n'
    return start(host, pool, f"[consumer]\nmax_volumes = {max_volumes}")


def start(host: Host, pools: str, more: str = "") -> GuestProcess:
    """The driver, installed before, with these pools and more settings, as TOML; ready on return."""
    settings = (
        f'endpoint = "unix://{SOCKET}"\nnode = "{host.name}"\n{more}\n'
        f'[agent]\nportals = ["{host.address}:{PORTAL_PORT}"]\nlvm_devices = ["/dev/ubd.*"]\n{pools}'
    )
    host.put(SETTINGS, settings.encode())
    process = host.spawn(["clinker", "standalone", "--config", SETTINGS], name="clinker")
    client, until = Csi(host.socket(SOCKET)), time.monotonic() + READY
    while True:
        try:
            if client.ready(timeout=2.0):
                return process
        except grpc.RpcError:
            pass
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"the driver is not ready:\n{process.log()[-4000:]}")
        time.sleep(0.1)
