"""The command lines for the lvm shell, and what its report means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from csi_driver.errors import CommandFailed, NotFound
from csi_driver.host.doors import LogicalVolume, PhysicalVolume, VolumeGroup
from csi_driver.host.lvm.answers import Answer
from csi_driver.model.sizes import KIB, MIB
from csi_driver.model.volume import Layout

MALFORMED = 3
"""EINVALID_CMD_LINE of LVM's lib/commands/errors.h."""
MOST_WORDS = 63
"""MAX_ARGS of LVM's tools/lvmcmdline.c less one: the shell refuses a line of more words."""

_NAME = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*")
_TAG = re.compile(r"[A-Za-z0-9_+./=!:&#-]{1,4096}")
"""lvm(8), "Valid names" and "Tags"."""

METADATA_AREA = 64 * MIB
POOL_CHUNK = 64 * KIB
_DISK = re.compile(r"/dev/[A-Za-z0-9_+.:/=-]{1,250}")

_VG_FIELDS = "vg_name,vg_uuid,vg_size,vg_free,vg_extent_size,vg_mda_size,vg_mda_free,vg_missing_pv_count,vg_tags"
_LV_FIELDS = (
    "lv_name,lv_uuid,lv_size,lv_tags,lv_layout,lv_active,lv_kernel_major,lv_kernel_minor,"
    "pool_lv,data_percent,metadata_percent,lv_metadata_size,lv_when_full,sync_percent,lv_health_status"
)

_FRESH = "--config=activation/monitoring=0"
"""In every line; it repeats lvm.conf. A shell of 2.03.31 keeps its list of active devices from one command to the
next, until it changes one itself: a volume that another lvm has activated meanwhile would count as inactive, and
lvremove would then take it away while it is open (seen in the lab). A configuration of its own makes a command begin
afresh; it costs some 8 ms."""

_NEW = ("--yes", "--activate=y", "--setactivationskip=y", "--ignoreactivationskip")
"""Of every LV that we make: active now, and later only by our ``lvchange -K``. ``--setautoactivation n`` is no use:
it is refused for thin volumes, and ``vgchange -ay`` does not heed it."""

_ASLEEP = ("--yes", "--setactivationskip=y")
"""Of a snapshot: LVM itself leaves one with this flag inactive, and only our ``lvchange -K`` brings it up."""

_NOTHING_TO_WIPE = "--wipesignatures=n"
"""Of a new thin volume, which reads as zeros."""

_NO_WAIT = "--noudevsync"
"""Without wiping LVM needs no name in /dev of a new thin volume, so it need not wait for udev, which takes longer than
all the rest of lvcreate. We open the device by its number. udev still gives it its names, in its own time, as the
host's own tools expect (``udev_rules`` stays on; without, they go stale: cluster.md). A pool that is not up
is another matter: LVM brings it up first, and runs thin_check on a name of its metadata that only udev makes."""

_WIPED = ("--wipesignatures=y", "--zero=y")
"""Of a new thick volume. It waits for udev, which must not look at what an earlier tenant left (md, LVM)."""


def report(vg: str) -> str:
    """All of a VG in one document: ``fullreport`` reads the metadata once, ``vgs`` and ``lvs`` could differ.

    A full report has five parts. The thin id, and whether a pool zeroes, are fields of segments, of which thin volumes
    and pools have one each; the other selections leave nothing of the parts that are not wanted.
    """
    return _line(
        "fullreport",
        # The hidden parts of a thin pool tell how its data lies.
        *("--all", "--units=b", "--nosuffix"),
        *("--configreport=vg", f"--options={_VG_FIELDS}"),
        *("--configreport=lv", f"--options={_LV_FIELDS}"),
        *("--configreport=pv", "--options=pv_name,pv_size,pv_free,pv_missing"),
        *("--configreport=pvseg", "--options=pvseg_size", "--select=pvseg_size=0"),
        *("--configreport=seg", "--options=lv_name,thin_id,zero", "--select=segtype=~^thin"),
        _name(vg),
    )


def create_thin(name: str, *, vg: str, pool: str, size: int, tags: Iterable[str], pool_is_up: bool = False) -> str:
    """``lvcreate -V``. It waits for udev unless ``pool_is_up`` (the kernel has the pool's own device)."""
    where = (f"--virtualsize={size}b", f"--name={_name(name)}", f"--thinpool={_name(pool)}")
    how = (_NOTHING_TO_WIPE, _NO_WAIT) if pool_is_up else (_NOTHING_TO_WIPE,)
    return _line("lvcreate", *_NEW, *how, *where, *_tags("add", tags), _name(vg))


