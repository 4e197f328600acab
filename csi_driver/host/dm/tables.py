"""Tables for the targets that we use (Documentation/admin-guide/device-mapper), and what stands in them."""

from __future__ import annotations

from csi_driver.host.doors import DmLine, numbers

Table = tuple[DmLine, ...]


def linear(devno: tuple[int, int], sectors: int, offset: int = 0) -> Table:
    """The device ``devno`` from sector ``offset`` on."""
    return (DmLine(0, sectors, "linear", f"{numbers(devno)} {offset}"),)


def error(sectors: int) -> Table:
    """Every request fails."""
    return (DmLine(0, sectors, "error"),)


def thin(pool: tuple[int, int], thin_id: int, sectors: int) -> Table:
    """Volume ``thin_id`` of the pool device."""
    return (DmLine(0, sectors, "thin", f"{numbers(pool)} {thin_id}"),)


def length(table: Table) -> int:
    """Sectors that a table maps."""
    return max((line.start + line.length for line in table), default=0)


def is_error(table: Table) -> bool:
    """Whether a table maps something, and every request to it fails."""
    return bool(table) and all(line.target == "error" for line in table)


def below(line: DmLine) -> tuple[tuple[int, int], int] | None:
    """The device that a linear line maps, and the sector where it begins there; None for other targets.

    Raises ValueError unless the device is spelled ``major:minor``.
    """
    if line.target != "linear":
        return None
    device, offset = line.args.split()
    major, minor = device.split(":")
    return (int(major), int(minor)), int(offset)


def mapper_name(vg: str, lv: str) -> str:
    """The dm name that LVM gives an LV: hyphens doubled, joined by a single one."""
    return f"{vg.replace('-', '--')}-{lv.replace('-', '--')}"


def pool_name(vg: str, lv: str) -> str:
    """What device-mapper calls the thin pool itself, below all that LVM shows of it: there as long as it is up."""
    return f"{mapper_name(vg, lv)}-tpool"
