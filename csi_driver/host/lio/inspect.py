"""Look at what is exported."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from csi_driver.host.doors.configfs import Configfs
from csi_driver.host.lio import backstores, paths
from csi_driver.host.lio.attributes import read_or_empty
from csi_driver.host.lio.spec import SessionState, Target, TargetSession
from csi_driver.model.ids import IQN_PREFIX, VolumeId

_SESSION = re.compile(r"^InitiatorName: (\S+)", re.MULTILINE)
_STATE = re.compile(r"TARG_SESS_(?:STATE_)?(\w+)")
_ADDRESS = re.compile(r"\bAddress (\S+) (?:TCP|iSER|SCTP)")
_STATES = {
    "LOGGED_IN": SessionState.LOGGED_IN,
    "FAILED": SessionState.FAILED,
    "FREE": SessionState.FREE,
}


async def target_volumes(configfs: Configfs) -> tuple[VolumeId, ...]:
    """The volumes that have a target of ours or a backstore, half made ones too. Never waits for a disk."""
    found = set(_volumes(await configfs.listing(paths.FABRIC), IQN_PREFIX))
    for adapter in await configfs.listing("core"):
        if adapter.startswith(tuple(f"{kind}_" for kind in paths.Kind)):
            found.update(_volumes(await configfs.listing(f"core/{adapter}"), ""))
    return tuple(sorted(found))


def _volumes(names: tuple[str, ...], prefix: str) -> Iterator[VolumeId]:
    for name in names:
        volume = VolumeId.parse(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if volume is not None:
            yield volume


async def read_target(configfs: Configfs, volume: VolumeId) -> Target | None:
    """The export of the volume, or None. Waits while an initiator is being fenced from it."""
    group = paths.group(volume)
    device = await backstores.device_of(configfs, volume)
    if not device and volume.iqn not in await configfs.listing(paths.FABRIC):
        return None
    return Target(
        volume=volume,
        enabled=await read_or_empty(configfs, f"{group}/enable") == "1",
        initiators=await configfs.listing(paths.acls(volume)),
        portals=await configfs.listing(paths.portals(volume)),
        device=device,
        mapped=paths.LINK in await configfs.listing(paths.lun(volume)),
    )


async def list_targets(configfs: Configfs) -> tuple[Target, ...]:
    """Every export of ours. Waits as long as the slowest ``read_target`` does."""
    targets = [await read_target(configfs, volume) for volume in await target_volumes(configfs)]
    return tuple(target for target in targets if target is not None)


async def sessions(configfs: Configfs, volume: VolumeId, initiator: str) -> tuple[TargetSession, ...]:
    """The sessions of an initiator to the volume, as the target sees them; empty when it has none or no entry."""
    return parse_sessions(await read_or_empty(configfs, f"{paths.acl(volume, initiator)}/info"))


def parse_sessions(info: str) -> tuple[TargetSession, ...]:
    """What an ACL's ``info`` says. The kernel shows the newest session only."""
    starts = [match.start() for match in _SESSION.finditer(info)] + [len(info)]
    return tuple(_session(info[start:end]) for start, end in itertools.pairwise(starts))


def _session(text: str) -> TargetSession:
    name, state = _SESSION.search(text), _STATE.search(text)
    return TargetSession(
        initiator=name[1] if name else "",
        state=_STATES.get(state[1], SessionState.OTHER) if state else SessionState.OTHER,
        addresses=tuple(_ADDRESS.findall(text)),
    )
