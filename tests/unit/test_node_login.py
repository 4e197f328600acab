"""Secrets and sessions of NodeStageVolume on simulated hosts."""

from dataclasses import replace

import pytest

from csi_driver.errors import (
    InvalidRequest,
    Precondition,
    Unavailable,
)
from csi_driver.host.lio import paths
from csi_driver.model.publication import Transport
from csi_driver.model.secret import TARGET_USER, Secret
from csi_driver.node import look
from csi_driver.node.disconnect import end_io
from csi_driver.settings import ConsumerSettings
from csi_driver.testing.faults import FailAt, Recorder
from tests.unit.node_world import SIZE, STAGING, VOLUME, World, effects_of_stage, published, step

# -- the secret


async def test_missing_secret_is_wanted_and_its_arrival_lets_the_stage_through() -> None:
    world = World()
    await world.make()
    await world.publish(hold=False)
    told: list[int] = []
    world.context.attachments.on_change(lambda: told.append(len(world.context.attachments.wanted())))
    with pytest.raises(Unavailable, match="secret"):
        await world.stage()
    assert world.context.attachments.wanted() == (VOLUME,)
    await world.context.attachments.hold(world.attachment())
    assert world.context.attachments.wanted() == ()
    assert told[0] == 1
    assert told[-1] == 0
    await world.stage()


async def test_secret_of_an_earlier_publication_is_wanted_anew() -> None:
    world = World()
    await world.make()
    await world.publish(2, hold=False)
    await world.context.attachments.hold(world.attachment(1))
    with pytest.raises(Unavailable):
        await world.stage(2)
    assert world.context.attachments.wanted() == (VOLUME,)


async def test_stage_of_an_earlier_publication_wants_nothing() -> None:
    world = await published()
    await world.context.attachments.hold(world.attachment(2))
    with pytest.raises(Unavailable, match="anew as 2"):
        await world.stage(1)
    assert world.context.attachments.wanted() == ()


async def test_secret_that_the_target_refuses_is_wanted_anew() -> None:
    world = World()
    await world.make()
    await world.publish(hold=False, secret="t")
    await world.context.attachments.hold(world.attachment(secret="s"))
    with pytest.raises(Unavailable, match="refuses"):
        await world.stage()
    assert world.context.attachments.wanted() == (VOLUME,)
    await world.context.attachments.hold(world.attachment(secret="t"))
    await world.stage()


async def test_lost_secret_is_not_needed_while_the_session_stands() -> None:
    world = await published()
    world.use(FailAt(step(await effects_of_stage(), "mounts.mount"), Unavailable("not now")))
    with pytest.raises(Unavailable):
        await world.stage()
    world.user.machine.disks.records.clear()
    await world.restart()
    await world.stage()
    assert world.context.attachments.wanted() == ()


# -- sessions


async def test_target_that_does_not_answer_is_unavailable() -> None:
    world = await published()
    world.network.cut("store", "user")
    with pytest.raises(Unavailable):
        await world.stage()
    world.network.heal("store", "user")
    await world.stage()


async def test_session_of_an_earlier_publication_is_replaced() -> None:
    """Fenced while it was staged; the record of the stage was lost."""
    world = await published()
    await world.stage()
    await world.unpublish()
    world.user.machine.disks.records.clear()
    await world.publish(2, secret="t")
    await world.restart()
    await world.context.attachments.hold(world.attachment(2, "t"))
    await world.stage(2)
    await world.user.write(f"{STAGING}/file", b"data")
    assert world.network.violations == []


async def test_stage_of_an_earlier_publication_is_taken_down_first() -> None:
    world = await published()
    await world.stage()
    await world.unpublish()
    await world.publish(2, secret="t")
    await world.stage(2)
    await world.user.write(f"{STAGING}/file", b"data")
    assert world.network.violations == []
    with pytest.raises(Precondition, match="later than 1"):
        await world.stage(1)
    await world.unstage()
    assert world.leftovers() == []


