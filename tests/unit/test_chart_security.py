"""What the chart's pods may do."""

from __future__ import annotations

import pytest

from tests.unit.chart import CHART, OWN_KEY, container, render

HOST_PATHS = {
    "/dev",
    "/lib/modules",
    "/run/lock",
    "/run/udev",
    "/sys",
    "/var/lib/clinker",
    "/var/lib/kubelet",
    "/var/lib/kubelet/plugins/csi.clinker.io",
    "/var/lib/kubelet/plugins_registry",
}


def test_a_node_has_one_container_and_no_way_to_the_api_server() -> None:
    node = render().node
    assert [each["name"] for each in node["containers"]] == ["node"]
    assert node["automountServiceAccountToken"] is False
    [token] = [volume["projected"] for volume in node["volumes"] if "projected" in volume]
    [source] = token["sources"]
    assert source["serviceAccountToken"]["audience"] == "csi.clinker.io"


def test_no_role_is_bound_to_the_nodes() -> None:
    subjects = [
        subject["name"]
        for each in render().objects
        if each["kind"].endswith("RoleBinding")
        for subject in each["subjects"]
    ]
    # The last is of a Job that runs before an uninstall.
    assert set(subjects) == {"clinker-controller", "clinker-uninstall"}


def test_a_node_never_gets_the_secret_of_the_controller() -> None:
    found = render()
    assert not [volume for volume in found.node["volumes"] if "secret" in volume]
    [secret] = [volume["secret"] for volume in found.controller["volumes"] if "secret" in volume]
    assert secret["secretName"] == "keys"


def test_a_controller_that_makes_its_own_key_may_touch_that_secret_and_no_other() -> None:
    found = render(OWN_KEY)
    assert not [volume for volume in found.controller["volumes"] if "secret" in volume]
    told = found.settings("clinker-controller").controller
    assert told.kubernetes is not None
    assert told.tls is not None
    assert str(told.tls.key) == "/run/clinker/tls/controller.key"
    [ca] = [volume["configMap"]["name"] for volume in found.node["volumes"] if volume["name"] == "ca"]
    assert told.kubernetes.ca_map == ca
    rules = found.get("Role", "clinker-controller")["rules"]
    secrets = [rule for rule in rules if rule["resources"] == ["secrets"]]
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in secrets] == [
        (None, ["create"]),
        ([told.kubernetes.secret], ["list", "watch", "update"]),
    ]
    assert not [
        rule for rule in found.get("ClusterRole", "clinker-controller")["rules"] if "secrets" in rule["resources"]
    ]
    given = render().get("Role", "clinker-controller")["rules"]
    assert not [rule for rule in given if "secrets" in rule["resources"]]


def test_the_chart_makes_no_secret() -> None:
    assert "Secret" not in render(OWN_KEY).kinds()
    assert "Secret" not in render().kinds()


def test_every_host_path_is_known_and_none_is_the_whole_host() -> None:
    node = render().node
    assert {volume["hostPath"]["path"] for volume in node["volumes"] if "hostPath" in volume} == HOST_PATHS
    assert not [volume for volume in render().controller["volumes"] if "hostPath" in volume]


def test_every_host_path_and_namespace_has_its_reason() -> None:
    lines = (CHART / "templates" / "node" / "daemonset.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if "hostPath:" in line:
            assert lines[number - 2].strip().startswith("#"), line
        if line.strip() in {"hostNetwork: true", "hostPID: true", "hostIPC: true", "privileged: true"}:
            assert lines[number - 1].strip().startswith("#"), line


def test_every_rule_has_its_reason() -> None:
    lines = (CHART / "templates" / "controller" / "rbac.yaml").read_text().splitlines()
    rules = [number for number, line in enumerate(lines) if line.strip().startswith("- apiGroups:")]
    assert len(rules) > 10
    for number in rules:
        assert lines[number - 1].strip().startswith("#"), lines[number]


def test_mounts_reach_the_pods_and_what_the_host_makes_reaches_us() -> None:
    mounts = {
        mount["mountPath"]: mount.get("mountPropagation") for mount in container(render().node, "node")["volumeMounts"]
    }
    assert mounts["/var/lib/kubelet"] == "Bidirectional"
    assert mounts["/dev"] == mounts["/sys"] == "HostToContainer"


@pytest.mark.parametrize("name", ["controller", "provisioner", "attacher", "resizer"])
def test_the_controller_and_its_sidecars_have_no_privilege(name: str) -> None:
    spec = render().controller
    assert spec["securityContext"]["runAsNonRoot"] is True
    secured = container(spec, name)["securityContext"]
    assert secured == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_node_is_privileged_but_its_root_is_read_only() -> None:
    secured = container(render().node, "node")["securityContext"]
    assert secured["privileged"] is True
    assert secured["readOnlyRootFilesystem"] is True


def test_the_driver_object_says_what_the_driver_does() -> None:
    spec = render().get("CSIDriver", "csi.clinker.io")["spec"]
    assert spec == {
        "attachRequired": True,
        "podInfoOnMount": False,
        "volumeLifecycleModes": ["Persistent"],
        "storageCapacity": True,
        "fsGroupPolicy": "File",
        "seLinuxMount": True,
    }


def test_all_that_is_in_a_namespace_is_in_the_releases() -> None:
    cluster_wide = {
        *("CSIDriver", "StorageClass", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    }
    for each in render().objects:
        assert (each["metadata"].get("namespace") == "storage") == (each["kind"] not in cluster_wide)
