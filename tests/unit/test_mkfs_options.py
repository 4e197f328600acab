"""Which options a class may give to mkfs."""

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import FsType
from csi_driver.model.mkfs import check, parse


@pytest.mark.parametrize(
    ("fs", "text"),
    [
        (FsType.EXT4, "-i 8192 -O ^metadata_csum_seed,^orphan_file -J size=64 -m 1"),
        (FsType.XFS, "-m reflink=0,bigtime=1 -i size=512 -l size=64m -d su=64k,sw=2"),
    ],
)
def test_what_is_allowed(fs: FsType, text: str) -> None:
    words = parse(text)
    assert words == tuple(text.split())
    check(fs, words)
    (other,) = set(FsType) - {fs}
    with pytest.raises(InvalidRequest, match=f"cannot be given to mkfs.{other.value}"):
        check(other, words)
    with pytest.raises(InvalidRequest, match="a block volume has no file system"):
        check(None, words)


@pytest.mark.parametrize(
    "text",
    [
        "-F 1",
        "-f 1",
        "-E nodiscard",
        "-U random",
        "-L name",
        "-n size=4096",
        "-r rtdev=/dev/sda",
        "-J device=/dev/sda",
        "-l logdev=/dev/sda",
        "-d file=1",
        "-d size=1g",
        "-i",
        "8192",
        "-i 8192 -b",
        "-i 8192,-F",
        "-O ^has_journal",
        "-b 65536",
    ],
)
def test_what_could_destroy_or_undo_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="parameter mkfsOptions"):
        parse(text)


def test_no_options_fit_everything() -> None:
    assert parse("  ") == ()
    for fs in (*FsType, None):
        check(fs, ())
