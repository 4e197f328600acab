"""Each value of the chart does what values.yaml says of it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from csi_driver.kube.pools import Entry, read_entries
from csi_driver.settings import EVERYWHERE, PoolSettings
from tests.unit.chart import CHART, MINIMUM, Object, container, render, template

SIDECARS = ("provisioner", "attacher", "resizer")
REPOSITORY = MINIMUM["image"]["repository"]


def nested(path: str, value: object) -> dict[str, Any]:
    """`a.b` as tables within tables."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def leaves(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for key, value in table.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, dict) and value:
            yield from leaves(value, here)
        else:
            yield here


def every_value() -> list[str]:
    return sorted(leaves(yaml.safe_load((CHART / "values.yaml").read_text())))


ENV = [{"name": "COLOUR", "value": "blue"}]
TOLERATION = [{"key": "disks", "operator": "Exists"}]
AFFINITY: Object = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}},
}
RESOURCES = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
DIGEST = "sha256:" + "a" * 64

OTHER: dict[str, Any] = {
    "global.imageRegistry": "mirror.example.org:5000",
    "global.imagePullSecrets": ["pull"],
    "image.repository": "registry.example.org/other",
    "image.tag": "9.9",
    "image.digest": DIGEST,
    "image.pullPolicy": "Always",
    "imagePullSecrets": ["pull"],
    "fullnameOverride": "storage",
    "clusterName": "blue",
    "kubeletDir": "/var/lib/k0s/kubelet",
    "log.level": "debug",
    "log.format": "text",
    "tls.existingSecret": "other-keys",
    "tls.caBundle": "-----BEGIN CERTIFICATE-----\nother\n-----END CERTIFICATE-----\n",
    "pools": [{"name": "slow", "vg": "vg9"}],
    "storageClasses": [{"name": "other"}],
    "admissionPolicy.enabled": False,
    "uninstall.refuseWhileInUse": False,
    "monitoring.podMonitor.enabled": True,
    "networkPolicy.enabled": True,
    "openshift.enabled": True,
    "node.lvmDevices": ["/dev/nvme.*"],
    "node.maxVolumes": 7,
    "node.terminationGracePeriodSeconds": 60,
    "sidecars.provisioner.capacityPollInterval": "3m",
    **{f"node.ports.{name}": 9100 for name in ("agent", "portal", "metrics", "health")},
    **{f"controller.ports.{name}": 9100 for name in ("metrics", "health")},
    "controller.replicas": 3,
    "node.updateStrategy.type": "OnDelete",
    "node.updateStrategy.rollingUpdate.maxUnavailable": 3,
    "controller.updateStrategy": {"type": "Recreate"},
}
for _process in ("controller", "node"):
    OTHER |= {
        f"{_process}.{key}": value
        for key, value in {
            "priorityClassName": "mine",
            "nodeSelector": {"disks": "yes"},
            "tolerations": TOLERATION,
            "affinity": AFFINITY,
            "resources.requests.cpu": "2",
            "resources.requests.memory": "3Gi",
            "podLabels": {"team": "storage"},
            "podAnnotations": {"note": "x"},
            "extraArgs": ["--more"],
            "extraEnv": ENV,
        }.items()
    }
for _sidecar in SIDECARS:
    OTHER |= {
        f"sidecars.{_sidecar}.{key}": value
        for key, value in {
            "image.repository": "registry.example.org/sidecar",
            "image.tag": "v0.0.9",
            "image.digest": DIGEST,
            "port": 9100,
            "verbosity": 5,
            "resources.requests.cpu": "2",
            "resources.requests.memory": "3Gi",
            "extraArgs": ["--more"],
        }.items()
    }

SNAPSHOTTER = "sidecars.snapshotter."
ELSEWHERE = {
    *("tls.caConfigMap", "monitoring.podMonitor.labels", "monitoring.podMonitor.interval"),
    *("snapshots.enabled", "snapshotClasses"),
    *(f"{SNAPSHOTTER}{key}" for key in ("port", "verbosity", "extraArgs")),
    *(f"{SNAPSHOTTER}image.{key}" for key in ("repository", "tag", "digest")),
    *(f"{SNAPSHOTTER}resources.requests.{key}" for key in ("cpu", "memory")),
}
"""Values that cannot just be added to the others; they have a test of their own."""


