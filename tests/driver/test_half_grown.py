"""An agent that dies while it grows a volume: what is not ready is not shown, whoever publishes or restores it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from csi_driver.control.requests import ExpandVolume
from csi_driver.errors import DriverError
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import MIB
from csi_driver.model.volume import Limits
from csi_driver.testing.faults import Act, Killed, Recorder
from tests.driver.nodes import NodeSpec
from tests.driver.world import BLOCK, World

SMALL, LARGE = 64 * MIB, 256 * MIB
TENANT = b"tenant!!"


class KillAfter(Recorder):
    """The process dies after the first effect of that name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._dead = name, False

    async def perform(self, name: str, subject: str, act: Act) -> object:
        done = await super().perform(name, subject, act)
        if name == self._name and not self._dead:
            self._dead = True
            raise Killed
        return done


async def dirtied(world: World) -> None:
    """An earlier tenant's bytes in all the extents that the group gives first."""
    volume = await world.create("old", size=1024 * MIB, capability=BLOCK, layout="thick")
    use = await world.use(volume.id, "a", BLOCK)
    for offset in range(0, 1024 * MIB, 4 * MIB):
        await world["a"].host.write(use.target, TENANT, offset)
    await world.let_go(use)
    await world.delete(volume.id)


async def expand(world: World, volume: str) -> None:
    await world.controller.expand_volume(ExpandVolume(id=volume, limits=Limits(required=LARGE)))


@pytest.mark.parametrize("then", ["restored", "published"])
@pytest.mark.parametrize("layout", ["thick", "thin"])
async def test_what_is_not_ready_is_not_shown(layout: str, then: str) -> None:
    async with World.of(NodeSpec(name="a")) as world:
        await dirtied(world)
        volume = (await world.create("new", size=SMALL, capability=BLOCK, layout=layout)).id
        host = world["a"].host
        use = world.place(volume, "a", BLOCK)
        if then == "restored":
            await world.use(volume, "a", BLOCK)
        await world["a"].restart(KillAfter("lvm.extend"))
        with suppress(DriverError, Killed):
            await world.until_ok(lambda: world.create("heard", size=SMALL))
            await expand(world, volume)
        await world.revive()
        if then == "published":
            await world.use(volume, "a", BLOCK)
        identity = VolumeId.parse(volume)
        assert identity is not None
        device = await host.dm.find(volume)
        assert device is not None
        shown = await host.devices.size(device.devno)
        for offset in range(0, shown, 4 * MIB):
            assert await host.read(use.target, 8, offset) == bytes(8), f"an old tenant's bytes at {offset}"
        await host.write(use.target, b"mine", shown - 4 * MIB)
        await world.until_ok(lambda: expand(world, volume))
        assert await host.devices.size(device.devno) == LARGE
        assert await host.read(use.target, 4, shown - 4 * MIB) == b"mine"
        for offset in range(shown, LARGE, 4 * MIB):
            assert await host.read(use.target, 8, offset) == bytes(8), f"an old tenant's bytes at {offset}"
        await world.let_go(use)
        await world.delete(volume)
