from csi_driver.host.doors import Mount
from csi_driver.host.mounts.kernel import MOUNTINFO
from csi_driver.host.mounts.table import parse, unescape

TEXT = r"""21 26 0:20 / /sys rw,nosuid,nodev shared:7 - sysfs sysfs rw
26 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/ubda rw,errors=remount-ro
40 26 253:3 /sub\040folder /var/lib/kubelet/a\040b\134c rw,relatime - ext4 /dev/mapper/W\040x rw,emergency_ro
41 26 0:6 /dm-3 /var/lib/kubelet/block ro,nosuid shared:3 propagate_from:4 - devtmpfs udev rw,size=1k
42 26 253:4 / /mnt rw - xfs /dev/dm-4 rw,context="system_u:object_r:x:s0:c1,c2",nouuid
43 26 0:30 / /odd rw - fuse.x  rw
"""


def test_every_field_is_read() -> None:
    mounts = parse(TEXT)
    assert mounts[1] == Mount(
        devno=(254, 0),
        root="/",
        target="/",
        fs="ext4",
        options=frozenset({"rw", "relatime"}),
        super_options=frozenset({"rw", "errors=remount-ro"}),
    )
    assert [mount.target for mount in mounts] == [
        "/sys",
        "/",
        "/var/lib/kubelet/a b\\c",
        "/var/lib/kubelet/block",
        "/mnt",
        "/odd",
    ]
    assert (mounts[2].root, mounts[2].devno) == ("/sub folder", (253, 3))
    assert "emergency_ro" in mounts[2].super_options
    assert mounts[3].root == "/dm-3"
    assert mounts[3].fs == "devtmpfs"


def test_a_context_stays_whole() -> None:
    assert parse(TEXT)[4].super_options == {"rw", 'context="system_u:object_r:x:s0:c1,c2"', "nouuid"}


def test_a_source_may_be_empty() -> None:
    assert parse(TEXT)[5].super_options == {"rw"}


def test_escapes_are_decoded_once() -> None:
    assert unescape(r"a\040b\011c\012d\134040e\043") == "a b\tc\nd\\040e#"


def test_the_table_of_this_machine_is_read() -> None:
    text = MOUNTINFO.read_text()
    mounts = parse(text)
    assert len(mounts) == len(text.splitlines())
    assert "/proc" in {mount.target for mount in mounts}
