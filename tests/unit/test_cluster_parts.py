"""Plain parts of the test cluster: hosts, networks, command lines, messages, bills of materials."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import nodes, sbom
from tests.cluster.cluster import KubectlFailed, cluster_hosts
from tests.cluster.control_plane import api_server, controller_manager, etcd, scheduler
from tests.cluster.places import KUBERNETES_SERVICE, SERVICES, Places, pod_subnet
from tests.cluster.registrar import plugin_info
from tests.lab import GIB


def test_all_hosts_but_the_last_have_a_disk() -> None:
    assert [host.disk_sizes for host in cluster_hosts(3)] == [(8 * GIB,), (8 * GIB,), ()]
    assert [host.disk_sizes for host in cluster_hosts(1)] == [(8 * GIB,)]


def test_pods_of_two_hosts_have_no_address_in_common() -> None:
    first, second = (ipaddress.ip_network(pod_subnet(number)) for number in (1, 2))
    assert not first.overlaps(second)
    plugin: Any = nodes.network(2)["plugins"]
    assert plugin[0]["ipam"]["ranges"] == [[{"subnet": str(second)}]]
    assert plugin[0]["ipMasq"] is False


def test_the_kubernetes_service_is_the_first_of_its_range() -> None:
    assert next(ipaddress.ip_network(SERVICES).hosts()) == ipaddress.ip_address(KUBERNETES_SERVICE)


def test_no_two_flags_of_a_program_are_the_same() -> None:
    places = Places(Path("/lab"))
    for arguments in (etcd(places), api_server(places), controller_manager(places), scheduler(places)):
        flags = [argument.partition("=")[0] for argument in arguments]
        assert len(flags) == len(set(flags))
        assert all(flag.startswith("--") for flag in flags)


def test_everything_of_a_cluster_lies_in_its_labs_folder() -> None:
    places = Places(Path("/lab"))
    paths = (places.pki, places.etcd, places.admin, places.kubectl, places.logs, places.audit_log, places.enter)
    assert all(path.is_relative_to("/lab") for path in paths)


def test_the_kubelet_never_removes_an_image() -> None:
    assert json.loads(json.dumps(nodes.KUBELET))["imageGCHighThresholdPercent"] == 100


def test_what_kubectl_said_is_in_the_error() -> None:
    error = KubectlFailed(["get", "pod", "a b"], 1, "", "Error from server (NotFound)\n")
    assert str(error) == "kubectl get pod 'a b' ended with 1\nError from server (NotFound)"


def test_plugin_info_is_a_protobuf_message() -> None:
    expected = b"\x0a\x09CSIPlugin\x12\x03a.b\x1a\x05/sock\x22\x051.0.0"
    assert plugin_info("a.b", "/sock") == expected
    with pytest.raises(ValueError, match="too long"):
        plugin_info("a" * 128, "/sock")


def test_a_bill_of_materials_has_installed_packages_and_distributions(tmp_path: Path) -> None:
    status = tmp_path / sbom.DPKG_STATUS
    status.parent.mkdir(parents=True)
    status.write_text(
        "Package: lvm2\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.03.31-2+b1\n\n"
        "Package: libicu76\nStatus: purge ok not-installed\nArchitecture: amd64\nVersion: 76.1\n"
    )
    about = tmp_path / "opt/clinker/lib/python3.13/site-packages/typing_extensions-4.dist-info/METADATA"
    about.parent.mkdir(parents=True)
    about.write_text("Metadata-Version: 2.4\nName: typing_extensions\nVersion: 4.16.0\n\nA description.\n")
    bill: Any = sbom.bill_of_materials(tmp_path, "clinker", "1")
    assert [component["purl"] for component in bill["components"]] == [
        "pkg:deb/debian/lvm2@2.03.31-2%2Bb1?arch=amd64",
        "pkg:pypi/typing-extensions@4.16.0",
    ]
