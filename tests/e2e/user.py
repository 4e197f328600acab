"""What somebody with kubectl and a namespace does."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from csi_driver import DRIVER_NAME
from tests.cluster.cluster import Cluster
from tests.lab.waiting import eventually

IMAGE = "docker.io/library/busybox:1.36"
DATA, DEVICE = "/data", "/dev/data"
STORAGE_CLASS = "clinker"
RUNNING_LIMIT = 120.0
"""Seconds until a pod must run; some seconds when the machine is idle."""

Object = dict[str, Any]


def claim(name: str, size: str = "1Gi", *, mode: str = "Filesystem", **spec: Any) -> Object:
    """A claim; `spec` goes over its fields."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": STORAGE_CLASS,
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": mode,
            "resources": {"requests": {"storage": size}},
            **spec,
        },
    }


def storage_class(name: str, **fields: Any) -> Object:
    """A class of the driver; `fields` go over it, as in `parameters={...}`."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER_NAME,
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        **fields,
    }


def stateful_set(name: str, replicas: int, size: str) -> Object:
    """Pods that sleep, each with a claim of its own at DATA."""
    labels = {"app": name}
    template = pod(name, "")["spec"]
    del template["volumes"]
    made = claim("data", size)
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
            "volumeClaimTemplates": [{"metadata": made["metadata"], "spec": made["spec"]}],
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"},
        },
    }


def pod(name: str, claim_name: str, *, node: str = "", block: bool = False) -> Object:
    """A pod that sleeps with the claim at DATA, or at DEVICE when it is a block claim."""
    where = {"devicePath": DEVICE} if block else {"mountPath": DATA}
    container: Object = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sleep", "1000000"],
        "volumeDevices" if block else "volumeMounts": [{"name": "data", **where}],
    }
    spec: Object = {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}],
    }
    if node:
        # A selector and not nodeName: the scheduler must have its say.
        spec["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class User:
    """kubectl in a namespace of one's own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self._classes: list[str] = []

    def arrive(self) -> None:
        """Make the namespace, and wait until pods may be made in it."""
        self.cluster.kubectl("create", "namespace", self.namespace)
        eventually(lambda: bool(self.kubectl("get", "serviceaccounts", "--output=name")), within=30)

    def leave(self) -> None:
        """Remove the namespace and all that is in it."""
        limit = 180
        arguments = ["delete", "namespace", self.namespace, "--ignore-not-found", f"--timeout={limit}s"]
        self.cluster.kubectl(*arguments, timeout=limit + 20)
        for name in self._classes:
            self.cluster.kubectl("delete", "storageclass", name, "--ignore-not-found")

    def make_class(self, **fields: Any) -> str:
        """A class that goes when the user does; its name. Raises KubectlFailed when it is not let in."""
        name = f"{self.namespace[:50]}-{len(self._classes)}".strip("-")
        self._classes.append(name)
        self.cluster.apply(json.dumps(storage_class(name, **fields)))
        return name

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 60.0) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin, timeout=timeout)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "--filename=-", stdin=json.dumps(listed))

    def get(self, what: str) -> Object:
        """One object, as in `pvc/data`."""
        found: Object = json.loads(self.kubectl("get", what, "--output=json"))
        return found

    def wait(self, what: str, condition: str, *, timeout: float = RUNNING_LIMIT) -> None:
        self.cluster.wait(what, condition, namespace=self.namespace, timeout=timeout)

    def run(self, made: Mapping[str, Any], *, timeout: float = RUNNING_LIMIT) -> float:
        """Make a pod; the seconds until it was ready."""
        started = time.monotonic()
        self.apply(made)
        self.wait(f"pod/{made['metadata']['name']}", "condition=Ready", timeout=timeout)
        return time.monotonic() - started

    def shell(self, name: str, script: str, *, timeout: float = 60.0) -> str:
        """What a script prints in a pod."""
        return self.kubectl("exec", name, "--", "sh", "-ec", script, timeout=timeout)

    def remove(self, *what: str, timeout: float = 120.0) -> None:
        """Delete objects, as `pod/writer`, and return when they are gone."""
        self.kubectl("delete", *what, f"--timeout={timeout:.0f}s", timeout=timeout + 20)

    def node_of(self, name: str) -> str:
        """Where a pod runs."""
        return str(self.get(f"pod/{name}")["spec"]["nodeName"])

    def home_of(self, claim_name: str) -> str:
        """The host that has the logical volume of a claim."""
        handle = self.volume(claim_name)["spec"]["csi"]["volumeHandle"]
        look = ["lvs", "--noheadings", "--options=lv_name"]
        [home] = [host.name for host in self.cluster.lab.hosts if handle in host.run(look).stdout.split()]
        return home

    def volume(self, claim_name: str) -> Object:
        """The PersistentVolume that a claim is bound to."""
        name = self.get(f"pvc/{claim_name}")["spec"]["volumeName"]
        found: Object = json.loads(self.cluster.kubectl("get", f"pv/{name}", "--output=json"))
        return found

    def events(self, what: str) -> Sequence[str]:
        """Messages about one object, as in `pvc/data`."""
        kind, _, name = what.partition("/")
        kinds = {"pvc": "PersistentVolumeClaim", "pod": "Pod"}
        chosen = f"--field-selector=involvedObject.kind={kinds[kind]},involvedObject.name={name}"
        listed = json.loads(self.kubectl("get", "events", chosen, "--output=json"))
        return [each["message"] for each in listed["items"]]

    def await_event(self, what: str, *parts: str, timeout: float = 90.0) -> str:
        """The first event of an object that has all these parts; raises AssertionError with what there is instead."""
        deadline = time.monotonic() + timeout
        while True:
            seen = self.events(what)
            for message in seen:
                if all(part in message for part in parts):
                    return message
            if time.monotonic() > deadline:
                raise AssertionError(f"no event of {what} has {parts}; there are: {seen}")
            time.sleep(0.5)  # noqa: TID251  # a test has no event loop to block

    def await_scheduling_failure(self, name: str, *parts: str, timeout: float = 60.0) -> str:
        """What the scheduler says of a pod that it cannot place; raises AssertionError if it says something else."""
        deadline = time.monotonic() + timeout
        while True:
            conditions = self.get(f"pod/{name}")["status"].get("conditions", ())
            said = next((each.get("message", "") for each in conditions if each["type"] == "PodScheduled"), "")
            if all(part in said for part in parts):
                return str(said)
            if time.monotonic() > deadline:
                raise AssertionError(f"the scheduler says of pod {name}: {said!r}, not {parts}")
            time.sleep(0.5)  # noqa: TID251  # a test has no event loop to block
