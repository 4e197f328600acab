"""Targets with two portals, one of them IPv6, that prove themselves by CHAP; and times that a class chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from csi_driver.model.sizes import GIB, MIB
from tests.lab import HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import Csi, mount
from tests.stack.stack import Stack

STORAGE, CONSUMER = "host1", "host2"
STAGING = "/var/lib/kubelet/portals/staging"
PREFIX = "fd77::"
SIX, FOUR = f"[{PREFIX}1]:3260", "10.77.0.1:3260"
TIMEOUT = "77"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Lab([HostSpec(STORAGE, (4 * GIB,)), HostSpec(CONSUMER)]) as lab:
        for host in lab.hosts:
            host.run(["ip", "-6", "address", "add", f"{PREFIX}{host.number}/64", "dev", "vec0", "nodad"])
            host.run(["mkdir", "-p", STAGING])
        stack = Stack(
            lab=lab,
            patience=120,
            portals={STORAGE: [SIX, FOUR]},
            agent_extra="mutual_chap = true",
            consumer_extra="mutual_chap = true",
        )
        stack.up()
        yield stack


@contextmanager
def attached(stack: Stack, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    parameters = {"replacementTimeout": TIMEOUT}
    made = stack.controller.create(name, 64 * MIB, mount(), parameters=parameters, near=STORAGE)
    context = stack.controller.attach(made.volume_id, CONSUMER, mount())
    stage(stack.node(CONSUMER), made.volume_id, context, dict(made.volume_context))
    yield made.volume_id, context
    stack.node(CONSUMER).unstage(made.volume_id, STAGING)
    stack.controller.detach(made.volume_id, CONSUMER)
    stack.controller.delete(made.volume_id)
    eventually(lambda: stack.leftovers() == {}, within=120)


def stage(node: Csi, volume: str, context: dict[str, str], volume_context: dict[str, str]) -> None:
    node.stage(volume, context, STAGING, mount(), volume_context=volume_context)


def session(stack: Stack, field: str) -> list[str]:
    script = (
        f"cat /sys/class/iscsi_session/session*/{field} /sys/class/iscsi_connection/connection*/{field} 2>/dev/null"
    )
    return stack.lab.host(CONSUMER).run(["sh", "-c", f"{script}; true"]).stdout.split()


def test_the_first_portal_is_taken_over_ipv6_and_the_class_chooses_the_time(stack: Stack) -> None:
    with attached(stack, "six") as (_, context):
        assert context["portals"] == f"{SIX},{FOUR}"
        assert session(stack, "persistent_address") == [f"{PREFIX}1"]
        assert session(stack, "recovery_tmo") == [TIMEOUT]
        assert session(stack, "username_in") == ["clinker-target"]


def test_another_portal_is_taken_when_the_first_does_not_answer(stack: Stack) -> None:
    consumer = stack.lab.host(CONSUMER)
    consumer.run(["ip", "-6", "route", "add", "unreachable", f"{PREFIX}1/128"])
    try:
        with attached(stack, "four"):
            assert session(stack, "persistent_address") == [FOUR.partition(":")[0]]
    finally:
        consumer.run(["ip", "-6", "route", "del", "unreachable", f"{PREFIX}1/128"])
