"""How kubelet comes to know the driver, over the sockets that it uses itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from grpc import aio
from prometheus_client import CollectorRegistry

from csi_driver.errors import InternalError, InvalidRequest, Unavailable
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.gen import pluginregistration_pb2 as pb
from csi_driver.rpc.gen.pluginregistration_pb2_grpc import RegistrationStub
from csi_driver.settings import KubeletSettings
from csi_driver.wiring.process import run
from csi_driver.wiring.registration import RegistrationPart

NAME = "csi.clinker.io-reg.sock"
ENDPOINT = "/var/lib/kubelet/plugins/csi.clinker.io/csi.sock"


def part(folder: Path, endpoint: str = ENDPOINT) -> RegistrationPart:
    settings = KubeletSettings(registration_socket=str(folder / NAME), endpoint=endpoint)
    return RegistrationPart(settings, RpcMetrics(CollectorRegistry()))


async def ask(folder: Path) -> pb.PluginInfo:
    """As kubelet does when it sees the socket."""
    async with aio.insecure_channel(f"unix:{folder / NAME}") as channel:
        return await RegistrationStub(channel).GetInfo(pb.InfoRequest(), timeout=5)


async def tell(folder: Path, *, registered: bool, error: str = "") -> None:
    async with aio.insecure_channel(f"unix:{folder / NAME}") as channel:
        status = pb.RegistrationStatus(plugin_registered=registered, error=error)
        await RegistrationStub(channel).NotifyRegistrationStatus(status, timeout=5)


async def test_kubelet_is_told_who_we_are(tmp_path: Path) -> None:
    served = part(tmp_path)
    await served.start()
    assert not served.registered
    info = await ask(tmp_path)
    assert (info.type, info.name, info.endpoint) == ("CSIPlugin", "csi.clinker.io", ENDPOINT)
    assert list(info.supported_versions) == ["1.0.0"]
    await tell(tmp_path, registered=True)
    assert served.registered
    await served.quiesce()
    await served.close()


async def test_kubelet_s_own_messages_are_understood() -> None:
    """The bytes are those of k8s.io/kubelet's api.proto: numbers and types are kubelet's, not ours."""
    told = pb.RegistrationStatus.FromString(b"\x08\x01\x12\x02no")
    assert (told.plugin_registered, told.error) == (True, "no")
    info = pb.PluginInfo(type="a", name="b", endpoint="c", supported_versions=["d"])
    assert info.SerializeToString() == b"\x0a\x01a\x12\x01b\x1a\x01c\x22\x01d"
    assert pb.DESCRIPTOR.services_by_name["Registration"].full_name == "pluginregistration.Registration"


async def test_a_refusal_ends_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = asyncio.create_task(run([part(tmp_path)]))
    while not (tmp_path / NAME).exists():
        await asyncio.sleep(0.01)
    await tell(tmp_path, registered=False, error="the node is out of order")
    assert await process == 1
    assert "kubelet did not register the driver: the node is out of order" in caplog.text


async def test_the_socket_appears_served_and_stays_behind(tmp_path: Path) -> None:
    seen: list[str] = []
    for _ in range(2):  # the second finds what the first has left
        served = part(tmp_path)
        await served.start()
        seen = [path.name for path in tmp_path.iterdir()]
        assert (await ask(tmp_path)).name == "csi.clinker.io"
        await served.quiesce()
        await served.close()
    assert seen == [path.name for path in tmp_path.iterdir()] == [NAME]


async def test_after_a_kill_it_starts_again(tmp_path: Path) -> None:
    import socket

    for name in (NAME, f".{NAME}"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / name))
    served = part(tmp_path)
    await served.start()
    assert (await ask(tmp_path)).name == "csi.clinker.io"
    await served.quiesce()
    await served.close()


async def test_what_cannot_be(tmp_path: Path) -> None:
    missing = part(tmp_path / "no-kubelet-here")
    with pytest.raises(InternalError, match="no socket can be made"):
        await missing.start()
    await missing.quiesce()
    await missing.close()
    with pytest.raises(InvalidRequest, match="no absolute Unix socket path"):
        part(tmp_path, endpoint="csi.sock")
    with pytest.raises(InvalidRequest, match="no absolute Unix socket path"):
        part(tmp_path, endpoint="")


async def test_without_kubelet_there_is_nothing_to_wait_for() -> None:
    nothing = RegistrationPart(KubeletSettings(), RpcMetrics(CollectorRegistry()))
    await nothing.start()
    assert nothing.registered
    assert nothing.tasks == ()
    await nothing.quiesce()
    await nothing.close()


async def test_a_refusal_has_its_reason(tmp_path: Path) -> None:
    served = part(tmp_path)
    await served.start()
    await tell(tmp_path, registered=False)
    await tell(tmp_path, registered=False, error="a second one")
    with pytest.raises(Unavailable, match="no reason given"):
        await served.tasks[0]
    await served.quiesce()
    await served.close()
