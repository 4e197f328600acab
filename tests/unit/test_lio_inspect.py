from csi_driver.host.lio import paths
from csi_driver.host.lio.backstores import parse_device
from csi_driver.host.lio.inspect import parse_sessions
from csi_driver.host.lio.spec import SessionState, TargetSession
from csi_driver.model.ids import VolumeId

VOLUME = VolumeId("a" * 26, "bbbbbbbb")
SESSION = """InitiatorName: iqn.1993-08.org.debian:01:74ca545502
InitiatorAlias: host2
LIO Session ID: 1   ISID: 0x00 02 3d 00 00 00  TSIH: 1  SessionType: Normal
Session State: TARG_SESS_STATE_LOGGED_IN
---------------------[iSCSI Session Values]-----------------------
  CmdSN/WR  :  CmdSN/WC  :  ExpCmdSN  :  MaxCmdSN  :     ITT    :     TTT
 0x00000040   0x00000040   0x0000002a   0x00000069   0x00000000   0x00000000
----------------------[iSCSI Connections]-------------------------
CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN
   Address 10.77.0.2 TCP  StatSN: 0x9d4c1e0f"""


def test_a_session_is_read_from_info() -> None:
    expected = TargetSession("iqn.1993-08.org.debian:01:74ca545502", SessionState.LOGGED_IN, ("10.77.0.2",))
    assert parse_sessions(SESSION) == (expected,)


def test_several_sessions_and_connections_are_told_apart() -> None:
    second = SESSION.replace("74ca545502", "other").replace("SESS_STATE_LOGGED_IN", "SESS_STATE_FAILED")
    second += "\nCID: 1  Connection State: TARG_CONN_STATE_LOGGED_IN\n   Address fd00::2 TCP  StatSN: 0x1"
    first, other = parse_sessions(f"{SESSION}\n{second}")
    assert first.addresses == ("10.77.0.2",)
    assert (other.initiator, other.state) == ("iqn.1993-08.org.debian:01:other", SessionState.FAILED)
    assert other.addresses == ("10.77.0.2", "fd00::2")


def test_no_session_is_read_from_an_idle_entry() -> None:
    assert parse_sessions("No active iSCSI Session for Initiator Endpoint: iqn.1993-08.org.debian:01:x") == ()
    assert parse_sessions("") == ()


def test_a_session_state_of_a_later_kernel_is_other() -> None:
    text = SESSION.replace("TARG_SESS_STATE_LOGGED_IN", "TARG_SESS_STATE_DREAMING")
    assert parse_sessions(text)[0].state is SessionState.OTHER


def test_the_device_of_a_backstore_is_read_from_info() -> None:
    info = (
        "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n"
        "        TCM FILEIO ID: 0        File: /dev/dm-5  Size: 0  Mode: O_DSYNC Async: 0"
    )
    assert parse_device(info) == "/dev/dm-5"
    assert parse_device("Status: DEACTIVATED") == ""


def test_paths_follow_from_the_id() -> None:
    number = int(VOLUME.serial[:7], 16)
    assert paths.backstore(VOLUME) == f"core/fileio_{number}/{VOLUME}"
    assert number < 2**28
    assert paths.lun(VOLUME) == f"iscsi/iqn.2026-11.io.clinker:{VOLUME}/tpgt_1/lun/lun_0"


def test_an_initiator_is_entered_in_lower_case() -> None:
    assert paths.acl(VOLUME, "iqn.1993-08.org.Debian:01:ABC").endswith("/acls/iqn.1993-08.org.debian:01:abc")
