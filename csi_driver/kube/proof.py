"""Whether a token proves what an agent says that it is.

A pod's projected token names the pod's node (Kubernetes 1.32, ServiceAccountTokenNodeBinding's claims), and the API
server says so when it reviews the token: authentication.k8s.io/v1, TokenReview.
"""

from __future__ import annotations

from csi_driver.errors import Denied, Unavailable
from csi_driver.kube.api import Api, Json
from csi_driver.settings import KubernetesSettings

PATH = "/apis/authentication.k8s.io/v1/tokenreviews"
NODE_NAME = "authentication.kubernetes.io/node-name"


class TokenReviews:
    """Asks the API server, each time: a token may have been revoked with its pod."""

    def __init__(self, api: Api, settings: KubernetesSettings) -> None:
        self._api, self._audience = api, settings.audience
        self._user = f"system:serviceaccount:{settings.namespace}:{settings.service_account}"

    async def check(self, node: str, token: str) -> None:
        """Return when ``token`` is the agents' service account's, for our audience, from a pod on ``node``.

        Denied, saying what is wrong, when it is not. Unavailable when the API server does not answer, or does not let
        us ask.
        """
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            review = await self._api.post(PATH, body)
        except Denied as error:  # we may not ask: that says nothing about the agent
            raise Unavailable(str(error)) from error
        wrong = self._wrong(review.get("status") or {}, node)
        if wrong:
            raise Denied(f"the agent at the address of node {node} has not proven to be it: {wrong}")

    def _wrong(self, status: Json, node: str) -> str:
        """What is wrong, in words; empty when nothing is."""
        if not status.get("authenticated"):
            return f"its token is not valid ({status.get('error') or 'no reason given'})"
        # A server that knows no audiences leaves the list empty, and has not checked ours.
        if self._audience not in (status.get("audiences") or ()):
            return f"its token is not for the audience {self._audience}"
        user = status.get("user") or {}
        if user.get("username") != self._user:
            return f"its token is of {user.get('username')!r} and not of {self._user!r}"
        nodes = (user.get("extra") or {}).get(NODE_NAME) or []
        if nodes != [node]:
            return f"its token is from {' '.join(map(repr, nodes)) or 'no node'}"
        return ""
