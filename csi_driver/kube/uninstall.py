"""What of ours a cluster still uses: after an uninstall nobody would attach, detach or delete it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csi_driver import DRIVER_NAME
from csi_driver.kube.api import Api, Json

VOLUMES = "/api/v1/persistentvolumes"
ATTACHMENTS = "/apis/storage.k8s.io/v1/volumeattachments"
SHOWN = 20
"""Objects of one kind that ``text`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """Objects of the driver, each in words."""

    volumes: tuple[str, ...]
    attachments: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.volumes or self.attachments)

    @property
    def text(self) -> str:
        """One line for each object, cut short."""
        lines: list[str] = []
        for what, found in (("PersistentVolume", self.volumes), ("VolumeAttachment", self.attachments)):
            lines += [f"  {what} {each}" for each in found[:SHOWN]]
            if len(found) > SHOWN:
                lines.append(f"  and {len(found) - SHOWN} more of kind {what}")
        return "\n".join(lines)


async def in_use(api: Api) -> InUse:
    """Ask the API server. Raises Unavailable or Denied when it does not tell."""
    volumes = await api.get(VOLUMES)
    attachments = await api.get(ATTACHMENTS)
    return InUse(
        volumes=tuple(sorted(_volume(item) for item in volumes["items"] if _driver(item) == DRIVER_NAME)),
        attachments=tuple(
            sorted(_attachment(item) for item in attachments["items"] if item["spec"]["attacher"] == DRIVER_NAME)
        ),
    )


def _driver(volume: Json) -> str:
    return str((volume["spec"].get("csi") or {}).get("driver", ""))


def _volume(item: Json) -> str:
    claim: Mapping[str, str] = item["spec"].get("claimRef") or {}
    phase = (item.get("status") or {}).get("phase", "")
    of = f" of claim {claim['namespace']}/{claim['name']}" if claim else ""
    return f"{item['metadata']['name']}{of}, {phase}"


def _attachment(item: Json) -> str:
    volume = item["spec"]["source"].get("persistentVolumeName", "")
    return f"{item['metadata']['name']}: {volume} on node {item['spec']['nodeName']}"
