"""Objects in the API server, as an administrator makes and removes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from csi_driver.errors import NotFound
from csi_driver.kube.api import Api
from tests.unit.chart import OWN_KEY, render

NAMESPACE = "storage"
"""Where ``tests.unit.chart`` renders the chart to."""
CONTROLLER, NODE = "clinker-controller", "clinker-node"
POOLS, KEYS, CA_MAP = "clinker-pools", "clinker-keys", "clinker-ca"
Object = dict[str, Any]
SELECTOR = {"app.kubernetes.io/name": "clinker", "app.kubernetes.io/component": "node"}

_FOLDERS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "/api/v1/namespaces",
}
STORAGE_NODES = "/apis/clinker.io/v1alpha1/storagenodes"
NODES, CSI_NODES, PODS = "/api/v1/nodes", "/apis/storage.k8s.io/v1/csinodes", f"/api/v1/namespaces/{NAMESPACE}/pods"
MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


async def install_chart(api: Api, values: Mapping[str, Any] | None = None) -> None:
    """What of the chart needs no node: service accounts, rules, the CRD."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await api.post(_FOLDERS["Namespace"], namespace)
    for each in render(OWN_KEY, values or {}).objects:
        if each["kind"] in _FOLDERS and "helm.sh/hook" not in each["metadata"].get("annotations", {}):
            await api.post(_FOLDERS[each["kind"]].format(NAMESPACE), each)


async def token(api: Api, account: str, *, audience: str = "", pod: Object | None = None) -> str:
    """A token of a service account; bound to a pod, as kubelet asks for it, it says on which node that is."""
    spec: Object = {"expirationSeconds": 3600, "audiences": [audience] if audience else []}
    if pod is not None:
        reference = {"kind": "Pod", "apiVersion": "v1"} | {key: pod["metadata"][key] for key in ("name", "uid")}
        spec["boundObjectRef"] = reference
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    answer = await api.post(f"{_FOLDERS['ServiceAccount'].format(NAMESPACE)}/{account}/token", body)
    return str(answer["status"]["token"])


async def make_node(api: Api, name: str, labels: Mapping[str, str] | None = None) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": dict(labels or {})}}
    await api.post(NODES, node)


async def make_pod(api: Api, node: str, address: str) -> Object:
    """A pod of the DaemonSet on that node, running at that address."""
    spec = {
        "nodeName": node,
        "serviceAccountName": NODE,
        "automountServiceAccountToken": False,
        "containers": [{"name": "node", "image": "clinker"}],
    }
    metadata = {"name": f"node-{node}", "labels": SELECTOR}
    made = await api.post(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": address}
    await api.set(f"{PODS}/{made['metadata']['name']}/status", "status", status)
    return dict(made)


async def get(api: Api, path: str) -> Object | None:
    try:
        return dict(await api.get(path))
    except NotFound:
        return None


class Administrator:
    """What ``Api`` cannot do, as the driver never does it."""

    def __init__(self, api: Api, kubeconfig: Path) -> None:
        self.api, self.kubeconfig = api, kubeconfig

    async def delete(self, path: str) -> None:
        """At once, if it is there; of a collection everything."""
        await self._request("DELETE", path, body={"gracePeriodSeconds": 0})

    async def table(self, path: str) -> list[dict[str, str]]:
        """What ``kubectl get`` prints: the API server makes the columns."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        found = await self._request("GET", path, accept=accept)
        names = [str(column["name"]) for column in found["columnDefinitions"] if not column["priority"]]
        return [dict(zip(names, map(str, row["cells"]), strict=False)) for row in found["rows"]]

    async def _request(
        self, method: str, path: str, *, body: Object | None = None, accept: str = "application/json"
    ) -> Object:
        prepared = await self.api._client.param_serialize(
            method, path, header_params={"Accept": accept, "Content-Type": "application/json"}, body=body
        )
        answer = await self.api._client.call_api(*prepared, _request_timeout=aiohttp.ClientTimeout(total=60))
        async with answer.response as response:
            assert response.status < 300 or response.status == 404, await response.text()
            found: Object = await response.json()
            return found
