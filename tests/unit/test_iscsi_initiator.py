"""OpenIscsi over a folder tree and a runner that plays iscsiadm."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from csi_driver.errors import CommandFailed, Denied, DriverError, InvalidRequest, NotFound, StillWorking, Unavailable
from csi_driver.host.doors import NodeRecord, Session
from csi_driver.host.iscsi.initiator import OpenIscsi, parse_name
from csi_driver.host.iscsi.place import host_root, iscsiadm_prefix
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, Result
from csi_driver.model.ids import VolumeId
from csi_driver.model.secret import Secret
from tests.unit.test_iscsi_records import TEMPLATE

IQN = VolumeId("a" * 26, "bbbbbbbb").iqn
OTHER = VolumeId("a" * 26, "cccccccc").iqn
PORTAL = "10.0.0.1:3260"
SECRET = "s" * 32


class Iscsiadm:
    """Writes new records as open-iscsi 2.1 does, and otherwise ends as it is told."""

    def __init__(self, root: Path, database: str) -> None:
        self.root, self.database = root, root / database
        self.calls: list[tuple[str, ...]] = []
        self.status = 0
        self.stderr = ""
        self.on_call: Callable[[], None] = lambda: None
        self.stuck = False

    async def run(self, command: Command) -> Result:
        self.calls.append(command.argv)
        assert SECRET not in " ".join(command.argv)
        if "new" in command.argv:
            self._new(command.argv[6], command.argv[8])
            return Result(0, "", "")
        if self.stuck:
            raise StillWorking("iscsiadm did not end within 60 s")
        self.on_call()
        if self.status not in command.ok:
            raise CommandFailed("iscsiadm", self.status, self.stderr)
        return Result(self.status, "", self.stderr)

    def _new(self, iqn: str, portal: str) -> None:
        address, _, port = portal.rpartition(":")
        path = self.database / "nodes" / iqn / f"{address.strip('[]')},{port}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.replace("iqn.2026-11.io.clinker:learnt", iqn))


class Bench:
    def __init__(self, root: Path, database: str = "var/lib/iscsi") -> None:
        self.root = root
        (root / "etc/iscsi").mkdir(parents=True)
        (root / "etc/iscsi/iscsid.conf").write_text("node.startup = automatic\n")
        self.iscsiadm = Iscsiadm(root, database)
        self.initiator = self.fresh()

    def fresh(self) -> OpenIscsi:
        return OpenIscsi(self.iscsiadm, Effects(), root=self.root, sys=self.root / "sys")

    def session(self, sid: int, iqn: str = IQN, address: str = "10.0.0.1", state: str = "LOGGED_IN") -> None:
        session = self.root / f"sys/class/iscsi_session/session{sid}"
        connection = self.root / f"sys/class/iscsi_connection/connection{sid}:0"
        for folder in (session, connection):
            folder.mkdir(parents=True)
        (session / "targetname").write_text(f"{iqn}\n")
        (session / "state").write_text(f"{state}\n")
        (connection / "persistent_address").write_text(f"{address}\n")
        (connection / "persistent_port").write_text("3260\n")

    def end_sessions(self) -> None:
        for session in (self.root / "sys/class/iscsi_session").iterdir():
            (session / "targetname").unlink()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def record(iqn: str = IQN, portal: str = PORTAL) -> NodeRecord:
    return NodeRecord(iqn=iqn, portal=portal, chap_user="user", secret=Secret(SECRET))


def files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "iscsid.conf" not in path.name
    }


@pytest.mark.parametrize("database", ["var/lib/iscsi", "etc/iscsi"])
async def test_records_go_where_iscsiadm_keeps_its_own(tmp_path: Path, database: str) -> None:
    bench = Bench(tmp_path, database)
    await bench.initiator.put_record(record())
    await bench.initiator.put_record(record(portal="[fd00::1]:3260"))
    await bench.initiator.put_record(record(OTHER))
    nodes = f"{database}/nodes"
    assert files(tmp_path) == {
        f"{nodes}/{IQN}/10.0.0.1,3260",
        f"{nodes}/{IQN}/fd00::1,3260",
        f"{nodes}/{OTHER}/10.0.0.1,3260",
    }
    for name in files(tmp_path):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert SECRET in (tmp_path / name).read_text()
    assert await bench.initiator.records() == ((IQN, PORTAL), (IQN, "[fd00::1]:3260"), (OTHER, PORTAL))
    # The first record is learnt from, the others cost no process.
    assert len(bench.iscsiadm.calls) == 1


async def test_a_changed_configuration_is_learnt_anew(bench: Bench) -> None:
    await bench.initiator.put_record(record())
    (bench.root / "etc/iscsi/iscsid.conf").unlink()
    await bench.initiator.put_record(record(portal="[fd00::1]:3260"))
    assert len(bench.iscsiadm.calls) == 2
    assert len(await bench.initiator.records()) == 2


async def test_a_record_is_overwritten(bench: Bench) -> None:
    old = NodeRecord(iqn=IQN, portal=PORTAL, chap_user="user", secret=Secret("old"))
    await bench.initiator.put_record(old)
    await bench.initiator.put_record(record())
    (path,) = files(bench.root)
    assert "password = old" not in (bench.root / path).read_text()
    await bench.fresh().put_record(record())
    assert files(bench.root) == {path}


async def test_a_record_of_discovery_gives_way(bench: Bench) -> None:
    folder = bench.root / f"var/lib/iscsi/nodes/{IQN}/10.0.0.1,3260,1"
    folder.mkdir(parents=True)
    (folder / "default").write_text(TEMPLATE)
    assert await bench.initiator.records() == ((IQN, PORTAL),)
    await bench.initiator.put_record(record())
    assert files(bench.root) == {f"var/lib/iscsi/nodes/{IQN}/10.0.0.1,3260"}


async def test_every_trace_of_a_record_goes(bench: Bench) -> None:
    await bench.initiator.put_record(record())
    await bench.initiator.put_record(record(OTHER))
    database = bench.root / "var/lib/iscsi"
    (database / f".{IQN},10.0.0.1,3260.new").write_text("cut short")
    (database / "static").mkdir()
    (database / "static" / f"{IQN},10.0.0.1,3260,1,default").symlink_to(database)
    await bench.initiator.remove_record(IQN)
    await bench.initiator.remove_record(IQN)
    assert files(bench.root) == {f"var/lib/iscsi/nodes/{OTHER}/10.0.0.1,3260"}
    assert list((database / "static").iterdir()) == []


@pytest.mark.parametrize("iqn", ["", "iqn.2005-10.org.other:disk", f"{IQN}/../../..", "iqn.2026-11.io.clinker:.."])
async def test_foreign_records_are_left_alone(bench: Bench, iqn: str) -> None:
    with pytest.raises(InvalidRequest):
        await bench.initiator.remove_record(iqn)


async def test_records_of_others_are_not_told(bench: Bench) -> None:
    foreign = bench.root / "var/lib/iscsi/nodes/iqn.2005-10.org.other:disk"
    foreign.mkdir(parents=True)
    (foreign / "10.0.0.1,3260").write_text(TEMPLATE)
    assert await bench.initiator.records() == ()


async def test_sessions_are_read_from_sysfs(bench: Bench) -> None:
    assert await bench.initiator.sessions() == ()
    bench.session(11, state="FAILED")
    bench.session(2, OTHER, "fd00::1")
    assert await bench.initiator.sessions() == (
        Session(2, OTHER, "[fd00::1]:3260", "LOGGED_IN"),
        Session(11, IQN, PORTAL, "FAILED"),
    )
    assert bench.iscsiadm.calls == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(24, Denied), (8, Unavailable), (4, Unavailable), (20, Unavailable), (19, Unavailable), (21, NotFound),
     (15, Unavailable), (99, CommandFailed)],
)  # fmt: skip
async def test_a_login_that_fails_says_why(bench: Bench, status: int, error: type[DriverError]) -> None:
    bench.iscsiadm.status, bench.iscsiadm.stderr = status, "iscsiadm: no\niscsiadm: initiator reported error (x)\n"
    with pytest.raises(error):
        await bench.initiator.login(IQN, PORTAL)


async def test_a_session_that_exists_is_a_login(bench: Bench) -> None:
    bench.session(1)
    bench.iscsiadm.status = 15
    await bench.initiator.login(IQN, PORTAL)
    with pytest.raises(Unavailable):
        await bench.initiator.login(IQN, "10.0.0.2:3260")


async def test_a_login_that_hangs_is_called_off(bench: Bench) -> None:
    bench.session(7)
    bench.session(8, OTHER)
    bench.iscsiadm.stuck = True
    with pytest.raises(Unavailable):
        await bench.initiator.login(IQN, PORTAL)
    assert bench.iscsiadm.calls[-1] == ("iscsiadm", "-m", "session", "-r", "7", "--logout")


async def test_logout_ends_every_session_of_the_target_alone(bench: Bench) -> None:
    await bench.initiator.logout(IQN)
    assert bench.iscsiadm.calls == []
    for sid, iqn in ((1, IQN), (2, OTHER), (3, IQN)):
        bench.session(sid, iqn)
    bench.iscsiadm.on_call = lambda: bench.end_sessions() if len(bench.iscsiadm.calls) == 2 else None
    await bench.initiator.logout(IQN)
    assert [argv[4] for argv in bench.iscsiadm.calls] == ["1", "3"]


@pytest.mark.parametrize("status", [0, 10, 20, 21, 32])
async def test_a_logout_that_leaves_a_session_is_no_logout(bench: Bench, status: int) -> None:
    bench.session(1)
    bench.iscsiadm.status = status
    with pytest.raises(Unavailable):
        await bench.initiator.logout(IQN)


async def test_the_name_is_in_lower_case(bench: Bench) -> None:
    with pytest.raises(Unavailable):
        await bench.initiator.name()
    path = bench.root / "etc/iscsi/initiatorname.iscsi"
    path.write_text("## comment InitiatorName=no\n")
    with pytest.raises(Unavailable):
        await bench.initiator.name()
    path.write_text("## comment\nInitiatorName=iqn.1993-08.org.Debian:01:AbC\n")
    assert await bench.initiator.name() == "iqn.1993-08.org.debian:01:abc"


def test_a_name_may_stand_among_blanks() -> None:
    assert parse_name("  InitiatorName = iqn.x \nInitiatorAlias=a\n") == "iqn.x"


def test_the_hosts_iscsiadm_is_found(tmp_path: Path) -> None:
    for process, namespace in (("self", "mnt:[1]"), ("1", "mnt:[2]")):
        (tmp_path / process / "ns").mkdir(parents=True)
        (tmp_path / process / "ns/mnt").symlink_to(namespace)
    assert iscsiadm_prefix("auto", tmp_path)[:3] == ("nsenter", "--target", "1")
    assert host_root("auto", tmp_path) == tmp_path / "1/root"
    assert iscsiadm_prefix("direct", tmp_path) == ()
    (tmp_path / "1/ns/mnt").unlink()
    (tmp_path / "1/ns/mnt").symlink_to("mnt:[1]")
    assert iscsiadm_prefix("auto", tmp_path) == ()
    assert host_root("auto", tmp_path) == Path("/")
    assert iscsiadm_prefix("host", tmp_path)[0] == "nsenter"
    with pytest.raises(InvalidRequest, match="auto, direct or host"):
        iscsiadm_prefix("chroot", tmp_path)