def create_thick(
    name: str, *, vg: str, size: int, tags: Iterable[str], layout: Layout = Layout.THICK, stripes: int = 1
) -> str:
    """``lvcreate`` of a linear, striped or raid LV; its first 4 KiB are zeroed and signatures wiped."""
    where = (*_WIPED, *_LEGS[layout], f"--size={size}b", f"--name={_name(name)}")
    striped = (f"--stripes={stripes}", _STRIPE) if layout in (Layout.STRIPED, Layout.RAID10) else ()
    return _line("lvcreate", *_NEW, *where, *striped, *_tags("add", tags), _name(vg))


_STRIPE = "--stripesize=64k"
_LEGS = {
    Layout.THICK: ("--type=linear",),
    Layout.STRIPED: ("--type=striped",),
    Layout.RAID1: ("--type=raid1", "--mirrors=1", "--nosync"),
    Layout.RAID10: ("--type=raid10", "--mirrors=1", "--nosync"),
}
"""Legs need not be made alike: every byte of a new volume is overwritten before anyone reads it (``agent.claim``), and
what is written goes to all of them."""


def create_snapshot(name: str, *, vg: str, origin: str, tags: Iterable[str], pool_is_up: bool = False) -> str:
    """``lvcreate -s`` without a size: of a thin LV it makes a thin one, of any other it is refused."""
    how = (_NO_WAIT,) if pool_is_up else ()
    what = ("--type=thin", "--snapshot", f"--name={_name(name)}")
    return _line("lvcreate", *_ASLEEP, *how, *what, *_tags("add", tags), _path(vg, origin))


def remove(name: str, *, vg: str) -> str:
    """``lvremove``, without a question."""
    return _line("lvremove", "--yes", _path(vg, name))


def extend(name: str, *, vg: str, size: int, metadata_only: bool) -> str:
    """``lvextend``. Without the driver it changes LVM's metadata alone, and no thin pool is suspended (kernel.md 8)."""
    driver = ("--driverloaded=n",) if metadata_only else ()
    return _line("lvextend", *driver, f"--size={size}b", _path(vg, name))


def create_group(vg: str, *, disks: Iterable[str], tags: Iterable[str]) -> str:
    """``vgcreate``. Quiet twice answers every question with no (lvm(8)): it gives up on a disk with a signature. The
    shell's own input, where it would look for an answer, holds our next command.
    """
    how = ("--quiet", "--quiet", f"--metadatasize={METADATA_AREA}b", "--setautoactivation=n")
    return _line("vgcreate", *how, *_tags("add", tags), _name(vg), *(_disk(disk) for disk in disks))


def create_pool(name: str, *, vg: str, size: int, metadata: int) -> str:
    """``lvcreate --type thin-pool``."""
    how = ("--type=thin-pool", f"--chunksize={POOL_CHUNK}b", "--zero=y", "--poolmetadataspare=y", "--activate=y")
    what = (f"--size={size}b", f"--poolmetadatasize={metadata}b", f"--name={_name(name)}")
    return _line("lvcreate", "--yes", *how, *what, _name(vg))


def grow_pool(name: str, *, vg: str, data: int = 0, metadata: int = 0) -> str:
    """``lvextend`` of one part of a thin pool."""
    what = f"--poolmetadatasize={metadata}b" if metadata else f"--size={data}b"
    return _line("lvextend", what, _path(vg, name))


def set_when_full(name: str, *, vg: str, fail: bool) -> str:
    """``lvchange``: lvcreate takes it for no thin pool (kernel.md 8)."""
    return _line("lvchange", f"--errorwhenfull={'y' if fail else 'n'}", _path(vg, name))


def change_tags(name: str, *, vg: str, add: Iterable[str], remove: Iterable[str]) -> str:
    """One ``lvchange`` for both."""
    return _line("lvchange", *_tags("del", remove), *_tags("add", add), _path(vg, name))


def activate(name: str, *, vg: str) -> str:
    """``lvchange -ay -K``."""
    return _line("lvchange", "--activate=y", "--ignoreactivationskip", _path(vg, name))


def deactivate(name: str, *, vg: str) -> str:
    """``lvchange -an``."""
    return _line("lvchange", "--activate=n", _path(vg, name))


