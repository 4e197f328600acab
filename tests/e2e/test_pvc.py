"""A claim, a pod: data follows the pod through the cluster, volumes grow under it, and nothing is left."""

from __future__ import annotations

import json

import pytest

from csi_driver import DRIVER_NAME
from tests.cluster.cluster import Cluster, KubectlFailed
from tests.e2e.install import NAMESPACE, ZONES
from tests.e2e.user import DATA, DEVICE, User, claim, pod
from tests.lab.waiting import eventually

GIB = 1 << 30


def test_every_node_is_known_to_kubernetes(cluster: Cluster) -> None:
    for name in cluster.nodes:
        [driver] = json.loads(cluster.kubectl("get", f"csinode/{name}", "--output=json"))["spec"]["drivers"]
        assert (driver["name"], driver["nodeID"]) == (DRIVER_NAME, name)
        assert sorted(driver["topologyKeys"]) == ["csi.clinker.io/node", "topology.kubernetes.io/zone"]
        labels = json.loads(cluster.kubectl("get", f"node/{name}", "--output=json"))["metadata"]["labels"]
        assert (labels["csi.clinker.io/node"], labels["topology.kubernetes.io/zone"]) == (name, ZONES[name])


def test_data_follow_a_pod_from_node_to_node(user: User, cluster: Cluster) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host1"))
    assert user.shell("writer", f"echo one >{DATA}/visits; sync; df -P {DATA} | tail -1").split()[-1] == DATA
    assert not cluster.lab.host("host1").run(["sh", "-c", "ls /sys/class/iscsi_session"], check=False).stdout.split()
    user.remove("pod/writer")

    user.run(pod("writer", "data", node="host3"))  # has no disk: over iSCSI
    assert cluster.lab.host("host3").run(["sh", "-c", "ls /sys/class/iscsi_session"]).stdout.split()
    assert user.shell("writer", f"cat {DATA}/visits; echo two >>{DATA}/visits; sync") == "one\n"
    user.remove("pod/writer")

    user.run(pod("writer", "data", node="host2"))
    assert user.shell("writer", f"cat {DATA}/visits; echo three >>{DATA}/visits; sync") == "one\ntwo\n"
    user.remove("pod/writer")

    user.run(pod("writer", "data", node="host1"))
    assert user.shell("writer", f"cat {DATA}/visits") == "one\ntwo\nthree\n"


def test_a_claim_waits_for_its_pod_and_is_made_where_that_is(user: User) -> None:
    user.apply(claim("data"))
    user.wait("pvc/data", "jsonpath={.status.phase}=Pending", timeout=10)
    user.run(pod("writer", "data", node="host2"))
    volume = user.volume("data")
    assert volume["spec"]["csi"]["driver"] == DRIVER_NAME
    assert volume["spec"]["csi"]["fsType"] == "ext4"
    # The network reaches every node, so the pod is bound to none.
    assert "nodeAffinity" not in volume["spec"]


def test_a_block_claim_is_a_device_with_the_same_bytes_on_another_node(user: User) -> None:
    user.apply(claim("raw", mode="Block"))
    user.run(pod("writer", "raw", node="host1", block=True))
    assert int(user.shell("writer", f"blockdev --getsize64 {DEVICE}")) == GIB
    script = f"head -c 1048576 /dev/urandom >/tmp/seen; dd if=/tmp/seen of={DEVICE} bs=1M seek=7 conv=fsync 2>/dev/null"
    wrote = user.shell("writer", f"{script}; sha256sum </tmp/seen")
    user.remove("pod/writer")
    user.run(pod("reader", "raw", node="host3", block=True))
    assert user.shell("reader", f"dd if={DEVICE} bs=1M skip=7 count=1 2>/dev/null | sha256sum") == wrote


@pytest.mark.parametrize("node", ["host1", "host3"])
def test_a_file_system_grows_under_its_pod(user: User, node: str) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node=node))
    before = size(user, "writer")
    assert before < GIB
    user.shell("writer", f"head -c 1048576 /dev/urandom >{DATA}/f; sha256sum {DATA}/f >/tmp/sum; sync")
    grow(user, "data", "2Gi")
    assert size(user, "writer") > 1.8 * GIB
    assert "OK" in user.shell("writer", "sha256sum -c /tmp/sum")


def test_a_block_device_grows_under_its_pod(user: User) -> None:
    user.apply(claim("raw", mode="Block"))
    user.run(pod("writer", "raw", node="host3", block=True))
    grow(user, "raw", "2Gi")
    eventually(lambda: int(user.shell("writer", f"blockdev --getsize64 {DEVICE}")) == 2 * GIB, within=60)


def test_a_claim_without_a_pod_grows_when_a_pod_comes(user: User) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host1"))
    user.remove("pod/writer")
    patch(user, "data", "2Gi")
    eventually(lambda: user.volume("data")["spec"]["capacity"]["storage"] == "2Gi", within=60)
    user.run(pod("writer", "data", node="host2"))
    user.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi")
    assert size(user, "writer") > 1.8 * GIB


def test_a_claim_cannot_shrink(user: User) -> None:
    user.apply(claim("data", "2Gi"))
    user.run(pod("writer", "data"))
    with pytest.raises(KubectlFailed, match="less than"):
        patch(user, "data", "1Gi")


def test_a_claim_that_fits_nowhere_says_which_pools_there_are(user: User) -> None:
    user.apply(claim("huge", "500Gi"))
    user.apply(pod("writer", "huge"))
    eventually(lambda: any("did not have enough free storage" in each for each in user.events("pod/writer")), within=60)
    assert user.get("pvc/huge")["status"]["phase"] == "Pending"


def test_the_scheduler_is_told_the_room_of_every_node(cluster: Cluster) -> None:
    listed = cluster.kubectl("get", "csistoragecapacities", f"--namespace={NAMESPACE}", "--output=json")
    nodes = {
        each["nodeTopology"]["matchLabels"]["csi.clinker.io/node"]: each
        for each in json.loads(listed)["items"]
        if each["storageClassName"] == "clinker"
    }
    assert nodes.keys() == cluster.nodes.keys()
    assert nodes["host3"]["capacity"] == "0"
    # What a pod there can get comes over the network.
    assert nodes["host3"]["maximumVolumeSize"] == nodes["host1"]["maximumVolumeSize"]


def size(user: User, name: str) -> int:
    """Bytes of the file system that a pod has."""
    blocks, unit = user.shell(name, f"stat -f -c '%b %S' {DATA}").split()
    return int(blocks) * int(unit)


def patch(user: User, name: str, to: str) -> None:
    wanted = {"spec": {"resources": {"requests": {"storage": to}}}}
    user.kubectl("patch", "pvc", name, "--patch", json.dumps(wanted))


def grow(user: User, name: str, to: str) -> None:
    """Return when kubelet has seen the new size too."""
    patch(user, name, to)
    user.wait(f"pvc/{name}", f"jsonpath={{.status.capacity.storage}}={to}")
