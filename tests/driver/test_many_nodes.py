"""Several nodes that use one volume at once, the one that holds it among them."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.errors import DriverError, InvalidRequest, Precondition
from csi_driver.host.doors import SavedReservations
from csi_driver.host.lio import paths
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import PublishRequest, Transport
from tests.driver.world import MOUNT, Use, World

SHARED = Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.BLOCK)
READ_BLOCK = Capability(AccessMode.MULTI_NODE_READER_ONLY, AccessType.BLOCK)
READ_MOUNT = Capability(AccessMode.MULTI_NODE_READER_ONLY, AccessType.MOUNT, FsType.EXT4)
NODES = ("a", "b", "c")


def parsed(volume: str) -> VolumeId:
    identity = VolumeId.parse(volume)
    assert identity is not None
    return identity


async def shared(world: World, capability: Capability = SHARED) -> dict[str, Use]:
    """A volume of ``a`` in use on every node."""
    made = await world.create("pvc", capability=capability)
    (owner,) = [name for name in ("a", "b") if world[name].host.leftovers()]
    assert owner == "a"
    return {node: await world.use(made.id, node, capability) for node in NODES}


async def write(world: World, use: Use, word: bytes) -> None:
    async with asyncio.timeout(5):
        await world[use.node].host.write(use.target, word)


async def read(world: World, use: Use, length: int) -> bytes:
    return await world[use.node].host.read(use.target, length)


async def test_all_write_and_see_what_the_others_wrote(world: World) -> None:
    uses = await shared(world)
    for node, use in uses.items():
        await write(world, use, f"by {node}".encode())
        assert {await read(world, each, 4) for each in uses.values()} == {f"by {node}".encode()}
    assert all(world[node].host.machine.sessions for node in NODES), "the owner as well goes through the target"
    for use in uses.values():
        await world.let_go(use)
    await world.delete(uses["a"].volume)
    assert await world.cleaned() == ()


@pytest.mark.parametrize("fenced", NODES)
async def test_a_fence_of_one_leaves_the_others_alone_also_over_a_restart_and_a_reboot(
    world: World, fenced: str
) -> None:
    uses = await shared(world)
    await world.detach(uses[fenced].volume, fenced)
    with pytest.raises((OSError, TimeoutError)):
        await write(world, uses[fenced], b"stolen")
    others = [use for node, use in uses.items() if node != fenced]
    for restart in (True, False):
        for use in others:
            await write(world, use, use.node.encode() * 6)
            assert {await read(world, each, 6) for each in others} == {use.node.encode() * 6}
        if restart:
            world["a"].crash()
            await world.revive()
    world["a"].crash(power=True)
    world["a"].host.power_on()
    await world["a"].start()
    for use in [use for use in others if use.node != "a"]:
        await write(world, use, b"booted")
        assert await read(world, use, 6) == b"booted"
    with pytest.raises((OSError, TimeoutError)):
        await write(world, uses[fenced], b"stolen")


async def test_readers_only_read(world: World) -> None:
    made = await world.create("pvc", capability=READ_MOUNT)
    writer = await world.use(made.id, "c", MOUNT)
    await world["c"].host.write(f"{writer.target}/file", b"content")
    with pytest.raises(Precondition, match="published to node c"):
        await world.attach(made.id, "a", READ_MOUNT)
    await world.let_go(writer)
    uses = [await world.use(made.id, node, READ_MOUNT) for node in NODES]
    for use in uses:
        assert await world[use.node].host.read(f"{use.target}/file", 7) == b"content"
        with pytest.raises(OSError, match="Read-only"):
            await world[use.node].host.write(f"{use.target}/file", b"x")
    acls = world["a"].host.machine.target.root.at(paths.acls(parsed(made.id)))
    assert [acl.at("lun_0").attributes["write_protect"] for acl in acls.folders.values()] == ["1"] * 3


@pytest.mark.parametrize(("first", "second"), [(SHARED, READ_BLOCK), (READ_BLOCK, SHARED), (SHARED, MOUNT)])
async def test_all_nodes_use_it_in_one_way(world: World, first: Capability, second: Capability) -> None:
    made = await world.create("pvc", capability=MOUNT)
    await world.attach(made.id, "b", first)
    with pytest.raises(Precondition, match="published to node b already"):
        await world.attach(made.id, "c", second)


@pytest.mark.parametrize(
    "capability",
    [
        Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.MOUNT, FsType.EXT4),
        Capability(AccessMode.MULTI_NODE_SINGLE_WRITER, AccessType.MOUNT, FsType.EXT4),
        Capability(AccessMode.MULTI_NODE_SINGLE_WRITER, AccessType.BLOCK),
    ],
    ids=lambda capability: f"{capability.mode.name}-{capability.access}",
)
async def test_what_is_not_offered(world: World, capability: Capability) -> None:
    with pytest.raises(InvalidRequest, match="is not offered"):
        await world.create("pvc", capability=capability)


async def test_the_agent_itself_refuses_two_nodes_of_one_initiator_name(world: World) -> None:
    made = await world.create("pvc", capability=SHARED)
    process = world["a"].process
    assert process is not None
    order = PublishRequest(
        volume=parsed(made.id),
        node="b",
        transport=Transport.ISCSI,
        mode=SHARED.mode,
        access=SHARED.access,
        initiator="iqn.x:same",
    )
    await process.agent.publish(order)
    twin = PublishRequest(
        volume=order.volume, node="c", transport=order.transport, mode=order.mode, access=order.access,
        initiator=order.initiator,
    )  # fmt: skip
    with pytest.raises(Precondition, match="node b already, which has the iSCSI initiator name"):
        await process.agent.publish(twin)


# -- persistent reservations


def kept(world: World, volume: str, *nodes: str, written: float | None = None) -> None:
    """The kernel of ``a`` has written registrations of these nodes."""
    blocks = [
        f"PR_REG_START: {number}\ninitiator_node={world[node].host.machine.initiator}\nsa_res_key={number}\n"
        f"PR_REG_END: {number}\n"
        for number, node in enumerate(nodes)
    ]
    disks = world["a"].host.machine.disks
    assert disks.keeps_reservations
    disks.reservations[parsed(volume).serial] = SavedReservations(
        "".join(blocks), world.network.now() if written is None else written
    )


def given_back(world: World, volume: str) -> str:
    """What the kernel of ``a`` was given when the backstore was made."""
    store = world["a"].host.machine.target.root.at(paths.backstore(parsed(volume)))
    assert store.at("attrib").attributes["emulate_pr"] == "1"
    return store.at("pr").attributes["res_aptpl_metadata"]


async def test_reservations_are_given_back_after_a_reboot_of_those_who_still_may(world: World) -> None:
    uses = await shared(world)
    volume = uses["a"].volume
    await world.let_go(uses["c"])
    kept(world, volume, "b", "c")
    world["a"].crash(power=True)
    world["a"].host.power_on()
    await world["a"].start()
    assert world["b"].host.machine.initiator in given_back(world, volume)
    assert world["c"].host.machine.initiator not in given_back(world, volume)
    for node in ("a", "b"):
        await world.let_go(uses[node])
    assert world["a"].host.machine.disks.reservations == {}


async def test_what_an_earlier_publication_had_reserved_is_over(world: World) -> None:
    uses = await shared(world)
    volume = uses["a"].volume
    kept(world, volume, "b", "c")
    await world.let_go(uses["c"])
    await world.attach(volume, "c", SHARED)
    world["a"].crash(power=True)
    world["a"].host.power_on()
    await world["a"].start()
    assert world["b"].host.machine.initiator in given_back(world, volume)
    assert world["c"].host.machine.initiator not in given_back(world, volume)


async def test_nobody_reserves_what_one_node_uses(world: World) -> None:
    made = await world.create("pvc", capability=READ_BLOCK)
    await world.attach(made.id, "c", READ_BLOCK)
    store = world["a"].host.machine.target.root.at(paths.backstore(parsed(made.id)))
    assert store.at("attrib").attributes["emulate_pr"] == "0"
    with pytest.raises(DriverError):
        await world["a"].host.configfs.write(f"{paths.backstore(parsed(made.id))}/pr/res_aptpl_metadata", "x=1")
