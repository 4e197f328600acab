"""Two controllers, one name, two nodes to choose from: one volume, whoever dies at whatever step.

Some tests let the two race; in others each state of the disks is made on purpose (two claims on two nodes, as two
controllers that died leave them), so that every step is surely met.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from typing import Self

import grpc
import pytest

from csi_driver.model.ids import volume_key
from tests.lab import MIB
from tests.lab.waiting import eventually
from tests.stack.agents import call_agent
from tests.stack.controllers import SecondController
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


class Asking:
    """One controller asked for ``name``, in a thread of its own."""

    def __init__(self, client: Csi, name: str, near: str, parameters: Mapping[str, str] | None = None) -> None:
        self._answers: list[str] = []
        self._thread = threading.Thread(target=lambda: self._answers.append(create(client, name, near, parameters)))

    def start(self) -> Self:
        self._thread.start()
        return self

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def answer(self) -> str:
        """The id."""
        self._thread.join(90)
        [volume] = self._answers
        return volume


def create_at_both(stack: Stack, second: SecondController, name: str, parameters: Mapping[str, str] | None) -> set[str]:
    """Both controllers asked at once, each for another node; the ids that they answer."""
    asks = ((stack.controller, "host1"), (second.client, "host2"))
    both = [Asking(client, name, near, parameters).start() for client, near in asks]
    return {asking.answer() for asking in both}


def await_placing(stack: Stack, name: str) -> None:
    """Until the stack's controller has chosen where the volume is to lie."""
    eventually(lambda: f"placing volume_name={name} " in stack.processes["controller"].log(), within=60)


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


def test_both_at_once_make_one_volume(stack: Stack, second: SecondController) -> None:
    for number in range(3):
        check_one(stack, second, f"both-{number}")


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("step", ["claim", "commit"])
def test_controller_dies_while_both_create(stack: Stack, second: SecondController, step: str, when: str) -> None:
    """It may be spared: the other one may win before it comes to its commit."""
    name = f"race-{step}-{when}"
    stack.restart("controller", f"agent.{step}:1:{when}")
    dying, living = stack.processes["controller"], Asking(second.client, name, "host2")
    first = Asking(stack.controller, name, "host1").start()
    living.start()
    eventually(lambda: dying.poll() is not None or first.over, within=60)
    stack.restart("controller")
    assert first.answer() == living.answer()
    check_one(stack, second, name, living.answer())


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
    second.await_heard(node)
    asking = Asking(second.client, name, "host1").start()
    assert stack.processes[node].wait(60) == KILLED
    assert kept in {key.split()[1] for key in volumes(stack, name)}
    stack.start([node])
    # While a node is silent a create goes on without it, so the other claim may have won.
    answer = asking.answer()
    stack.await_ready([node])
    second.await_heard(node)
    check_one(stack, second, name, answer)


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("layout", "effect"),
    [
        ("thin", "lvm.create_thin:1"),
        ("thin", "formatter.make:1"),
        ("thick", "devices.zero:1"),
    ],
)
def test_agent_dies_while_it_makes_a_claim(
    stack: Stack, second: SecondController, layout: str, effect: str, when: str
) -> None:
    """And the other controller has the same volume made on the other node."""
    name, parameters = f"making-{effect.partition(':')[0]}-{when}", {"layout": layout}
    stack.restart("host1", f"{effect}:{when}")
    first = Asking(stack.controller, name, "host1", parameters).start()
    await_placing(stack, name)
    other = Asking(second.client, name, "host2", parameters).start()
    assert stack.processes["host1"].wait(60) == KILLED
    stack.start(["host1"])
    answers = first.answer(), other.answer()
    assert answers[0] == answers[1]
    stack.await_ready(["host1"])
    second.await_heard("host1")
    # A claim that its node brought back after the name was settled elsewhere is never committed; whoever asks for the
    # name again has it dropped.
    assert list(volumes(stack, name).values()).count("ready") == 1
    check_one(stack, second, name, answers[0], parameters)


@pytest.mark.parametrize("when", WHEN)
def test_agent_dies_as_it_commits_what_it_has_just_made(stack: Stack, second: SecondController, when: str) -> None:
    name = f"committing-{when}"
    stack.restart("host1", f"lvm.change_tags:1:{when}")
    second.await_heard("host1")
    asking = Asking(stack.controller, name, "host1").start()
    assert stack.processes["host1"].wait(60) == KILLED
    stack.start(["host1"])
    answer = asking.answer()
    stack.await_ready(["host1"])
    second.await_heard("host1")
    check_one(stack, second, name, answer)


def test_nothing_is_left(stack: Stack) -> None:
    assert stack.leftovers() == {}
