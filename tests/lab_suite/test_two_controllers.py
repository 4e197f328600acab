"""One name, two claims on two nodes, as two controllers that died leave them; and whoever settles it dies as well.

``test_stack_two_controllers`` lets two controllers race; here each state of the disks is made on purpose, so that
every step is surely met.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping

import grpc
import pytest

from csi_driver.model.ids import volume_key
from tests.lab import MIB
from tests.lab.waiting import eventually
from tests.stack.agents import call_agent
from tests.stack.controllers import SecondController, await_heard
from tests.stack.csi import NOT_FINAL, Csi, mount
from tests.stack.stack import VG, Stack

SIZE = 64 * MIB
LOW, HIGH = "a" * 8, "z" * 8
"""Copies: of two claims the lower one is kept."""
KILLED = -9
WHEN = ("before", "after")


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[SecondController]:
    with SecondController(stack=stack) as second:
        yield second


def volumes(stack: Stack, name: str) -> dict[str, str]:
    """Every LV of the name on any host: the node, and what its tags say of its content."""
    found = {}
    for host in stack.lab.hosts[:2]:
        out = host.run(["lvs", "--noheadings", "-o", "lv_name,lv_tags", VG]).stdout
        for line in out.splitlines():
            if volume_key(name) in line:
                [content] = re.findall(r"clinker\.content=(\w+)", line)
                found[f"{host.name} {line.split()[0]}"] = content
    return found


def claim_both(stack: Stack, name: str, *, low: str) -> str:
    """A claim on each of two nodes; the id of the one on ``low``, which is to be kept."""
    agents = {host.name: host for host in stack.lab.hosts[:2]}
    answers = {
        node: call_agent(stack.controller_host, agent, "claim", name, LOW if node == low else HIGH, str(SIZE))
        for node, agent in agents.items()
    }
    assert all(answer.startswith("answer vol-") for answer in answers.values()), answers
    assert sorted(volumes(stack, name).values()) == ["claimed", "claimed"]
    return answers[low].split()[1]


def create(client: Csi, name: str, near: str, parameters: Mapping[str, str] | None = None) -> str:
    """As external-provisioner: again after a code that is not final."""
    answers: list[str] = []

    def answered() -> bool:
        try:
            made = client.create(name, SIZE, mount(), parameters=parameters, near=near, timeout=15)
        except grpc.RpcError as error:
            if error.code() not in NOT_FINAL:
                raise
            return False
        answers.append(made.volume_id)
        return True

    eventually(answered, within=60)
    return answers[0]


def create_at_both(stack: Stack, second: SecondController, name: str, parameters: Mapping[str, str] | None) -> set[str]:
    """Both controllers asked at once, each for another node; the ids that they answer."""
    ids: list[str] = []
    asks = ((stack.controller, "host1"), (second.client, "host2"))
    threads = [
        threading.Thread(target=lambda client=client, near=near: ids.append(create(client, name, near, parameters)))
        for client, near in asks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(ids) == 2, "not both were answered"
    return set(ids)


def check_one(
    stack: Stack,
    second: SecondController,
    name: str,
    wanted: str = "",
    parameters: Mapping[str, str] | None = None,
) -> None:
    """Whoever asks gets one id, and of the name there is one volume and no claim."""
    [volume] = create_at_both(stack, second, name, parameters)
    assert volume == (wanted or volume)
    assert [(key.split()[1], content) for key, content in volumes(stack, name).items()] == [(volume, "ready")]
    second.client.delete(volume)
    assert volumes(stack, name) == {}


def ask_one_that_dies(client: Csi, name: str, near: str) -> None:
    """One request that its controller does not live to answer."""
    with pytest.raises(grpc.RpcError):
        client.create(name, SIZE, mount(), near=near, timeout=15)


@pytest.mark.parametrize("low", ["host1", "host2"])
def test_two_claims_become_one_volume(stack: Stack, second: SecondController, low: str) -> None:
    name = f"two-claims-{low}"
    check_one(stack, second, name, claim_both(stack, name, low=low))


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("step", ["drop", "commit"])
def test_controller_dies_over_two_claims(stack: Stack, second: SecondController, step: str, when: str) -> None:
    name = f"controller-{step}-{when}"
    kept = claim_both(stack, name, low="host2")
    second.start(f"agent.{step}:1:{when}")
    ask_one_that_dies(second.client, name, "host1")
    assert second.process is not None
    assert second.process.wait(10) == KILLED

    left = {key.split()[1]: content for key, content in volumes(stack, name).items()}
    assert len(left) == (2 if (step, when) == ("drop", "before") else 1)
    assert left[kept] == ("ready" if (step, when) == ("commit", "after") else "claimed")
    second.start()
    check_one(stack, second, name, kept)


@pytest.mark.parametrize("when", WHEN)
def test_both_controllers_die_after_or_before_their_claims(stack: Stack, second: SecondController, when: str) -> None:
    """What is left by the first is taken up by the second, which is asked for another node."""
    name = f"both-die-{when}"
    stack.restart("controller", f"agent.claim:1:{when}")
    ask_one_that_dies(stack.controller, name, "host1")
    assert stack.processes["controller"].wait(10) == KILLED
    claims = volumes(stack, name)
    assert list(claims.values()) == (["claimed"] if when == "after" else [])
    second.start("agent.commit:1:before")
    ask_one_that_dies(second.client, name, "host2")
    left = volumes(stack, name)
    assert list(left.values()) == ["claimed"]
    assert when == "before" or left == claims, "a claim that is there is taken up, not made once more"

    stack.start(["controller"])
    second.start()
    stack.await_ready(["controller"])
    check_one(stack, second, name, next(iter(left)).split()[1])


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(("node", "effect"), [("host1", "lvm.remove:1"), ("host2", "lvm.change_tags:1")])
def test_agent_dies_over_two_claims(stack: Stack, second: SecondController, node: str, effect: str, when: str) -> None:
    name = f"agent-{effect}-{when}"
    kept = claim_both(stack, name, low="host2")
    stack.restart(node, f"{effect}:{when}")
    await_heard(second.client, node)
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(create(second.client, name, "host1")))
    asking.start()
    assert stack.processes[node].wait(60) == KILLED
    assert kept in {key.split()[1] for key in volumes(stack, name)}
    stack.start([node])
    asking.join(90)
    # While a node is silent a create goes on without it, so the other claim may have won.
    stack.await_ready([node])
    await_heard(stack.controller, node)
    await_heard(second.client, node)
    check_one(stack, second, name, answers[0])


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("layout", "effect"),
    [
        ("thin", "lvm.create_thin:1"),
        ("thin", "formatter.make:1"),
        ("thick", "devices.zero:1"),
    ],
)
def test_agent_dies_while_it_makes_the_claim(
    stack: Stack, second: SecondController, layout: str, effect: str, when: str
) -> None:
    name = f"making-{effect}-{when}"
    parameters = {"layout": layout}
    stack.restart("host1", f"{effect}:{when}")
    await_heard(stack.controller, "host1")
    asking = threading.Thread(target=lambda: create(stack.controller, name, "host1", parameters))
    asking.start()
    assert stack.processes["host1"].wait(60) == KILLED
    stack.start(["host1"])
    asking.join(90)
    stack.await_ready(["host1"])
    await_heard(stack.controller, "host1")
    await_heard(second.client, "host1")
    check_one(stack, second, name, parameters=parameters)


def test_nothing_is_left(stack: Stack) -> None:
    assert stack.leftovers() == {}
