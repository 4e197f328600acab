"""VolumeSnapshots in the chart: where the cluster serves them, where it does not, and what their classes may say."""

from __future__ import annotations

from typing import Any

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import SNAPSHOT_TABLE, parse_snapshot
from tests.unit.chart import MINIMUM, Rendered, container, merged, refusal, render

SERVED = ("--api-versions", "snapshot.storage.k8s.io/v1")
GROUP = "snapshot.storage.k8s.io"


def enabled(how: object) -> dict[str, Any]:
    return {"snapshots": {"enabled": how}}


def sidecars(found: Rendered) -> set[str]:
    return {each["name"] for each in found.controller["containers"]}


def rights(found: Rendered) -> set[str]:
    """Of the controller, in the snapshots' API group."""
    rules = found.get("ClusterRole", "clinker-controller")["rules"]
    return {
        f"{verb} {resource}"
        for rule in rules
        if GROUP in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize(
    ("how", "arguments", "there"),
    [("auto", SERVED, True), (True, SERVED, True), (False, SERVED, False), ("auto", (), False), (False, (), False)],
)
def test_snapshots_are_where_the_cluster_serves_them(how: object, arguments: tuple[str, ...], *, there: bool) -> None:
    found = render(enabled(how), arguments=arguments)
    assert ("snapshotter" in sidecars(found)) is there
    assert ("VolumeSnapshotClass" in found.kinds()) is there
    assert bool(rights(found)) is there
    assert "CustomResourceDefinition" in found.kinds()  # our own, and none of theirs:
    assert not [each for each in found.objects if each["metadata"]["name"].endswith(GROUP)]


def test_true_without_the_api_is_refused_in_words() -> None:
    said = refusal(merged(MINIMUM, enabled(True)))  # a value of the chart
    assert "does not serve snapshot.storage.k8s.io/v1" in said
    assert "kubectl get crd volumesnapshots.snapshot.storage.k8s.io" in said


def test_nothing_else_than_these_three_is_a_choice() -> None:
    assert "snapshots/enabled" in refusal(merged(MINIMUM, enabled("yes")))


def test_classes() -> None:
    given = {"name": "kept", "default": True, "deletionPolicy": "Retain", "annotations": {"note": "x"}}
    found = render({"snapshotClasses": [given, {"name": "plain"}]}, arguments=SERVED)
    kept, plain = found.get("VolumeSnapshotClass", "kept"), found.get("VolumeSnapshotClass", "plain")
    assert (kept["driver"], kept["deletionPolicy"]) == ("csi.clinker.io", "Retain")
    assert kept["metadata"]["annotations"] == {"snapshot.storage.kubernetes.io/is-default-class": "true", "note": "x"}
    assert plain["deletionPolicy"] == "Delete"
    assert "annotations" not in plain["metadata"]


def test_a_parameter_that_the_driver_refuses_is_refused_first() -> None:
    assert SNAPSHOT_TABLE == ()
    with pytest.raises(InvalidRequest):
        parse_snapshot({"speed": "9"})
    said = refusal(merged(MINIMUM, {"snapshotClasses": [{"name": "fast", "parameters": {"speed": "9"}}]}), SERVED)
    assert 'VolumeSnapshotClass "fast": unknown parameter "speed"' in said
    secret = {"csi.storage.k8s.io/snapshotter-secret-name": "x"}
    found = render({"snapshotClasses": [{"name": "fast", "parameters": secret}]}, arguments=SERVED)
    assert found.get("VolumeSnapshotClass", "fast")["parameters"] == secret


def test_the_sidecar_does_as_its_values_say() -> None:
    plain = container(render(arguments=SERVED).controller, "snapshotter")
    assert plain["image"] == "registry.k8s.io/sig-storage/csi-snapshotter:v8.7.0"
    assert {"--extra-create-metadata", "--leader-election", "--http-endpoint=:8084"} <= set(plain["args"])
    digest = "sha256:" + "a" * 64
    over = {
        "image": {"repository": "mirror.example.org/snapshotter", "tag": "v9"},
        "port": 9100,
        "verbosity": 5,
        "resources": {"requests": {"cpu": "2", "memory": "3Gi"}},
        "extraArgs": ["--more"],
    }
    found = container(render({"sidecars": {"snapshotter": over}}, arguments=SERVED).controller, "snapshotter")
    assert found["image"] == "mirror.example.org/snapshotter:v9"
    assert {"--http-endpoint=:9100", "--v=5", "--more"} <= set(found["args"])
    assert found["resources"] == {"requests": {"cpu": "2", "memory": "3Gi"}}
    by_digest = render({"sidecars": {"snapshotter": {"image": {"digest": digest}}}}, arguments=SERVED)
    assert container(by_digest.controller, "snapshotter")["image"].endswith(f"@{digest}")


def test_its_port_is_let_in_and_looked_at_only_where_it_runs() -> None:
    values = {"networkPolicy": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}}}
    for arguments, there in ((SERVED, True), ((), False)):
        found = render(values, arguments=arguments)
        policy = found.get("NetworkPolicy", "clinker-controller")["spec"]
        assert ("snapshotter" in {each["port"] for each in policy["ingress"][0]["ports"]}) is there
        monitor = found.get("PodMonitor", "clinker-controller")["spec"]
        assert ("snapshotter" in {each["port"] for each in monitor["podMetricsEndpoints"]}) is there
