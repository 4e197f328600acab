"""What the agent uses of the kernel's target."""

from csi_driver.host.lio.ensure import ensure_target
from csi_driver.host.lio.inspect import list_targets, read_target, sessions, target_volumes
from csi_driver.host.lio.removal import remove_acl, remove_target
from csi_driver.host.lio.spec import Admission, SessionState, Target, TargetSession, TargetSpec

__all__ = [
    "Admission",
    "SessionState",
    "Target",
    "TargetSession",
    "TargetSpec",
    "ensure_target",
    "list_targets",
    "read_target",
    "remove_acl",
    "remove_target",
    "sessions",
    "target_volumes",
]
