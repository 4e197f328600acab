"""Claims and pods, for the hints of placing (``control.cluster.ClusterPort``): each asked for when it is needed."""

from __future__ import annotations

from urllib.parse import quote

from csi_driver.control.cluster import Claim
from csi_driver.errors import NotFound, Unavailable
from csi_driver.kube.api import Api, Json
from csi_driver.kube.informer import NAMES_ONLY


class Claims:
    """Asks the API server. ``api`` is set as soon as there is a way to it."""

    def __init__(self) -> None:
        self.api: Api | None = None

    async def claim(self, namespace: str, name: str) -> Claim | None:
        try:
            found = await self._get(f"{_collection(namespace, 'persistentvolumeclaims')}/{quote(name, safe='')}")
        except NotFound:
            return None
        return Claim(annotations=found["metadata"].get("annotations") or {})

    async def claims(self, namespace: str, selector: str) -> tuple[str, ...]:
        path = _collection(namespace, "persistentvolumeclaims")
        listed = await self._get(path, {"labelSelector": selector}, accept=NAMES_ONLY)
        return tuple(str(item["metadata"]["name"]) for item in listed.get("items") or ())

    async def node_of_pod(self, namespace: str, name: str) -> str:
        try:
            found = await self._get(f"{_collection(namespace, 'pods')}/{quote(name, safe='')}")
        except NotFound:
            return ""
        return str(found.get("spec", {}).get("nodeName", ""))

    async def _get(self, path: str, query: dict[str, str] | None = None, *, accept: str = "application/json") -> Json:
        if self.api is None:
            raise Unavailable("the way to the Kubernetes API is not known yet")
        return await self.api.get(path, query, accept=accept)


def _collection(namespace: str, resource: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/{resource}"
