"""Pools reach an agent from the chart's ConfigMap, and what clashes is told in the node's StorageNode."""

from __future__ import annotations

import json
from typing import Any

from csi_driver.settings import EVERYWHERE, PoolSettings
from tests.kube.objects import MAPS, NODES, POOLS
from tests.kube.world import World, eventually

CHART = PoolSettings(name="fast", vg="vg0", thin_pool="thin0", nodes=EVERYWHERE)
"""What ``tests.unit.chart`` gives."""
NVME: dict[str, Any] = {"name": "nvme", "vg": "vg1", "overcommit": 2.0, "node_selector": {"disk": "nvme"}}


async def want(world: World, *entries: dict[str, Any]) -> None:
    await world.admin.api.merge(f"{MAPS}/{POOLS}", {"data": {"pools.json": json.dumps(entries)}})


async def test_an_agent_is_told_the_pools_of_the_chart_and_each_change(world: World) -> None:
    fast = {"name": "fast", "vg": "vg0", "thin_pool": "thin0", "nodes": ["*"]}

    async def told(*pools: PoolSettings) -> None:
        async def reached() -> bool:
            return world.node.agent.chosen == pools

        await eventually(reached)

    await world.controller()
    try:
        await told(CHART)
        await world.until("PoolsConfigured", "True")
        await want(world, fast, NVME)
        await world.admin.api.merge(f"{NODES}/n1", {"metadata": {"labels": {"disk": "nvme"}}})
        await told(CHART, PoolSettings(name="nvme", vg="vg1", overcommit=2.0))
        await want(world, fast, {**NVME, "vg": "vg0"})
        await world.until("PoolsConfigured", "False")
        assert "'fast' and 'nvme'" in (await world.condition("PoolsConfigured"))[1]
        await want(world)
        await told()
    finally:
        await want(world, fast)