def test_every_value_is_in_this_file() -> None:
    assert set(every_value()) == OTHER.keys() | ELSEWHERE


@pytest.mark.parametrize("path", sorted(OTHER))
def test_a_value_reaches_an_object(path: str) -> None:
    assert render(nested(path, OTHER[path])).text != render().text


def test_an_existing_config_map_of_the_ca_is_used_as_it_is() -> None:
    without = {**MINIMUM, "tls": {"existingSecret": "keys", "caConfigMap": "trust"}}
    done = template(without)
    assert "name: clinker-ca" not in done.stdout
    assert "name: trust" in done.stdout


# Images


def images(rendered_node: Object, rendered_controller: Object) -> dict[str, str]:
    return {each["name"]: each["image"] for pod in (rendered_node, rendered_controller) for each in pod["containers"]}


def test_images_come_from_where_their_projects_publish_them() -> None:
    found = render()
    assert images(found.node, found.controller) == {
        "node": f"{REPOSITORY}:0.1.0",
        "controller": f"{REPOSITORY}:0.1.0",
        "provisioner": "registry.k8s.io/sig-storage/csi-provisioner:v6.4.0",
        "attacher": "registry.k8s.io/sig-storage/csi-attacher:v4.13.0",
        "resizer": "registry.k8s.io/sig-storage/csi-resizer:v2.3.0",
    }


def test_one_registry_may_stand_for_all() -> None:
    found = render({"global": {"imageRegistry": "mirror.example.org:5000/k8s/"}})
    assert images(found.node, found.controller)["attacher"] == (
        "mirror.example.org:5000/k8s/sig-storage/csi-attacher:v4.13.0"
    )
    assert images(found.node, found.controller)["node"] == "mirror.example.org:5000/k8s/clinker:0.1.0"


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("clinker", "m.example.org/clinker:0.1.0"),
        ("team/clinker", "m.example.org/team/clinker:0.1.0"),
        ("localhost/clinker", "m.example.org/clinker:0.1.0"),
        ("localhost:5000/clinker", "m.example.org/clinker:0.1.0"),
    ],
)
def test_only_a_registry_is_replaced(repository: str, expected: str) -> None:
    found = render({"image": {"repository": repository}, "global": {"imageRegistry": "m.example.org"}})
    assert container(found.node, "node")["image"] == expected


def test_a_digest_goes_before_a_tag() -> None:
    found = render({"image": {"tag": "9.9", "digest": DIGEST}})
    assert container(found.node, "node")["image"] == f"{REPOSITORY}@{DIGEST}"


def test_pull_secrets_reach_both_and_the_closer_ones_win() -> None:
    found = render({"imagePullSecrets": ["mine"], "global": {"imagePullSecrets": ["theirs"]}})
    assert found.node["imagePullSecrets"] == found.controller["imagePullSecrets"] == [{"name": "mine"}]
    assert render({"global": {"imagePullSecrets": ["theirs"]}}).node["imagePullSecrets"] == [{"name": "theirs"}]


# Settings, as the driver itself reads them


def test_the_settings_are_read_by_the_driver() -> None:
    found = render({"log": {"level": "debug", "format": "text"}, "clusterName": "blue"})
    for name in ("clinker-node", "clinker-controller"):
        read = found.settings(name)
        assert (read.log_level, read.log_format, read.cluster) == ("debug", "text", "blue")


def pools(*wanted: Object) -> tuple[Entry, ...]:
    """What the controller reads."""
    found = render({"pools": list(wanted)} if wanted else {})
    name = found.settings("clinker-controller").controller.kubernetes
    assert name is not None
    return read_entries(found.get("ConfigMap", name.pools)["data"]["pools.json"])


