"""What a consumer does when it is told that a publication is over."""

from __future__ import annotations

import pytest

from csi_driver.errors import Unavailable
from csi_driver.model.access import FsType
from csi_driver.node.release import Consumer
from tests.unit.node_world import STAGING, VOLUME, World, staged


def consumer(world: World) -> Consumer:
    return Consumer(world.context)


async def test_release_of_what_is_in_use_ends_its_io() -> None:
    world = await staged()
    await world.user.write(f"{STAGING}/file", b"data")
    await world.unpublish()
    await consumer(world).release(VOLUME, 1)
    with pytest.raises(OSError, match=r".*"):
        await world.user.write(f"{STAGING}/file", b"late")
    assert [session.iqn for session in await world.user.initiator.sessions()] == []
    assert world.context.attachments.get(VOLUME) is None
    await world.unstage()
    assert world.user.leftovers() == ()


async def test_fenced_volume_is_not_staged_over_again() -> None:
    world = await staged()
    await world.unpublish()
    await consumer(world).release(VOLUME, 1)
    with pytest.raises(Unavailable, match="secret"):
        await world.stage()


async def test_release_of_an_earlier_publication_changes_nothing() -> None:
    world = await staged(fs=FsType.EXT4)
    await consumer(world).release(VOLUME, 0)
    await world.user.write(f"{STAGING}/file", b"data")
    assert consumer(world).held() == ((VOLUME, 1),)


async def test_release_of_what_is_not_held_is_fine() -> None:
    world = World()
    await world.make()
    await consumer(world).release(VOLUME, 5)
    assert consumer(world).held() == ()


async def test_what_is_held_is_told() -> None:
    world = World()
    await world.make()
    told: list[tuple[object, ...]] = []
    one = consumer(world)
    one.on_change(lambda: told.append(one.held()))
    await world.publish()
    assert told == [((VOLUME, 1),)]
    await one.release(VOLUME, 1)
    assert told == [((VOLUME, 1),), ()]
