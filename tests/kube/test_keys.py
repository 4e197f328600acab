"""Without any key given: the controllers make one, agents get its CA alone, and its renewal is not noticed."""

from __future__ import annotations

import asyncio

from csi_driver.errors import NotFound
from csi_driver.kube.keys import KeyTiming
from tests.kube import objects
from tests.kube.objects import CA_MAP, KEYS, MAPS, SECRETS
from tests.kube.world import World, eventually


async def test_two_controllers_make_one_key_and_renew_it_under_way(world: World) -> None:
    for path in (f"{SECRETS}/{KEYS}", f"{MAPS}/{CA_MAP}"):
        await world.admin.delete(path)
    timing = KeyTiming(life=8.0, overlap=8.0, look=0.2)
    kubelet = asyncio.create_task(_bring_trust(world))
    first, second = await asyncio.gather(world.controller(own_key=timing), world.controller(own_key=timing))
    await world.until("Ready", "True")
    secret = await world.admin.api.get(f"{SECRETS}/{KEYS}")
    assert secret["data"].keys() == {"ca.crt", "controller.crt", "controller.key"}
    trust = await world.admin.api.get(f"{MAPS}/{CA_MAP}")
    assert trust["data"].keys() == {"ca.crt"}
    assert "PRIVATE" not in trust["data"]["ca.crt"]

    async def renewed() -> bool:
        now = await world.admin.api.get(f"{SECRETS}/{KEYS}")
        return now["data"]["controller.key"] != secret["data"]["controller.key"] and "last-ca.crt" not in now["data"]

    async def no_longer_trusted() -> bool:
        now = await world.admin.api.get(f"{MAPS}/{CA_MAP}")
        return trust["data"]["ca.crt"] not in now["data"]["ca.crt"]

    async def heard() -> bool:
        return all(each.fleet.node("n1").answering for each in (first, second))

    await eventually(renewed)
    await eventually(no_longer_trusted)  # the Secret is written first
    await eventually(heard)
    for each in (first, second):
        # The same processes, and a call that is made with the new key alone.
        assert (await each.fleet.agent("n1").describe()).node == "n1"
    _ = kubelet.cancel()


async def _bring_trust(world: World) -> None:
    """As kubelet does with a ConfigMap that is a volume."""
    while True:
        try:
            found = await objects.get(world.admin.api, f"{MAPS}/{CA_MAP}")
        except NotFound:
            found = None
        if found is not None:
            world.node.tls.ca.write_text(found["data"]["ca.crt"])
        await asyncio.sleep(0.1)