def test_pools_reach_the_controller_as_they_are() -> None:
    wanted = {
        "name": "fast",
        "vg": "vg-1.x+y",
        "thinPool": "thin0",
        "nodes": ["a", "b"],
        "nodeSelector": {"disks": "nvme"},
        "overcommit": 2.5,
        "snapshotShare": 0.0,
        "stripes": 3,
        "disks": ["/dev/disk/by-id/a"],
        "thinShare": 0.5,
        "extendAt": 0.5,
        "extendBy": 0.0,
        "whenFull": "error",
        "reserve": 1 << 50,
        "labels": {"media": 'quoted "nvme"', "rack.example.org/no": "7"},
    }
    [entry] = pools(wanted)
    assert entry.selector == {"disks": "nvme"}
    assert entry.pool == PoolSettings(
        name="fast",
        vg="vg-1.x+y",
        thin_pool="thin0",
        nodes=("a", "b"),
        overcommit=2.5,
        snapshot_share=0.0,
        stripes=3,
        disks=("/dev/disk/by-id/a",),
        thin_share=0.5,
        extend_at=0.5,
        extend_by=0.0,
        when_full="error",
        reserve=1 << 50,
        labels={"media": 'quoted "nvme"', "rack.example.org/no": "7"},
    )


def test_all_that_a_pool_may_say_can_be_said_in_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["pools"]["items"]["properties"]
    in_toml = {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key) for key in schema}
    assert in_toml == {field.name for field in dataclasses.fields(PoolSettings)} | {"node_selector"}


def test_a_pool_is_on_every_node_that_has_its_group_unless_told() -> None:
    [entry] = pools()
    assert entry.pool.nodes == EVERYWHERE
    assert entry.pool.overcommit == entry.pool.snapshot_share == 1.0
    [chosen] = pools({"name": "slow", "vg": "vg9", "nodeSelector": {"disks": "sas"}})
    assert chosen.pool.nodes == ()


def test_kubelet_is_found_where_it_is() -> None:
    found = render({"kubeletDir": "/var/snap/microk8s/common/var/lib/kubelet/"})
    paths = {volume["name"]: volume.get("hostPath", {}).get("path") for volume in found.node["volumes"]}
    folder = "/var/snap/microk8s/common/var/lib/kubelet"
    assert paths["kubelet"] == folder
    assert paths["plugin"] == f"{folder}/plugins/csi.clinker.io"
    assert paths["registration"] == f"{folder}/plugins_registry"
    mounts = {mount["name"]: mount for mount in container(found.node, "node")["volumeMounts"]}
    assert mounts["kubelet"]["mountPath"] == folder
    assert found.toml("clinker-node")["kubelet"]["endpoint"] == f"{folder}/plugins/csi.clinker.io/csi.sock"


