import pytest

from csi_driver.errors import DriverError, InvalidRequest
from csi_driver.host.mounts import options
from csi_driver.host.mounts.kernel import KernelMounts
from csi_driver.host.mounts.options import NOATIME, NODEV, NOSUID, RDONLY, split
from csi_driver.kit.effects import Effects
from csi_driver.model.access import FsType


def test_flags_and_data_are_told_apart() -> None:
    flags, data = split(("ro", "noatime", "errors=remount-ro", "nouuid", "discard"))
    assert flags == RDONLY | NOATIME
    assert data == "errors=remount-ro,nouuid,discard"


def test_the_last_of_two_counts() -> None:
    assert split(("ro", "rw"))[0] == 0
    assert split(("rw", "ro", "nosuid", "suid", "nodev"))[0] == RDONLY | NODEV


def test_what_is_for_mount_8_alone_is_left_out() -> None:
    assert split(("defaults", "_netdev", "nofail", "x-systemd.automount", "X-foo=1", "noauto")) == (0, "")


def test_one_word_may_hold_several() -> None:
    assert split(("noatime,errors=remount-ro", "")) == (NOATIME, "errors=remount-ro")


def test_an_selinux_context_keeps_its_commas_and_quotes() -> None:
    context = 'context="system_u:object_r:container_file_t:s0:c1,c2"'
    assert split((f"nosuid,{context},discard",)) == (NOSUID, f"{context},discard")


@pytest.mark.parametrize("option", ["remount", "bind", "loop=/dev/loop0", "rshared"])
def test_other_operations_are_no_options(option: str) -> None:
    with pytest.raises(InvalidRequest, match=option):
        split((option,))


def test_more_than_a_page_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        split(("o" * 4096,))


def test_flags_of_a_mount() -> None:
    assert options.flags_of({"rw", "nosuid", "nodev", "relatime"}) & (NOSUID | NODEV | RDONLY) == NOSUID | NODEV


async def test_an_error_of_the_kernel_names_the_options_that_it_refused() -> None:
    mounts = KernelMounts(Effects())
    with pytest.raises(DriverError, match=r"as ext4 \(noatime,no-such-option\)"):
        await mounts.mount("/none/device", "/none/target", fs=FsType.EXT4, options=("noatime", "no-such-option"))