async def test_local_stage_of_an_earlier_publication_is_taken_down_first() -> None:
    world = await published(Transport.LOCAL)
    await world.stage()
    await world.unpublish()
    await world.publish(2)
    await world.stage(2)
    await world.user.write(f"{STAGING}/file", b"data")
    assert world.network.violations == []


async def test_earlier_publication_that_is_still_shown_is_not_taken_down() -> None:
    world = await published()
    await world.stage()
    await world.bind()
    await world.unpublish()
    await world.publish(2, secret="t")
    with pytest.raises(Precondition, match="still published"):
        await world.stage(2)
    await world.unbind()
    await world.stage(2)


async def test_half_made_stage_over_a_session_that_died_begins_anew() -> None:
    world = await published()
    world.use(FailAt(step(await effects_of_stage(), "mounts.mount"), Unavailable("not now")))
    with pytest.raises(Unavailable):
        await world.stage()
    world.use(Recorder())
    await world.unpublish()
    await world.publish(secret="t")
    await world.stage()
    await world.user.write(f"{STAGING}/file", b"data")


async def test_volume_that_grew_between_two_attempts_is_staged_at_its_size() -> None:
    world = await published()
    world.use(FailAt(step(await effects_of_stage(), "mounts.mount"), Unavailable("not now")))
    with pytest.raises(Unavailable):
        await world.stage()
    world.use(Recorder())
    await world.extend(2 * SIZE)
    await world.stage()
    assert (await world.user.mounts.usage(STAGING)).total == 2 * SIZE


async def test_stage_whose_io_was_ended_is_made_anew() -> None:
    """Still mounted, and every request fails: to call it staged would be a lie."""
    world = await published()
    await world.stage()
    (own,) = await look.devices(world.user.dm, VOLUME)
    await end_io(world.context, VOLUME, own)
    await world.stage()
    await world.user.write(f"{STAGING}/file", b"data")
    await world.unstage()
    assert world.leftovers() == []


# -- portals, times, and targets that prove themselves


async def test_the_first_portal_that_answers_is_taken() -> None:
    world = World()
    await world.make()
    await world.publish(hold=False)
    await world.context.attachments.hold(replace(world.attachment(), portals=("10.9.9.9:3260", world.store.portal)))
    await world.stage()
    assert [session.portal for session in world.user.machine.sessions] == [world.store.portal]
    await world.unstage()
    assert world.user.machine.disks.node_records == {}


async def test_when_no_portal_answers_each_is_named() -> None:
    world = World()
    await world.make()
    await world.publish(hold=False)
    await world.context.attachments.hold(replace(world.attachment(), portals=("10.9.9.8:3260", "10.9.9.9:3260")))
    with pytest.raises(Unavailable, match=r"10\.9\.9\.8.*10\.9\.9\.9"):
        await world.stage()
    assert world.context.attachments.wanted() == ()


@pytest.mark.parametrize(("context", "seconds"), [({}, 900), ({"replacementTimeout": "77"}, 77)])
async def test_the_class_chooses_how_long_io_waits(context: dict[str, str], seconds: int) -> None:
    world = await published()
    await world.plugin.stage(replace(world.stage_request(), volume_context=context))
    (record,) = world.user.machine.disks.node_records.values()
    assert record.replacement_timeout == seconds


async def test_a_time_that_no_class_can_have_is_refused() -> None:
    world = await published()
    with pytest.raises(InvalidRequest, match="replacementTimeout"):
        await world.plugin.stage(replace(world.stage_request(), volume_context={"replacementTimeout": "0"}))


async def test_a_target_that_does_not_prove_itself_is_not_used() -> None:
    world = await published()
    world.context = replace(world.context, settings=ConsumerSettings(mutual_chap=True))
    with pytest.raises(Unavailable, match="refuses"):
        await world.stage()
    assert world.user.machine.sessions == []
    auth = world.store.machine.target.root.at(f"{paths.acl(VOLUME, world.user.machine.initiator)}/auth")
    auth.attributes.update(userid_mutual=TARGET_USER, password_mutual=Secret("s" * 32).answer().reveal())
    await world.stage()
