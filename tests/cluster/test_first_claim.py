"""Kubernetes itself uses the driver: claims become volumes, pods get them wherever they run, and nothing is left.

The driver's processes run in the hosts as tests.stack starts them, its sidecars beside the API server.
"""

from __future__ import annotations

import pytest

from csi_driver import DRIVER_NAME
from tests.cluster.cluster import Cluster
from tests.cluster.fixtures import cluster
from tests.cluster.sidecars import register_driver, run_sidecars
from tests.lab.waiting import eventually
from tests.stack.stack import CONTROLLER_SOCKET, SOCKET, Stack

__all__ = ["cluster"]

CLASS = f"""
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {{name: {DRIVER_NAME}}}
spec: {{attachRequired: true, podInfoOnMount: false, fsGroupPolicy: File}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: clinker}}
provisioner: {DRIVER_NAME}
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  storageClassName: clinker
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: writer}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {node}}}
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/busybox:1.36
      imagePullPolicy: Never
      command: [sh, -c, "echo {node} >>/data/visits; sync; sleep 100000"]
      volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"""


@pytest.fixture(scope="module")
def stack(cluster: Cluster) -> Stack:
    """The driver on every node, known to kubelet and to the sidecars."""
    stack = Stack(lab=cluster.lab)
    stack.up()
    register_driver(cluster, DRIVER_NAME, SOCKET)
    run_sidecars(cluster, stack.controller_host.socket(CONTROLLER_SOCKET))
    cluster.apply(CLASS)
    return stack


def visit(cluster: Cluster, node: str) -> str:
    """What a pod on that node reads after it has written; the pod stays."""
    cluster.apply(POD.format(node=node))
    cluster.wait("pod/writer", "condition=Ready", timeout=120)
    return cluster.kubectl("exec", "writer", "--", "cat", "/data/visits")


def leave(cluster: Cluster) -> None:
    cluster.kubectl("delete", "pod", "writer", "--timeout=100s", timeout=120)


def test_a_claim_follows_its_pod_through_the_cluster_and_grows(cluster: Cluster, stack: Stack) -> None:
    cluster.apply(CLAIM)
    assert visit(cluster, "host3") == "host3\n"  # has no disk: over iSCSI
    leave(cluster)
    assert visit(cluster, "host1") == "host3\nhost1\n"
    leave(cluster)
    assert visit(cluster, "host2") == "host3\nhost1\nhost2\n"
    cluster.kubectl("patch", "pvc", "data", "--patch", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')
    cluster.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi", timeout=120)
    size = int(cluster.kubectl("exec", "writer", "--", "stat", "-f", "-c", "%b", "/data")) * 4096
    assert size > 1.8 * (1 << 30)
    leave(cluster)
    cluster.delete(CLAIM)
    eventually(lambda: not cluster.kubectl("get", "pv,volumeattachment", "--output=name"), within=60)
    assert stack.leftovers() == {}