def parse_report(vg: str, answer: Answer) -> VolumeGroup:
    """The answer to ``report``, without the hidden parts of pools. Raises NotFound when it has no such VG."""
    rows = [row for row in answer.rows("vg") if row["vg_name"] == vg]
    if not rows:
        raise NotFound(f"there is no volume group {vg}")
    row = rows[0]
    segments = {segment["lv_name"]: segment for segment in answer.rows("seg")}
    layouts = {one["lv_name"]: _layout(one["lv_layout"]) for one in answer.rows("lv")}
    return VolumeGroup(
        name=vg,
        uuid=row["vg_uuid"],
        size=int(row["vg_size"]),
        free=int(row["vg_free"]),
        extent=int(row["vg_extent_size"]),
        metadata_size=int(row["vg_mda_size"]),
        metadata_free=int(row["vg_mda_free"]),
        missing=int(row["vg_missing_pv_count"]),
        volumes=tuple(
            _volume(vg, one, segments.get(one["lv_name"], {}), layouts)
            for one in answer.rows("lv")
            if one["lv_name"][0] != "["
        ),
        disks=tuple(
            PhysicalVolume(one["pv_name"], int(one["pv_size"]), int(one["pv_free"]), one["pv_missing"] != "")
            for one in answer.rows("pv")
        ),
        tags=_tag_set(row["vg_tags"]),
    )


def _volume(vg: str, row: Mapping[str, str], segment: Mapping[str, str], layouts: Mapping[str, str]) -> LogicalVolume:
    """One row. Fields that do not apply are empty; a percentage is so while kernel and metadata differ in size too."""
    layout = _layout(row["lv_layout"])
    thin_id = segment.get("thin_id", "")
    major, minor = int(row["lv_kernel_major"]), int(row["lv_kernel_minor"])
    return LogicalVolume(
        vg=vg,
        name=row["lv_name"],
        uuid=row["lv_uuid"],
        size=int(row["lv_size"]),
        tags=_tag_set(row["lv_tags"]),
        pool=row["pool_lv"],
        layout=layout,
        active=row["lv_active"] != "",
        devno=(major, minor) if major >= 0 and minor >= 0 else None,
        thin_id=int(thin_id) if thin_id else None,
        data_percent=float(row["data_percent"] or 0),
        metadata_percent=float(row["metadata_percent"] or 0),
        metadata_size=int(row["lv_metadata_size"] or 0),
        # LVM says it of a pool's volumes too.
        zeroing=layout == "thin-pool" and segment.get("zero") == "zero",
        data_layout=layouts.get(f"[{row['lv_name']}_tdata]", "") if layout == "thin-pool" else "",
        when_full=row["lv_when_full"] if layout == "thin-pool" else "",
        sync_percent=float(row["sync_percent"]) if row["sync_percent"] else None,
        health=row["lv_health_status"],
    )


def _tag_set(words: str) -> frozenset[str]:
    return frozenset(filter(None, words.split(",")))


def _layout(words: str) -> str:
    """``thin,sparse`` is a thin volume, ``thin,pool`` a thin pool, ``raid,raid10,raid10_near`` a raid10."""
    first, *more = words.split(",")
    if words == "thin,pool":
        return "thin-pool"
    return more[0] if first == "raid" and more else first


def _tags(verb: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Options in a fixed order. Raises CommandFailed for what LVM would refuse or misread."""
    options: list[str] = []
    for tag in sorted(tags):
        if not _TAG.fullmatch(tag):
            raise CommandFailed("lvm", MALFORMED, f"{tag!r} cannot be an LVM tag")
        options.append(f"--{verb}tag={tag}")
    return tuple(options)


def _path(vg: str, name: str) -> str:
    return f"{_name(vg)}/{_name(name)}"


def _disk(path: str) -> str:
    if not _DISK.fullmatch(path):
        raise CommandFailed("lvm", MALFORMED, f"{path!r} cannot be the path of a disk")
    return path


def _name(name: str) -> str:
    """No name reaches the shell that it could read as an option, a quote or two words."""
    if not _NAME.fullmatch(name):
        raise CommandFailed("lvm", MALFORMED, f"{name!r} cannot be the name of a volume or a volume group")
    return name


def _line(command: str, *options: str) -> str:
    words = (command, _FRESH, *options)
    if len(words) > MOST_WORDS:
        text = f"{command} with {len(words)} words: the lvm shell takes {MOST_WORDS}; use fewer tags"
        raise CommandFailed("lvm", MALFORMED, text)
    return " ".join(words)
