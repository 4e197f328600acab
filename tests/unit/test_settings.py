"""One file serves every node: what the environment and the lists of nodes make of it."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import pytest

from csi_driver import settings
from csi_driver.errors import InvalidRequest
from csi_driver.settings import IdentitySettings, KubernetesSettings, Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
POOLS = """
[[agent.pools]]
name = "all"
vg = "vg0"

[[agent.pools]]
name = "where-it-is"
vg = "vg1"
nodes = ["*"]

[[agent.pools]]
name = "two"
vg = "vg2"
nodes = ["n1", "n2"]
"""


def load(tmp_path: Path, text: str, **environment: str) -> Settings:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return settings.load(path, environment)


def test_the_name_of_the_node(tmp_path: Path) -> None:
    assert load(tmp_path, "").node == socket.gethostname()
    assert load(tmp_path, 'node = "n1"').node == "n1"
    assert load(tmp_path, 'node = "n1"', CLINKER_NODE="n2").node == "n2"
    assert load(tmp_path, 'node = "n1"', CLINKER_NODE="").node == "n1"


def test_the_zone(tmp_path: Path) -> None:
    assert load(tmp_path, 'zone = "a"', CLINKER_ZONE="").zone == "a"
    assert load(tmp_path, 'zone = "a"', CLINKER_ZONE="b").zone == "b"


@pytest.mark.parametrize(("host", "address"), [("10.0.0.7", "10.0.0.7"), ("fd00::7", "[fd00::7]")])
def test_addresses_of_this_node(tmp_path: Path, host: str, address: str) -> None:
    text = 'metrics = "auto:1"\nhealth = "0.0.0.0:2"\n[agent]\nlisten = "auto:7443"\nportals = ["auto:3260", "[::1]:3"]'
    found = load(tmp_path, text, CLINKER_HOST_IP=host)
    assert (found.metrics, found.health) == (f"{address}:1", "0.0.0.0:2")
    assert (found.agent.listen, found.agent.portals) == (f"{address}:7443", (f"{address}:3260", "[::1]:3"))
    with pytest.raises(InvalidRequest, match=r"agent\.listen = 'auto:7443': CLINKER_HOST_IP is not set"):
        load(tmp_path, text)


@pytest.mark.parametrize(("node", "pools"), [("n2", ["all", "where-it-is", "two"]), ("n3", ["all", "where-it-is"])])
def test_the_pools_of_this_node(tmp_path: Path, node: str, pools: list[str]) -> None:
    found = load(tmp_path, POOLS, CLINKER_NODE=node)
    assert [pool.name for pool in found.agent.pools] == pools


def examples() -> list[str]:
    return [part.split("```")[0] for part in DOCUMENT.read_text().split("```toml\n")[1:]]


def test_the_document_s_examples_are_good(tmp_path: Path) -> None:
    node, controller = (load(tmp_path, text, CLINKER_HOST_IP="10.0.0.1") for text in examples())
    assert node.agent.identity == IdentitySettings(
        ca=Path("/etc/clinker/ca/ca.crt"), token=Path("/var/run/secrets/clinker/token")
    )
    assert node.kubelet.registration_socket == "/registration/csi.clinker.io-reg.sock"
    assert controller.controller.kubernetes == KubernetesSettings(
        namespace="clinker",
        selector="app.kubernetes.io/name=clinker,app.kubernetes.io/component=node",
        service_account="clinker-node",
    )
    assert controller.controller.tls is not None


@pytest.mark.parametrize(
    "table", ["", "kubelet", "agent", "agent.tls", "agent.identity", "consumer", "controller.kubernetes"]
)
def test_the_document_has_every_key(tmp_path: Path, table: str) -> None:
    nested = "".join(f"[{table}]\n" if table else "") + 'no-such-key = ""'
    assert tomllib.loads(nested)
    with pytest.raises(InvalidRequest, match="unknown key 'no-such-key'") as caught:
        load(tmp_path, nested)
    document = DOCUMENT.read_text()
    for key in str(caught.value).partition("known are ")[2].split(", "):
        assert f"`{key}`" in document or f"[{key}" in document or f"[[{key}" in document or f".{key}]" in document, key
