import pytest

from csi_driver.errors import Unavailable
from csi_driver.host.devices import scsi


def page(number: int, body: bytes) -> bytes:
    return bytes((0, number)) + len(body).to_bytes(2, "big") + body


def designator(kind: int, body: bytes, *, code_set: int = 1, association: int = 0) -> bytes:
    return bytes((code_set, association << 4 | kind, 0, len(body))) + body


NAA = bytes.fromhex("60014056a332882a6276548f73512914")


def test_the_serial_is_page_80() -> None:
    assert scsi.serial(page(0x80, b"6a332882a6276548f73512914bc01db2\0")) == "6a332882a6276548f73512914bc01db2"


def test_the_naa_name_is_found_among_designators() -> None:
    others = designator(1, b"LIO-ORG", code_set=2) + designator(3, b"x" * 8, association=1)
    assert scsi.naa(page(0x83, others + designator(3, NAA) + designator(8, b"name"))) == NAA.hex()


def test_a_device_without_a_naa_name_has_none() -> None:
    assert scsi.naa(page(0x83, designator(1, b"LIO-ORG", code_set=2))) == ""
    assert scsi.naa(page(0x83, b"")) == ""


@pytest.mark.parametrize("answer", [b"", page(0x83, b"serial"), b"\0\x80"])
def test_another_page_is_no_answer(answer: bytes) -> None:
    with pytest.raises(Unavailable):
        scsi.serial(answer)


def test_capacity_is_bytes() -> None:
    assert scsi.capacity((131071).to_bytes(8, "big") + (512).to_bytes(4, "big") + bytes(20)) == 64 << 20
    assert scsi.capacity((2**40 - 1).to_bytes(8, "big") + (4096).to_bytes(4, "big")) == 2**52
    with pytest.raises(Unavailable):
        scsi.capacity(bytes(8))


def test_write_protection_is_one_bit() -> None:
    assert scsi.write_protected(bytes((3, 0, 0x90, 0)))
    assert not scsi.write_protected(bytes((3, 0, 0x10, 0)))
    with pytest.raises(Unavailable):
        scsi.write_protected(b"\3")


def test_sense_keys_of_both_formats() -> None:
    assert scsi.sense_key(bytes((0x70, 0, 0x06, 0))) == scsi.UNIT_ATTENTION
    assert scsi.sense_key(bytes((0x72, 0x06, 0x29, 0))) == scsi.UNIT_ATTENTION
    assert scsi.sense_key(b"") == 0
