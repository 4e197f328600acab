"""What the chart does only when asked, and what it does around an installation."""

from __future__ import annotations

import pytest

from tests.unit.chart import MINIMUM, Object, container, merged, refusal, render
from tools.images_list import images

SIDECARS = ("attacher", "provisioner", "resizer")
LEAST = [
    *("--set", "pools[0].name=a,pools[0].vg=b"),
    *("--set", "tls.existingSecret=c,tls.caConfigMap=d"),
]


def hook(item: Object) -> str:
    return str(item["metadata"].get("annotations", {}).get("helm.sh/hook", ""))


# Uninstalling


def test_an_uninstall_asks_first_and_cleans_up_after_itself() -> None:
    hooks = [each for each in render().objects if hook(each) == "pre-delete"]
    assert [each["kind"] for each in hooks] == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"]
    for each in hooks:
        policy = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
        assert set(policy.split(",")) == {"before-hook-creation", "hook-succeeded", "hook-failed"}
    weights = [int(each["metadata"]["annotations"].get("helm.sh/hook-weight", 0)) for each in hooks]
    assert weights == sorted(weights)
    job = hooks[-1]
    assert job["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed"
    assert job["spec"]["backoffLimit"] == 0
    spec = job["spec"]["template"]["spec"]
    assert container(spec, "check")["args"] == ["uninstall-check"]
    assert container(spec, "check")["image"] == container(render().node, "node")["image"]


def test_the_check_may_only_list_what_it_counts() -> None:
    role = render().get("ClusterRole", "clinker-uninstall")
    rights = {(*rule["apiGroups"], *rule["resources"], *rule["verbs"]) for rule in role["rules"]}
    assert rights == {("", "persistentvolumes", "list"), ("storage.k8s.io", "volumeattachments", "list")}


def test_the_check_can_be_switched_off() -> None:
    found = render({"uninstall": {"refuseWhileInUse": False}})
    assert not [each for each in found.objects if hook(each) == "pre-delete"]


# helm test


def test_the_test_uses_the_first_class() -> None:
    found = render({"storageClasses": [{"name": "one"}, {"name": "two"}]})
    claim, pod = (each for each in found.objects if hook(each) == "test")
    assert claim["spec"]["storageClassName"] == "one"
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert pod["spec"]["containers"][0]["image"] == container(found.node, "node")["image"]


def test_without_a_class_there_is_nothing_to_test() -> None:
    assert not [each for each in render({"storageClasses": []}).objects if hook(each) == "test"]


# Options


def test_nothing_optional_is_there_unasked() -> None:
    assert not render().kinds() & {"PodMonitor", "NetworkPolicy"}
    bindings = [each["roleRef"]["name"] for each in render().objects if each["kind"] == "RoleBinding"]
    assert bindings == ["clinker-controller"]


def test_pod_monitors_name_ports_that_there_are() -> None:
    values = {"monitoring": {"podMonitor": {"enabled": True, "labels": {"team": "x"}, "interval": "15s"}}}
    found = render(values)
    for name, spec in (("controller", found.controller), ("node", found.node)):
        monitor = found.get("PodMonitor", f"clinker-{name}")
        assert monitor["metadata"]["labels"]["team"] == "x"
        ports = {port["name"] for each in spec["containers"] for port in each["ports"]}
        endpoints = monitor["spec"]["podMetricsEndpoints"]
        assert {each["port"] for each in endpoints} <= ports
        assert {each["interval"] for each in endpoints} == {"15s"}
    listed = found.get("PodMonitor", "clinker-controller")["spec"]["podMetricsEndpoints"]
    assert {each["port"] for each in listed} == {"metrics", *SIDECARS}


def test_the_network_policy_lets_probes_and_monitoring_in() -> None:
    found = render({"networkPolicy": {"enabled": True}})
    policy = found.get("NetworkPolicy", "clinker-controller")["spec"]
    labels = found.get("Deployment", "clinker-controller")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress"]
    [rule] = policy["ingress"]
    served = {port["name"] for each in found.controller["containers"] for port in each["ports"]}
    assert {each["port"] for each in rule["ports"]} == served


def test_openshift_lets_the_pods_be_what_they_are() -> None:
    found = render({"openshift": {"enabled": True}})
    for name, constraint in (("node", "privileged"), ("controller", "nonroot-v2")):
        binding = found.get("RoleBinding", f"clinker-{name}-scc")
        assert binding["roleRef"]["name"] == f"system:openshift:scc:{constraint}"
        assert binding["subjects"][0]["name"] == f"clinker-{name}"


@pytest.mark.parametrize("name", SIDECARS)
def test_ports_of_sidecars_can_be_moved(name: str) -> None:
    sidecar = container(render({"sidecars": {name: {"port": 18080}}}).controller, name)
    assert "--http-endpoint=:18080" in sidecar["args"]
    assert sidecar["ports"] == [{"name": name, "containerPort": 18080}]


def test_ports_of_sidecars_that_collide_are_refused() -> None:
    assert "controller.ports" in refusal(merged(MINIMUM, {"sidecars": {"resizer": {"port": 9808}}}))


# Images


def test_the_list_of_images_names_every_one_of_them() -> None:
    found = render()
    pulled = {each["image"] for spec in (found.node, found.controller) for each in spec["containers"]}
    listed = images(["--set", "image.repository=registry.example.org/clinker", *LEAST])
    assert set(listed) == pulled
    assert listed == sorted(listed)
    assert images([])[0].startswith("localhost/clinker:")
