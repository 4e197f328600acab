import dataclasses

import pytest

from csi_driver.errors import InternalError, InvalidRequest
from csi_driver.host.doors import NodeRecord
from csi_driver.host.iscsi import portals, records
from csi_driver.model.secret import Secret

TEMPLATE = """# BEGIN RECORD 2.1.11
node.name = iqn.2026-11.io.clinker:learnt
node.tpgt = -1
node.startup = automatic
node.leading_login = No
iface.iscsi_ifacename = default
node.discovery_port = 0
node.discovery_type = static
node.session.initial_login_retry_max = 8
node.session.nr_sessions = 1
node.session.auth.authmethod = None
node.session.auth.username_in = mutual
node.session.auth.password_in = not-ours
node.session.timeo.replacement_timeout = 120
node.session.iscsi.InitialR2T = No
node.session.scan = auto
node.conn[0].address = 10.0.0.9
node.conn[0].port = 3260
node.conn[0].timeo.login_timeout = 15
node.conn[0].timeo.noop_out_interval = 5
# END RECORD
"""
RECORD = NodeRecord(
    iqn="iqn.2026-11.io.clinker:vol-x",
    portal="[fd00::1]:3261",
    chap_user="user",
    secret=Secret("s" * 32),
    replacement_timeout=901,
    login_timeout=4,
    noop_interval=6,
    noop_timeout=7,
)


def rendered(template: str = TEMPLATE) -> dict[str, str]:
    text = records.render(template, records.settings(RECORD))
    lines = text.splitlines()
    assert (lines[0], lines[-1], text[-1]) == (TEMPLATE.splitlines()[0], "# END RECORD", "\n")
    found: dict[str, str] = {}
    for line in lines[1:-1]:
        name, value = line.split(" = ")
        assert name not in found
        found[name] = value
    return found


def test_a_record_holds_what_was_asked_for() -> None:
    found = rendered()
    assert found["node.name"] == RECORD.iqn
    assert (found["node.conn[0].address"], found["node.conn[0].port"]) == ("fd00::1", "3261")
    assert found["node.startup"] == found["node.session.scan"] == found["node.conn[0].startup"] == "manual"
    assert found["node.session.auth.authmethod"] == "CHAP"
    assert (found["node.session.auth.username"], found["node.session.auth.password"]) == ("user", "s" * 32)
    assert found["node.session.timeo.replacement_timeout"] == "901"
    assert found["node.conn[0].timeo.login_timeout"] == "4"
    assert found["node.conn[0].timeo.noop_out_interval"] == "6"
    assert found["node.conn[0].timeo.noop_out_timeout"] == "7"
    assert found["node.session.initial_login_retry_max"] == "1"


def test_a_record_keeps_the_settings_of_the_host() -> None:
    found = rendered()
    assert found["node.session.iscsi.InitialR2T"] == "No"
    assert found["iface.iscsi_ifacename"] == "default"
    assert found["node.tpgt"] == "-1"


def test_a_mutual_secret_of_the_host_goes() -> None:
    assert not [name for name in rendered() if name.endswith("_in")]


def test_a_target_is_asked_to_prove_itself_by_a_secret_of_its_own() -> None:
    asked = records.settings(dataclasses.replace(RECORD, mutual=True))
    assert asked["node.session.auth.username_in"] == "clinker-target"
    answer = asked["node.session.auth.password_in"]
    assert (len(answer), answer != asked["node.session.auth.password"]) == (32, True)
    assert answer in records.render(TEMPLATE, asked)


def test_a_setting_that_this_version_does_not_know_is_left_out() -> None:
    assert "node.session.reopen_max" not in rendered()
    known = TEMPLATE.replace("node.session.scan", "node.session.reopen_max = 32\nnode.session.scan")
    assert rendered(known)["node.session.reopen_max"] == "0"


@pytest.mark.parametrize("text", ["", "node.name = x\n", TEMPLATE.replace("# END RECORD", "")])
def test_half_a_record_is_no_template(text: str) -> None:
    with pytest.raises(InternalError):
        records.render(text, {})


@pytest.mark.parametrize(
    ("portal", "parts"), [("10.0.0.1:3260", ("10.0.0.1", 3260)), ("[fd00::1]:860", ("fd00::1", 860))]
)
def test_portals_are_taken_apart_and_put_together(portal: str, parts: tuple[str, int]) -> None:
    assert portals.split(portal) == parts
    assert portals.join(*parts) == portal


@pytest.mark.parametrize("portal", ["", "10.0.0.1", "host:3260", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:70000", "../x:1"])
def test_what_is_no_portal_is_refused(portal: str) -> None:
    with pytest.raises(InvalidRequest):
        portals.split(portal)
