"""What cannot work is refused in words, before anything reaches a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.chart import CA, MINIMUM, merged, refusal, render


def without(key: str) -> dict[str, Any]:
    return {each: value for each, value in MINIMUM.items() if each != key}


def test_no_image_is_refused_with_the_commands_that_make_one() -> None:
    said = refusal(without("image"))
    assert "image.repository is not set" in said
    assert "make image" in said
    assert "docker://REGISTRY/clinker:" in said


def test_no_pool_is_refused_with_an_example() -> None:
    said = refusal(without("pools"))
    assert "pools is empty" in said
    assert "thinPool: thin0" in said


def test_a_pool_that_stands_there_twice_is_refused() -> None:
    twice = [{"name": "fast", "vg": "vg0"}, {"name": "fast", "vg": "vg1"}]
    assert 'two entries are called "fast"' in refusal(merged(MINIMUM, {"pools": twice}))


def test_one_name_for_different_groups_on_different_nodes_is_fine() -> None:
    pools = [{"name": "fast", "vg": "vg0", "nodes": ["a"]}, {"name": "fast", "vg": "vg1", "nodes": ["b", "c"]}]
    chosen = [{"name": "big", "vg": f"vg{n}", "nodeSelector": {"disks": str(n)}} for n in range(2)]
    assert render({"pools": [*pools, *chosen]})


def test_a_ca_without_the_key_that_it_vouches_for_is_refused() -> None:
    said = refusal({**without("tls"), "tls": {"caBundle": CA}})
    assert "Set both, or neither" in said


def test_nodes_must_get_a_ca() -> None:
    said = refusal({**without("tls"), "tls": {"existingSecret": "keys"}})
    assert "neither tls.caBundle nor tls.caConfigMap is" in said


def test_two_sources_of_the_ca_are_one_too_many() -> None:
    assert "both set" in refusal(merged(MINIMUM, {"tls": {"caConfigMap": "ours"}}))


def test_a_private_key_never_goes_to_the_nodes() -> None:
    bundle = CA + "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"
    assert "has a private key in it" in refusal(merged(MINIMUM, {"tls": {"caBundle": bundle}}))


@pytest.mark.parametrize("version", ["1.33.0", "1.34.9"])
def test_kubernetes_that_is_too_old_is_refused(version: str) -> None:
    said = refusal(MINIMUM, ("--kube-version", version))
    assert ">=1.35.0" in said
    assert f"incompatible with Kubernetes v{version}" in said


@pytest.mark.parametrize("version", ["1.35.0", "1.37.2", "1.36.4-gke.100"])
def test_kubernetes_that_is_new_enough_is_not(version: str) -> None:
    assert render(arguments=("--kube-version", version)).kinds() >= {"Deployment", "DaemonSet"}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"image": {"repo": "x"}}, "additional properties 'repo' not allowed"),
        ({"imagee": {}}, "additional properties 'imagee' not allowed"),
        ({"pools": [{"name": "fast"}]}, "missing property 'vg'"),
        ({"pools": [{"name": "fast", "vg": "-x"}]}, "/pools/0/vg"),
        ({"pools": [{"name": "fast", "vg": "v", "overcommit": 0.5}]}, "/pools/0/overcommit"),
        ({"kubeletDir": "kubelet"}, "/kubeletDir"),
        ({"log": {"level": "verbose"}}, "/log/level"),
        ({"controller": {"replicas": 0}}, "/controller/replicas"),
        ({"node": {"ports": {"agent": 70000}}}, "/node/ports/agent"),
        ({"image": {"digest": "sha256:12"}}, "/image/digest"),
        ({"storageClasses": [{"name": "Fast"}]}, "/storageClasses/0/name"),
        ({"storageClasses": [{"name": "fast", "parameters": {"x": 1}}]}, "/storageClasses/0/parameters/x"),
        ({"storageClasses": [{"name": "fast", "reclaimPolicy": "Recycle"}]}, "/storageClasses/0/reclaimPolicy"),
    ],
)
def test_the_schema_names_the_value_that_is_wrong(values: dict[str, Any], named: str) -> None:
    assert named in refusal(merged(MINIMUM, values))


def test_two_classes_that_are_both_the_default_are_refused() -> None:
    classes = [{"name": "a", "default": True}, {"name": "b", "default": True}]
    assert "a and b both say default: true" in refusal(merged(MINIMUM, {"storageClasses": classes}))


@pytest.mark.parametrize("taken", ["metrics", "health"])
def test_ports_of_a_node_that_collide_are_refused(taken: str) -> None:
    assert "node.ports" in refusal(merged(MINIMUM, {"node": {"ports": {taken: 7443}}}))
