"""An agent's proof: the right token passes, and each wrong one is told apart."""

from __future__ import annotations

import pytest

from csi_driver.errors import Denied, Unavailable
from csi_driver.kube.proof import PATH, TokenReviews
from tests.unit.kube_server import AUDIENCE, Object, review, serving
from tests.unit.test_kube_agents import SETTINGS


async def test_the_right_one() -> None:
    async with serving() as (server, api):
        server.reviews["t1"] = review("n1")
        await TokenReviews(api, SETTINGS).check("n1", "t1")
        assert server.bodies[0]["spec"] == {"token": "t1", "audiences": [AUDIENCE]}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (review("n2"), "its token is from 'n2'"),
        (review(""), "its token is from no node"),
        (review("n1", user="system:serviceaccount:clinker:other"), "is of 'system:serviceaccount:clinker:other'"),
        (review("n1", user="system:serviceaccount:evil:clinker-node"), "is of 'system:serviceaccount:evil"),
        (review("n1", audiences=("https://kubernetes.default.svc",)), "not for the audience csi.clinker.io"),
        (review("n1", audiences=()), "not for the audience csi.clinker.io"),
        (review("n1", valid=False), r"not valid \(token has expired\)"),
        ({}, r"not valid \(no reason given\)"),
        ({"authenticated": True, "audiences": [AUDIENCE]}, "is of None"),
    ],
)
async def test_a_wrong_one(status: Object, words: str) -> None:
    async with serving() as (server, api):
        server.reviews["t1"] = status
        with pytest.raises(Denied, match=f"node n1 has not proven to be it: .*{words}") as caught:
            await TokenReviews(api, SETTINGS).check("n1", "t1")
        assert "t1" not in str(caught.value)


@pytest.mark.parametrize("status", [403, 500])
async def test_when_it_cannot_be_asked_nothing_is_known(status: int) -> None:
    async with serving() as (server, api):
        server.reviews["t1"] = review("n1")
        server.failures[PATH] = [status]
        with pytest.raises(Unavailable, match=f"answers {status}"):
            await TokenReviews(api, SETTINGS).check("n1", "t1")
