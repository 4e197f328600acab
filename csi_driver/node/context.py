"""What every verb of the node plugin is handed."""

from __future__ import annotations

from dataclasses import dataclass, field

from csi_driver.errors import InvalidRequest, NotFound
from csi_driver.host.doors import ConsumerDoors
from csi_driver.kit.jobs import Jobs
from csi_driver.model.ids import VolumeId
from csi_driver.node.attachments import Attachments
from csi_driver.node.stages import Stages
from csi_driver.settings import ConsumerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for what may never come, in seconds."""

    disk: float = 10.0
    """After a login: until the kernel shows the disk."""
    session: float = 60.0
    """At unstage: until a session that is down comes back, as the page cache may still hold data for it. None of
    this wait when the publication is known to be over."""
    look: float = 0.5
    """Between two looks at the session while something waits for it."""
    busy: float = 2.0
    """Until a device is let go that nobody of ours uses any more: by udev, or by the tail of an unmount."""
    logout: float = 5.0
    """At most, between two attempts to log out: iscsid needs some after its own start (mechanisms.md 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeContext:
    """One node that pods run on: its doors, its settings, its memory. Jobs are keyed by volume id."""

    node: str
    zone: str = ""
    doors: ConsumerDoors
    attachments: Attachments
    stages: Stages
    settings: ConsumerSettings = field(default_factory=ConsumerSettings)
    jobs: Jobs = field(default_factory=Jobs)
    patience: Patience = field(default_factory=Patience)


def volume_of(text: str) -> VolumeId:
    """The volume that an id names. NotFound: an id of unknown form names nothing (CSI spec, csi.md 1.1)."""
    volume = VolumeId.parse(text)
    if volume is None:
        raise NotFound(f"there is no volume {text!r}")
    return volume


def absolute(path: str, what: str) -> str:
    """``path`` without doubled or trailing slashes. InvalidRequest, naming ``what``, unless it is absolute."""
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or any(ord(char) < 32 for char in path):
        raise InvalidRequest(f"{what} must be an absolute path without '..', not {path!r}")
    return "/" + "/".join(part for part in parts if part not in ("", "."))