def test_ports_are_the_same_for_who_serves_and_who_calls() -> None:
    found = render({"node": {"ports": {"agent": 9101, "portal": 9102, "metrics": 9103, "health": 9104}}})
    told = found.toml("clinker-node")
    assert told["agent"]["listen"] == "auto:9101"
    assert told["agent"]["portals"] == ["auto:9102"]
    assert (told["metrics"], told["health"]) == ("auto:9103", "auto:9104")
    assert found.toml("clinker-controller")["controller"]["kubernetes"]["port"] == 9101
    node = container(found.node, "node")
    assert {port["name"]: port["hostPort"] for port in node["ports"]} == {
        "agent": 9101,
        "metrics": 9103,
        "health": 9104,
    }
    assert node["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_the_controller_looks_for_the_pods_that_there_are() -> None:
    found = render(release="blue")
    told = found.toml("blue-clinker-controller")["controller"]["kubernetes"]
    daemon_set = found.get("DaemonSet", "blue-clinker-node")
    labels = daemon_set["spec"]["template"]["metadata"]["labels"]
    wanted = dict(pair.split("=") for pair in told["selector"].split(","))
    assert wanted.items() <= labels.items()
    assert told["service_account"] == daemon_set["spec"]["template"]["spec"]["serviceAccountName"]
    assert told["namespace"] == daemon_set["metadata"]["namespace"] == "storage"


def test_new_settings_mean_new_pods_and_other_values_do_not() -> None:
    def stamps(values: Mapping[str, Any]) -> list[str]:
        found = render(values)
        workloads = (found.get("DaemonSet", "clinker-node"), found.get("Deployment", "clinker-controller"))
        return [each["spec"]["template"]["metadata"]["annotations"]["clinker.io/settings"] for each in workloads]

    before = stamps({})
    assert stamps({"storageClasses": []}) == before
    # Pools are told to nodes that run.
    assert stamps({"pools": [{"name": "slow", "vg": "vg9"}]}) == before
    with_limit = stamps({"node": {"maxVolumes": 7}})
    assert with_limit[0] != before[0]
    assert with_limit[1] == before[1]


# Classes


def test_a_class_has_the_defaults_that_documents_promise() -> None:
    found = render().get("StorageClass", "clinker")
    assert found["provisioner"] == "csi.clinker.io"
    assert found["volumeBindingMode"] == "WaitForFirstConsumer"
    assert found["reclaimPolicy"] == "Delete"
    assert found["allowVolumeExpansion"] is True
    assert "annotations" not in found["metadata"]


def test_a_class_says_all_that_it_is_told() -> None:
    topology = [{"matchLabelExpressions": [{"key": "csi.clinker.io/node", "values": ["a"]}]}]
    wanted = {
        "name": "fast",
        "default": True,
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": False,
        "mountOptions": ["noatime"],
        "allowedTopologies": topology,
        "annotations": {"note": "yes"},
        "parameters": {"access": "local", "csi.storage.k8s.io/fstype": "xfs"},
    }
    found = render({"storageClasses": [wanted]}).get("StorageClass", "fast")
    assert found["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true", "note": "yes"}
    for key in wanted.keys() - {"name", "default", "annotations"}:
        assert found[key] == wanted[key]


# Scheduling and the like


@pytest.mark.parametrize("process", ["controller", "node"])
def test_what_concerns_pods_reaches_the_right_ones(process: str) -> None:
    values = {
        "priorityClassName": "mine",
        "nodeSelector": {"disks": "yes"},
        "tolerations": TOLERATION,
        "affinity": AFFINITY,
        "resources": RESOURCES,
        "extraArgs": ["--more"],
        "extraEnv": ENV,
    }
    found = render({process: values})
    spec, other = (found.controller, found.node) if process == "controller" else (found.node, found.controller)
    for key in ("priorityClassName", "nodeSelector", "tolerations", "affinity"):
        assert spec[key] == values[key]
        assert other.get(key) != values[key]
    main = container(spec, process)
    assert main["resources"]["limits"] == {"memory": "2Gi"}
    assert main["args"][-1] == "--more"
    assert ENV[0] in main["env"]


def test_nodes_tolerate_everything_and_have_no_limits() -> None:
    found = render()
    assert found.node["tolerations"] == [{"operator": "Exists"}]
    assert "limits" not in container(found.node, "node")["resources"]
    assert found.node["terminationGracePeriodSeconds"] == 300


def test_one_replica_has_no_disruption_budget() -> None:
    assert "PodDisruptionBudget" in render().kinds()
    assert "PodDisruptionBudget" not in render({"controller": {"replicas": 1}}).kinds()


def test_replicas_prefer_different_nodes() -> None:
    affinity = render().controller["affinity"]["podAntiAffinity"]
    [term] = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


def test_sidecars_are_told_what_placement_needs() -> None:
    arguments = container(render().controller, "provisioner")["args"]
    wanted = (
        *("--immediate-topology=false", "--strict-topology=false", "--extra-create-metadata"),
        *("--default-fstype=ext4", "--enable-capacity", "--capacity-ownerref-level=2", "--leader-election"),
    )
    assert set(wanted) <= set(arguments)
