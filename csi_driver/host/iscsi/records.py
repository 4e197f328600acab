"""The text of open-iscsi's node records: lines of ``name = value`` between two comments.

A value that is missing in a record is zero to iscsiadm, not its default. So a record is written whole, from a
template that the host's own iscsiadm made: with all the settings that this version knows, as the host's
iscsid.conf has them.
"""

from __future__ import annotations

from collections.abc import Mapping

from csi_driver.errors import InternalError
from csi_driver.host.doors.initiator import NodeRecord
from csi_driver.host.iscsi import portals
from csi_driver.model.secret import TARGET_USER

_LOGIN_RETRIES = 1
"""A login that fails is reported, and tried again by whoever asked, not by iscsid: it cannot be called off."""
_FIRST, _LAST = "# BEGIN RECORD", "# END RECORD"
_OPTIONAL = ("node.session.reopen_max",)
"""Set only where this version of open-iscsi has them."""
_MUTUAL = ("node.session.auth.username_in", "node.session.auth.password_in")
_DROPPED = (
    *_MUTUAL,
    "node.discovery_address",
    "node.discovery_port",
)


def settings(record: NodeRecord) -> dict[str, str]:
    """What we decide in a record, the CHAP secret among it."""
    address, port = portals.split(record.portal)
    mutual = dict(zip(_MUTUAL, (TARGET_USER, record.secret.answer().reveal()), strict=True)) if record.mutual else {}
    return {
        **mutual,
        "node.name": record.iqn,
        "node.startup": "manual",
        "node.leading_login": "No",
        "node.discovery_type": "static",
        "node.session.scan": "manual",
        "node.session.nr_sessions": "1",
        "node.session.initial_login_retry_max": str(_LOGIN_RETRIES),
        "node.session.reopen_max": "0",
        "node.session.auth.authmethod": "CHAP",
        "node.session.auth.username": record.chap_user,
        "node.session.auth.password": record.secret.reveal(),
        "node.session.timeo.replacement_timeout": str(record.replacement_timeout),
        "node.conn[0].address": address,
        "node.conn[0].port": str(port),
        "node.conn[0].startup": "manual",
        "node.conn[0].timeo.login_timeout": str(record.login_timeout),
        "node.conn[0].timeo.noop_out_interval": str(record.noop_interval),
        "node.conn[0].timeo.noop_out_timeout": str(record.noop_timeout),
    }


def render(template: str, values: Mapping[str, str]) -> str:
    """The template with these values in it; InternalError when it is not a whole record."""
    lines = template.splitlines()
    if not lines or not lines[0].startswith(_FIRST) or _LAST not in lines:
        raise InternalError("iscsiadm made a node record of a form that this driver does not know")
    left = dict(values)
    filled: list[str] = []
    for line in lines[: lines.index(_LAST)]:
        name = line.partition(" = ")[0]
        if name in left:
            filled.append(f"{name} = {left.pop(name)}")
        elif name not in _DROPPED:
            filled.append(line)
    filled += [f"{name} = {value}" for name, value in left.items() if name not in _OPTIONAL]
    return "\n".join([*filled, _LAST, ""])
