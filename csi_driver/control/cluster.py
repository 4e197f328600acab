"""What the controller may ask of Kubernetes about claims and pods; implemented by ``kube``, absent elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim, as far as placing needs it."""

    annotations: Mapping[str, str]


class ClusterPort(Protocol):
    """Each call raises Unavailable when there is no answer and Denied when our service account may not ask."""

    async def claim(self, namespace: str, name: str) -> Claim | None:
        """The claim; None when there is none."""
        ...

    async def claims(self, namespace: str, selector: str) -> tuple[str, ...]:
        """Names of the claims that a label selector matches. InvalidRequest when it is none."""
        ...

    async def node_of_pod(self, namespace: str, name: str) -> str:
        """Where the pod runs; empty when it is not there or has no node yet."""
        ...
