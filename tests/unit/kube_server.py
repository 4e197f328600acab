"""A small API server on a real socket: lists, watches, token reviews, and whatever may go wrong with them."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from kubernetes.aio import client

from csi_driver.kube.api import Api

Object = dict[str, Any]
AUDIENCE, USER = "csi.clinker.io", "system:serviceaccount:clinker:clinker-node"


def pod(name: str, node: str, address: str = "", *, ending: bool = False, made: str = "2026-11-01T00:00:00Z") -> Object:
    metadata = {"name": name, "creationTimestamp": made, "labels": {"app": "node"}}
    if ending:
        metadata["deletionTimestamp"] = "2026-11-02T00:00:00Z"
    spec = {"nodeName": node} if node else {}
    return {"metadata": metadata, "spec": spec, "status": {"podIP": address} if address else {}}


def csi_node(name: str, *drivers: str) -> Object:
    return {"metadata": {"name": name}, "spec": {"drivers": [{"name": driver} for driver in drivers]}}


def review(node: str, *, user: str = USER, audiences: tuple[str, ...] = (AUDIENCE,), valid: bool = True) -> Object:
    """The status of a TokenReview."""
    extra = {"authentication.kubernetes.io/node-name": [node]} if node else {}
    if not valid:
        return {"error": "token has expired"}
    return {"authenticated": True, "audiences": list(audiences), "user": {"username": user, "extra": extra}}


class KubeServer:
    """Collections by path. ``failures`` are statuses to answer next, by path; ``reviews`` are statuses by token,
    ``last_words`` what a watch writes when it is cut.
    """

    PODS, NODES, CSI_NODES = "/api/v1/namespaces/clinker/pods", "/api/v1/nodes", "/apis/storage.k8s.io/v1/csinodes"
    STORAGE_NODES = "/apis/clinker.io/v1alpha1/storagenodes"
    LEASES = "/apis/coordination.k8s.io/v1/namespaces/clinker/leases"
    REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

    MAPS = "/api/v1/namespaces/clinker/configmaps"
    SINGLE = (LEASES, MAPS)
    """Collections whose objects are asked for one by one, and may not be there."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 0
        self.address = ""
        self.objects: defaultdict[str, dict[str, Object]] = defaultdict(dict)
        self.history: list[tuple[int, str, Object]] = []
        self.failures: defaultdict[str, list[int]] = defaultdict(list)
        self.reviews: dict[str, Object] = {}
        self.requests: list[web.Request] = []
        self.bodies: list[Object] = []
        self.last_words = b""
        self._changed = asyncio.Condition()
        self._cut = asyncio.Event()

    async def put(self, path: str, item: Object) -> None:
        """Add or modify."""
        name = item["metadata"]["name"]
        await self._record(path, "MODIFIED" if name in self.objects[path] else "ADDED", item)

    async def remove(self, path: str, name: str) -> None:
        await self._record(path, "DELETED", self.objects[path][name])

    async def bookmark(self, path: str) -> None:
        await self._record(path, "BOOKMARK", {"metadata": {"name": ""}})

    async def send(self, path: str, kind: str, item: Object) -> None:
        """Any event as it is."""
        self.history.append((self.version, path, {"type": kind, "object": item}))
        async with self._changed:
            self._changed.notify_all()

    def forget_history(self) -> None:
        """As etcd does when it is compacted."""
        self.oldest = self.version
        self.history.clear()

    async def cut(self) -> None:
        """End every watch."""
        self._cut.set()
        async with self._changed:
            self._changed.notify_all()
        await asyncio.sleep(0)
        self._cut = asyncio.Event()

    def count(self, path: str, *, watch: bool) -> int:
        return sum(each.path == path and ("watch" in each.query) == watch for each in self.requests)

    async def _record(self, path: str, kind: str, item: Object) -> None:
        self.version += 1
        item = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self.version)}}
        name = item["metadata"]["name"]
        if kind == "DELETED":
            del self.objects[path][name]
        elif kind != "BOOKMARK":
            self.objects[path][name] = item
        await self.send(path, kind, item)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self.failures[request.path]:
            status = self.failures[request.path].pop(0)
            return web.json_response({"kind": "Status", "message": f"told to answer {status}"}, status=status)
        if request.method != "GET":
            body = await request.json()
            self.bodies.append(body)
            if request.path == self.REVIEWS:
                return web.json_response({**body, "status": self.reviews.get(body["spec"]["token"], {})}, status=201)
            return await self._change(request, body)
        folder, _, name = request.path.rpartition("/")
        if name in self.objects.get(folder, {}) or (folder in self.SINGLE and request.path not in self.objects):
            return self._single(folder, name)
        if "watch" in request.query:
            return await self._watch(request)
        items = list(self.objects[request.path].values())
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    def _single(self, folder: str, name: str) -> web.StreamResponse:
        found = self.objects[folder].get(name)
        return _refusal(404, "not found") if found is None else web.json_response(found)

    async def _change(self, request: web.Request, body: Any) -> web.StreamResponse:
        """POST into a collection; PUT, and PATCH in both ways, of an object in one."""
        if request.method == "POST":
            if body["metadata"]["name"] in self.objects[request.path]:
                return _refusal(409, "already exists")
            await self.put(request.path, body)
            return web.json_response(self.objects[request.path][body["metadata"]["name"]], status=201)
        folder, _, name = request.path.removesuffix("/status").rpartition("/")
        there = self.objects[folder].get(name)
        if there is None:
            return _refusal(404, "not found")
        if isinstance(body, list):
            await self.put(folder, {**there, **{each["path"].removeprefix("/"): each["value"] for each in body}})
            return web.json_response(self.objects[folder][name])
        if body.get("metadata", {}).get("resourceVersion", "") not in ("", there["metadata"]["resourceVersion"]):
            return _refusal(409, "the object has been modified")
        await self.put(folder, body if request.method == "PUT" else _merged(there, body))
        return web.json_response(self.objects[folder][name])

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response, cut = web.StreamResponse(), self._cut
        await response.prepare(request)
        since = int(request.query["resourceVersion"])
        if since < self.oldest:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}
            await response.write(json.dumps(gone).encode() + b"\n")
            return response
        sent = next((at for at, entry in enumerate(self.history) if entry[0] > since), len(self.history))
        while not cut.is_set():
            for _, path, event in self.history[sent:]:
                if path == request.path:
                    await response.write(json.dumps(event).encode() + b"\n")
            sent = len(self.history)
            async with self._changed:
                if sent == len(self.history) and not cut.is_set():
                    await self._changed.wait()
        await response.write(self.last_words)
        return response

    def kubeconfig(self, folder: Path) -> Path:
        """A file that leads here."""
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.address}}],
            "users": [{"name": "u", "user": {"token": "of-the-controller"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(config))
        return path


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=status)


def _merged(there: Any, change: Any) -> Any:
    """RFC 7396."""
    if not isinstance(change, dict):
        return change
    found = dict(there) if isinstance(there, dict) else {}
    for key, value in change.items():
        found[key] = _merged(found.get(key), value)
    return {key: value for key, value in found.items() if value is not None}


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[KubeServer, Api]]:
    """An API server, and a connection to it."""
    server = KubeServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    api = Api(client.Configuration(host=server.address))
    try:
        yield server, api
    finally:
        await api.close()
        await server.cut()
        await runner.cleanup()
