"""What keeps an uninstall from going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from csi_driver import DRIVER_NAME
from csi_driver.errors import Precondition, Unavailable
from csi_driver.kube.uninstall import ATTACHMENTS, VOLUMES, InUse, in_use
from csi_driver.wiring.uninstall import uninstall_check
from tests.unit.kube_server import serving


def volume(name: str, driver: str = DRIVER_NAME, claim: str = "") -> dict[str, Any]:
    spec: dict[str, Any] = {"csi": {"driver": driver}} if driver else {"hostPath": {"path": "/x"}}
    if claim:
        spec["claimRef"] = {"namespace": "shop", "name": claim}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Bound"}}


def attachment(name: str, driver: str = DRIVER_NAME) -> dict[str, Any]:
    spec = {"attacher": driver, "nodeName": "n1", "source": {"persistentVolumeName": "pvc-1"}}
    return {"metadata": {"name": name}, "spec": spec}


async def test_only_what_is_ours_counts(tmp_path: Path) -> None:
    async with serving() as (server, api):
        await server.put(VOLUMES, volume("theirs", "other.example"))
        await server.put(VOLUMES, volume("path", ""))
        await server.put(ATTACHMENTS, attachment("theirs", "other.example"))
        assert not await in_use(api)
        await uninstall_check(str(server.kubeconfig(tmp_path)))


async def test_what_is_left_is_named(tmp_path: Path) -> None:
    async with serving() as (server, _):
        await server.put(VOLUMES, volume("pvc-1", claim="data"))
        await server.put(VOLUMES, volume("pvc-2"))
        await server.put(ATTACHMENTS, attachment("csi-1"))
        with pytest.raises(Precondition) as raised:
            await uninstall_check(str(server.kubeconfig(tmp_path)))
    said = str(raised.value)
    assert "PersistentVolume pvc-1 of claim shop/data, Bound" in said
    assert "PersistentVolume pvc-2, Bound" in said
    assert "VolumeAttachment csi-1: pvc-1 on node n1" in said


async def test_an_api_server_that_does_not_answer_is_no_permission(tmp_path: Path) -> None:
    async with serving() as (server, _):
        server.failures[ATTACHMENTS] = [500]
        with pytest.raises(Unavailable):
            await uninstall_check(str(server.kubeconfig(tmp_path)))


def test_many_are_cut_short() -> None:
    text = InUse(volumes=tuple(f"pvc-{n}" for n in range(25)), attachments=()).text
    assert len(text.splitlines()) == 21
    assert text.endswith("and 5 more of kind PersistentVolume")
