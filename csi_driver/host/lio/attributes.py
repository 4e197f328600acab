"""Attributes in configfs: written only where they differ, as some cannot be written while the target is in use."""

from __future__ import annotations

from csi_driver.errors import NotFound
from csi_driver.host.doors.configfs import Configfs


async def settle(configfs: Configfs, path: str, value: str) -> None:
    """The attribute has this value."""
    if await configfs.read(path) != value:
        await configfs.write(path, value)


async def settle_if_known(configfs: Configfs, path: str, value: str) -> None:
    """Likewise, on kernels that have the attribute."""
    if (await read_or_empty(configfs, path)) not in ("", value):
        await configfs.write(path, value)


async def read_or_empty(configfs: Configfs, path: str) -> str:
    """The attribute's text; empty when there is none."""
    try:
        return await configfs.read(path)
    except NotFound:
        return ""
