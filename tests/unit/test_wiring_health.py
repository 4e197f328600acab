"""Probes are answered by the event loop itself, and by nothing else of the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from csi_driver.errors import InternalError, InvalidRequest
from csi_driver.wiring.health import HealthPart


class Answers:
    def __init__(self) -> None:
        self.ready = False
        self.part = HealthPart("127.0.0.1:0", lambda: self.ready)

    async def send(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.part.port)
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return answer

    async def get(self, path: str) -> str:
        """The status line, of a request as kubelet sends it."""
        head = f"GET {path} HTTP/1.1\r\nHost: 10.0.0.1:9808\r\nUser-Agent: kube-probe/1.37\r\nConnection: close\r\n\r\n"
        return (await self.send(head.encode())).split(b"\r\n", 1)[0].decode()


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    answers = Answers()
    await answers.part.start()
    yield answers
    await answers.part.close()


async def test_alive_and_ready_are_two_things(answers: Answers) -> None:
    assert await answers.get("/healthz") == "HTTP/1.1 200 OK"
    assert await answers.get("/readyz") == "HTTP/1.1 503 Service Unavailable"
    answers.ready = True
    assert await answers.get("/readyz") == "HTTP/1.1 200 OK"


async def test_it_is_alive_to_the_end(answers: Answers) -> None:
    await answers.part.quiesce()
    assert await answers.get("/healthz") == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /secrets HTTP/1.1", b"404 Not Found"),
        (b"POST /healthz HTTP/1.1", b"405 Method Not Allowed"),
        (b"\x16\x03\x01", b"405 Method Not Allowed"),
        (b"GET /healthz", b"200 OK"),
    ],
)
async def test_other_requests(answers: Answers, request_line: bytes, status: bytes) -> None:
    assert (await answers.send(request_line + b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status)


async def test_an_endless_request_is_cut_off(answers: Answers) -> None:
    assert await answers.send(b"GET /" + b"x" * 100_000) == b""
    assert await answers.get("/healthz") == "HTTP/1.1 200 OK"


async def test_nowhere_and_elsewhere(answers: Answers) -> None:
    nowhere = HealthPart("", lambda: True)
    await nowhere.start()
    assert nowhere.port == 0
    await nowhere.close()
    with pytest.raises(InvalidRequest, match="health = 'here'"):
        HealthPart("here", lambda: True)
    with pytest.raises(InternalError, match="cannot be served"):
        await HealthPart(f"127.0.0.1:{answers.part.port}", lambda: True).start()
