"""The lines that the lvm shell is given."""

import shlex
from pathlib import Path

import pytest

from csi_driver.errors import CommandFailed, InvalidRequest
from csi_driver.host.lvm import commands
from csi_driver.host.lvm.config import render_config, write_config
from csi_driver.model.sizes import MIB
from csi_driver.model.volume import Layout
from csi_driver.settings import AgentSettings, PoolSettings

TAGS = frozenset({"b=2", "a=1"})


def test_a_thin_volume_carries_its_tags_from_the_start() -> None:
    words = shlex.split(commands.create_thin("vol-a", vg="vg0", pool="pool", size=64 * MIB, tags=TAGS))
    assert words[0] == "lvcreate"
    assert words[-1] == "vg0"
    assert {"--virtualsize=67108864b", "--name=vol-a", "--thinpool=pool", "--yes", "--activate=y"} <= set(words)
    assert words.index("--addtag=a=1") < words.index("--addtag=b=2")


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        (Layout.THICK, {"--type=linear"}),
        (Layout.STRIPED, {"--type=striped", "--stripes=3", "--stripesize=64k"}),
        (Layout.RAID1, {"--type=raid1", "--mirrors=1", "--nosync"}),
        (Layout.RAID10, {"--type=raid10", "--mirrors=1", "--nosync", "--stripes=3", "--stripesize=64k"}),
    ],
)
def test_layouts_over_several_disks(layout: Layout, words: set[str]) -> None:
    line = commands.create_thick("vol-a", vg="vg0", size=MIB, tags=TAGS, layout=layout, stripes=3)
    told = {word for word in line.split() if word.startswith(("--type", "--mirrors", "--nosync", "--strip"))}
    assert told == words
    assert {"--wipesignatures=y", "--zero=y"} <= set(line.split())


def test_only_over_an_active_pool_is_udev_not_waited_for() -> None:
    waits = commands.create_thin("vol-a", vg="vg0", pool="pool", size=MIB, tags=TAGS)
    goes_on = commands.create_thin("vol-a", vg="vg0", pool="pool", size=MIB, tags=TAGS, pool_is_up=True)
    assert "--noudevsync" in goes_on.split()
    for line in (waits, commands.create_thick("vol-a", vg="vg0", size=MIB, tags=TAGS)):
        assert "--noudevsync" not in line.split()


def test_a_volume_is_left_off_by_the_hosts_own_boot() -> None:
    for line in (
        commands.create_thin("vol-a", vg="vg0", pool="pool", size=MIB, tags=TAGS),
        commands.create_thick("vol-a", vg="vg0", size=MIB, tags=TAGS),
    ):
        assert "--setactivationskip=y" in line.split()
    assert "--ignoreactivationskip" in commands.activate("vol-a", vg="vg0").split()


def test_a_snapshot_is_thin_asleep_and_never_given_a_size() -> None:
    """With a size LVM would make one of its old snapshots, which fills up and is lost then."""
    words = commands.create_snapshot("snap-a", vg="vg0", origin="vol-a", tags=TAGS, pool_is_up=True).split()
    assert (words[0], words[-1]) == ("lvcreate", "vg0/vol-a")
    assert {"--type=thin", "--snapshot", "--name=snap-a", "--setactivationskip=y", "--noudevsync"} <= set(words)
    assert not [word for word in words if "size" in word or "activate" in word or "extents" in word]
    assert words.index("--addtag=a=1") < words.index("--addtag=b=2")


def test_every_command_begins_afresh() -> None:
    for line in (
        commands.report("vg0"),
        commands.create_thick("vol-a", vg="vg0", size=MIB, tags=TAGS),
        commands.remove("vol-a", vg="vg0"),
        commands.extend("vol-a", vg="vg0", size=MIB, metadata_only=True),
        commands.change_tags("vol-a", vg="vg0", add=TAGS, remove=TAGS),
        commands.activate("vol-a", vg="vg0"),
        commands.deactivate("vol-a", vg="vg0"),
    ):
        assert line.split()[1].startswith("--config=")


def test_extend_tells_the_kernel_or_not() -> None:
    assert "--driverloaded=n" in commands.extend("vol-a", vg="vg0", size=MIB, metadata_only=True).split()
    assert "--driverloaded=n" not in commands.extend("vol-a", vg="vg0", size=MIB, metadata_only=False).split()


