"""The Kubernetes API as JSON: get, post, put, change, watch.

The official client knows where the API server is and who we are, and keeps the token fresh. Its models are not used:
of thousands of objects we read a few fields each.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from csi_driver.errors import Busy, Denied, DriverError, InvalidRequest, NotFound, Precondition, Unavailable

Json = Mapping[str, Any]

JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
PATIENCE = 30.0
"""Seconds for one answer."""
WATCH = 240
"""Seconds after which the API server ends a watch, so that a connection that died unseen is noticed."""
LONGEST_LINE = 8 * 1024 * 1024
"""Bytes of one event; etcd's own limit of an object is 1.5 MiB."""


class Expired(Precondition):
    """The API server no longer knows the version to go on from: everything must be listed again."""


class Conflict(Busy):
    """Somebody else was faster: the object was made, or changed, meanwhile."""


class Api:
    """A connection to the API server; ``close`` it. Every call raises Unavailable when there is no answer, and Denied
    when our service account may not.
    """

    def __init__(self, configuration: client.Configuration) -> None:
        # Python 3.13 asks more of a CA than Kubernetes' own clients do, and many clusters' CAs do not have it.
        configuration.disable_strict_ssl_verification = True
        self._client = client.ApiClient(configuration)

    async def close(self) -> None:
        """Give up the connection."""
        await self._client.close()  # type: ignore[no-untyped-call]  # most of the client has types

    async def get(self, path: str, query: Mapping[str, str] | None = None, *, accept: str = JSON) -> Json:
        """The object or list at ``path``."""
        async with self._request("GET", path, query or {}, accept=accept, limit=PATIENCE) as response:
            return _parse(await response.read())

    async def post(self, path: str, body: Json) -> Json:
        """What the API server makes of ``body``. Conflict when there is an object of that name."""
        async with self._request("POST", path, {}, limit=PATIENCE, body=body) as response:
            return _parse(await response.read())

    async def put(self, path: str, body: Json) -> Json:
        """The object, replaced. Conflict when ``body`` is not made from its latest version."""
        async with self._request("PUT", path, {}, limit=PATIENCE, body=body) as response:
            return _parse(await response.read())

    async def merge(self, path: str, body: Json) -> Json:
        """The object with the fields of ``body`` over its own, and without those that are None (RFC 7396). With
        ``metadata.resourceVersion`` in it: Conflict when that is not the latest.
        """
        async with self._request("PATCH", path, {}, limit=PATIENCE, body=body, sent=MERGE_PATCH) as response:
            return _parse(await response.read())

    async def set(self, path: str, field: str, value: Json) -> Json:
        """The object with just ``value`` as its top-level ``field`` (RFC 6902, "add")."""
        body: list[Json] = [{"op": "add", "path": f"/{field}", "value": value}]
        async with self._request("PATCH", path, {}, limit=PATIENCE, body=body, sent=JSON_PATCH) as response:
            return _parse(await response.read())

    async def watch(
        self, path: str, query: Mapping[str, str], *, version: str, accept: str = JSON
    ) -> AsyncGenerator[Json, None]:
        """Each event after ``version``, ``{"type": ..., "object": ...}``, until the API server ends the watch, which
        it does after some minutes. Expired when it does not know that version any more.
        """
        asked = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH),
        }
        async with self._request("GET", path, asked, accept=accept, limit=WATCH + PATIENCE) as response:
            while line := await response.content.readline(max_line_length=LONGEST_LINE):
                event = _parse(line)
                if event.get("type") == "ERROR":
                    raise _meaning(int(event["object"].get("code") or 0), str(event["object"].get("message")))
                yield event

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        limit: float,
        accept: str = JSON,
        sent: str = JSON,
        body: Json | list[Json] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            prepared = await self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": accept, "Content-Type": sent},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*prepared, _request_timeout=aiohttp.ClientTimeout(total=limit))
            response: aiohttp.ClientResponse = answer.response
            async with response:
                if response.status >= 300:
                    raise _meaning(response.status, _message(await response.text()))
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"the Kubernetes API does not answer: {str(error) or type(error).__name__}") from error
        except config.ConfigException as error:
            raise Unavailable(f"our own service account's token cannot be read: {error}") from error


async def connect(kubeconfig: str = "") -> Api:
    """By the kubeconfig file of that path; empty: by the service account of our pod. InvalidRequest without either."""
    configuration = client.Configuration()
    try:
        if kubeconfig:
            load = config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)  # type: ignore[no-untyped-call]
            await load
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise InvalidRequest(f"the way to the Kubernetes API is not known: {error}") from error
    return Api(configuration)


_MEANINGS: Mapping[int, type[DriverError]] = {
    400: InvalidRequest,
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: InvalidRequest,
}


def _meaning(status: int, message: str) -> DriverError:
    """Any other status is the API server's own trouble, and passes: too many requests, starting, stopping."""
    return _MEANINGS.get(status, Unavailable)(f"the Kubernetes API answers {status}: {message}")


def _message(text: str) -> str:
    """What a Status object says; whatever came, when it is none."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return text[:500]


def _parse(data: bytes) -> Json:
    try:
        parsed = json.loads(data)
    except ValueError as error:  # a connection that broke within a line
        raise Unavailable("the Kubernetes API's answer was cut off") from error
    if not isinstance(parsed, dict):
        raise Unavailable("the Kubernetes API's answer is no object")
    return parsed
