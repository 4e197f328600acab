"""CreateVolume requests for tests, and what to look at afterwards."""

from __future__ import annotations

import dataclasses
from typing import Any

from csi_driver.control.requests import CreateVolume, VolumeView
from csi_driver.model.access import Capability, FsType
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.parameters import parse
from csi_driver.model.sizes import GIB
from csi_driver.model.topology import Segment, Topology
from csi_driver.model.volume import Content, Limits, Volume, VolumeSpec
from tests.unit.fake_agents import MOUNT, Cluster

XFS = dataclasses.replace(MOUNT, fs=FsType.XFS)


def create(name: str = "pvc-1", *capabilities: Capability, size: int | None = GIB, **more: Any) -> CreateVolume:
    limits = Limits(required=size, limit=more.pop("limit", None))
    return CreateVolume(name=name, capabilities=capabilities or (MOUNT,), limits=limits, **more)


def at(node: str) -> Topology:
    return Topology(requisite=(Segment.node(node),), preferred=(Segment.node(node),))


def only(cluster: Cluster) -> Volume:
    (volume,) = cluster.ready()
    assert all(v.content is Content.READY for agent in cluster.agents.values() for v in agent.volumes.values())
    return volume


def claim_spec(name: str, copy: str) -> VolumeSpec:
    return VolumeSpec(
        id=VolumeId(volume_key(name), copy),
        name=name,
        size=GIB,
        pool="data",
        fs=FsType.EXT4,
        params_hash=parse({}, {}).params_hash,
    )


def identity(view: VolumeView) -> VolumeId:
    found = VolumeId.parse(view.id)
    assert found is not None
    return found
