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
        if request.method == "POST":
            body = await request.json()
            self.bodies.append(body)
            return web.json_response({**body, "status": self.reviews.get(body["spec"]["token"], {})}, status=201)
        if "watch" in request.query:
            return await self._watch(request)
        items = list(self.objects[request.path].values())
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

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
