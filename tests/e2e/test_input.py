"""What cannot be is said where the user looks, and nothing is left of it."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest

from tests.cluster.cluster import Cluster, KubectlFailed
from tests.e2e.test_pvc import GIB, patch, size
from tests.e2e.user import User, claim, pod

POLICY = "validatingadmissionpolicybinding/clinker-classes"


@pytest.fixture
def without_policy(cluster: Cluster) -> Generator[None]:
    """A cluster whose operator has switched the check of classes off."""
    kept = json.loads(cluster.kubectl("get", POLICY, "--output=json"))
    cluster.kubectl("delete", POLICY)
    yield
    metadata = {key: kept["metadata"][key] for key in ("name", "labels", "annotations")}
    cluster.apply(json.dumps({**kept, "metadata": metadata}))


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"acess": "local"}, "unknown parameter acess; known are"),
        ({"access": "everywhere"}, "parameter access must be one of prefer-local, local, network"),
        ({"pool": "a/b"}, "parameter pool must match"),
        ({"csi.storage.k8s.io/fstype": "btrfs"}, "parameter csi.storage.k8s.io/fstype must be one of ext4, xfs"),
    ],
)
def test_a_class_that_no_volume_could_be_made_by_is_not_let_in(
    user: User, parameters: dict[str, str], said: str
) -> None:
    with pytest.raises(KubectlFailed) as raised:
        user.make_class(parameters=parameters)
    assert said in str(raised.value)


def test_a_class_of_another_driver_is_nobodys_business_here(user: User) -> None:
    assert user.make_class(provisioner="other.example.org", parameters={"anything": "goes"})


@pytest.mark.usefixtures("without_policy")
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"acess": "local"}, "unknown parameter 'acess'; known are: access"),
        ({"csi.storage.k8s.io/fstype": "btrfs"}, "btrfs"),
        ({"pool": "none-has-this-name"}, "the class asks for pool none-has-this-name"),
    ],
)
def test_a_claim_by_a_class_that_cannot_be_says_so(user: User, parameters: dict[str, str], said: str) -> None:
    name = user.make_class(parameters=parameters, volumeBindingMode="Immediate")
    user.apply(claim("data", storageClassName=name))
    user.await_event("pvc/data", said)
    assert user.get("pvc/data")["status"]["phase"] == "Pending"


def test_a_claim_of_no_size_is_not_let_in(user: User) -> None:
    with pytest.raises(KubectlFailed, match="must be greater than zero"):
        user.apply(claim("data", "0"))


def test_a_tiny_claim_is_rounded_up(user: User) -> None:
    user.apply(claim("data", "1"))
    user.run(pod("writer", "data"))
    assert size(user, "writer") > 1 << 20


def test_a_file_system_for_many_nodes_is_refused_in_words(user: User) -> None:
    name = user.make_class(volumeBindingMode="Immediate")
    user.apply(claim("data", storageClassName=name, accessModes=["ReadWriteMany"]))
    user.await_event("pvc/data", "not offered")


def test_a_mount_option_that_nobody_knows_is_an_event_of_the_pod(user: User) -> None:
    name = user.make_class(mountOptions=["no-such-option"])
    user.apply(claim("data", storageClassName=name), pod("writer", "data", node="host1"))
    user.await_event("pod/writer", "no-such-option")
    user.remove("pod/writer", "pvc/data")


def test_a_claim_that_grows_beyond_its_pool_says_so_and_can_be_taken_back(user: User) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host1"))
    patch(user, "data", "500Gi")
    user.await_event("pvc/data", "cannot grow volume", "499 GiB more are needed")
    patch(user, "data", "2Gi")
    user.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi", timeout=240)
    assert size(user, "writer") > 1.8 * GIB


def test_a_pod_that_is_told_of_a_claim_that_is_not_there_waits_for_it(user: User) -> None:
    user.apply(pod("early", "late", node="host2"))
    user.await_scheduling_failure("early", 'persistentvolumeclaim "late" not found')
    user.apply(claim("late"))
    user.wait("pod/early", "condition=Ready")


def test_a_claim_deleted_under_its_pod_goes_with_it(user: User) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data"))
    user.kubectl("delete", "pvc/data", "--wait=false")
    assert user.shell("writer", "echo on >/data/f; cat /data/f") == "on\n"
    user.remove("pod/writer")
    user.wait("pvc/data", "delete")