def test_tags_are_removed_before_others_are_added() -> None:
    line = commands.change_tags(
        "vol-a", vg="vg0", add=frozenset({"content=ready"}), remove=frozenset({"content=claimed"})
    )
    assert line.endswith(" --deltag=content=claimed --addtag=content=ready vg0/vol-a")


@pytest.mark.parametrize("bad", ["", "a b", "-a", "a/b", "a;b", "a'b", 'a"b', "a\nquit", "ä"])
def test_no_name_can_be_read_as_anything_else(bad: str) -> None:
    with pytest.raises(CommandFailed):
        commands.remove(bad, vg="vg0")
    with pytest.raises(CommandFailed):
        commands.remove("vol-a", vg=bad)
    with pytest.raises(CommandFailed):
        commands.create_thin("vol-a", vg="vg0", pool=bad, size=MIB, tags=TAGS)
    with pytest.raises(CommandFailed):
        commands.report(bad)


@pytest.mark.parametrize("bad", ["", "a b", "a'b", 'a"b', "a\nquit", "a@b", "a,b", "x" * 4097])
def test_no_tag_can_be_read_as_anything_else(bad: str) -> None:
    with pytest.raises(CommandFailed):
        commands.change_tags("vol-a", vg="vg0", add=frozenset({bad}), remove=frozenset())
    with pytest.raises(CommandFailed):
        commands.change_tags("vol-a", vg="vg0", add=frozenset(), remove=frozenset({bad}))


def test_a_line_of_more_words_than_the_shell_takes() -> None:
    with pytest.raises(CommandFailed, match="fewer tags"):
        commands.create_thick("vol-a", vg="vg0", size=MIB, tags=frozenset(f"t{number}" for number in range(60)))


def rules(text: str) -> str:
    (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith("global_filter"))
    return line


def test_named_devices_are_the_only_ones() -> None:
    text = render_config(AgentSettings(lvm_devices=("^/dev/sd[ab]$", "^/dev/(x|y)")))
    assert rules(text) == 'global_filter = [ "a|^/dev/sd[ab]$|", "a#^/dev/(x|y)#", "r|.*|" ]'


def test_without_names_iscsi_disks_come_first_and_everything_else_last() -> None:
    text = rules(render_config(AgentSettings()))
    assert text.index("r|-iscsi-|") < text.index("a|^/dev/disk/by-path/|") < text.index("r|.*|")


@pytest.mark.parametrize("pattern", ["", 'a"b', "a\nb", "a\\b", "|#!@~"])
def test_a_pattern_that_lvm_conf_cannot_hold(pattern: str) -> None:
    with pytest.raises(InvalidRequest):
        render_config(AgentSettings(lvm_devices=(pattern,)))


def test_the_file_is_written_anew(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "lvm"
    for devices in (("x",), ("y",)):
        write_config(folder, AgentSettings(lvm_devices=devices))
    assert (folder / "lvm.conf").read_text() == render_config(AgentSettings(lvm_devices=("y",)))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_group_is_never_made_by_saying_yes() -> None:
    line = commands.create_group("vg0", disks=("/dev/disk/by-id/wwn-0x5:1", "/dev/sdb"), tags=frozenset({"made=1"}))
    words = line.split()
    assert words[0] == "vgcreate"
    assert words[-3:] == ["vg0", "/dev/disk/by-id/wwn-0x5:1", "/dev/sdb"]
    assert {"--metadatasize=67108864b", "--setautoactivation=n", "--addtag=made=1"} <= set(words)
    assert words.count("--quiet") == 2
    assert not {"--yes", "-y", "--force", "-f", "-ff"} & set(words)
    for bad in ("sdb", "/dev/a b", "/dev/sdb;x", "--yes", "/etc/passwd", ""):
        with pytest.raises(CommandFailed, match="path of a disk"):
            commands.create_group("vg0", disks=(bad,), tags=frozenset())


def test_disks_that_pools_are_made_of_pass_the_filter() -> None:
    pool = PoolSettings(name="a", vg="vg0", disks=("/dev/disk/by-id/a.b", "/dev/sdb"))
    named = 'a|^/dev/disk/by-id/a[.]b$|", "a|^/dev/sdb$|'
    assert named in rules(render_config(AgentSettings(pools=(pool,))))
    assert named in rules(render_config(AgentSettings(pools=(pool,), lvm_devices=("x",))))
