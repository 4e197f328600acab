"""What the kernel wrote down of persistent reservations, as it takes it back."""

from __future__ import annotations

import pytest

from csi_driver.host.lio.reservations import registrations

ONE = """PR_REG_START: 0
initiator_fabric=iSCSI
initiator_node=iqn.1993-08.org.debian:01:One
initiator_sid=00023d000001
sa_res_key=17
res_holder=1
res_type=05
res_scope=00
res_all_tg_pt=0
mapped_lun=0
target_fabric=iSCSI
target_node=iqn.2026-11.io.clinker:vol-x
tpgt=1
port_rtpi=1
target_lun=0
PR_REG_END: 0
"""
OTHER = (
    ONE.replace(":One", ":two").replace("res_holder=1\nres_type=05\nres_scope=00", "res_holder=0").replace(": 0", ": 1")
)


def test_each_registration_is_one_order() -> None:
    one, other = registrations(ONE + OTHER, lambda _: True)
    assert one == (
        "initiator_fabric=iSCSI,initiator_node=iqn.1993-08.org.debian:01:One,initiator_sid=00023d000001,sa_res_key=17,"
        "res_holder=1,res_type=05,res_scope=00,res_all_tg_pt=0,mapped_lun=0,target_fabric=iSCSI,"
        "target_node=iqn.2026-11.io.clinker:vol-x,tpgt=1,port_rtpi=1,target_lun=0"
    )
    assert "res_holder=0,res_all_tg_pt=0" in other


def test_who_is_not_admitted_is_left_out() -> None:
    (kept,) = registrations(ONE + OTHER, lambda initiator: initiator.endswith(":one"))
    assert ":One," in kept


@pytest.mark.parametrize("text", ["", "No Registrations or Reservations", ONE[:120], "PR_REG_END: 0\n", "\x00" * 64])
def test_what_is_not_whole_is_left_out(text: str) -> None:
    assert registrations(text, lambda _: True) == ()
    assert len(registrations(ONE + text, lambda _: True)) == 1
