"""Snapshots, restores and clones of real thin volumes: what they hold, how quiet they are, and that they live alone."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from csi_driver.rpc.gen import csi_pb2 as pb
from tests.lab import MIB, Host
from tests.lab_suite.test_life_cycle import KINDS, LOCAL, REMOTE, SIZE, STAGING, STEP, TARGET, Kind, let_go, use
from tests.stack.csi import Csi, block, mount
from tests.stack.stack import CONTROLLER_SOCKET, VG, Stack

THIN = [kind for kind in KINDS if kind.layout == "thin"]
OTHER_TARGET, OTHER_STAGING = f"{TARGET}-copy", f"{STAGING}-copy"


def write(stack: Stack, node: str, kind: Kind, word: str) -> None:
    """At the beginning of the device, or into a file; on disk on return."""
    place = f"{TARGET}/file" if kind.fs else TARGET
    script = f"printf %s {word} | dd of={place} conv=notrunc,fsync 2>/dev/null"
    stack.lab.host(node).run(["sh", "-c", script])


@pytest.mark.parametrize("kind", THIN, ids=str)
@pytest.mark.parametrize("node", [LOCAL, REMOTE])
def test_a_snapshot_is_restored_larger_and_a_clone_is_made_while_a_pod_writes(
    stack: Stack, kind: Kind, node: str
) -> None:
    csi, host = stack.controller, stack.lab.host(node)
    volume = csi.create(f"origin-{kind}-{node}", SIZE, kind.capability, near=LOCAL).volume_id
    use(stack, volume, node, kind)
    before = bytes_of(host, TARGET, kind)
    write(stack, node, kind, "before")
    quiet = node == LOCAL and kind.fs
    if quiet:
        host.run(["sh", "-c", f"printf unsynced > {TARGET}/unsynced"])
    cut = csi.snapshot(f"cut-{kind}-{node}", volume)
    assert cut.ready_to_use
    assert (cut.source_volume_id, cut.size_bytes) == (volume, SIZE)
    assert csi.snapshot(f"cut-{kind}-{node}", volume) == cut
    assert not is_active(stack.lab.host(LOCAL), cut.snapshot_id)
    write(stack, node, kind, "behind")
    restored = csi.create(f"restored-{kind}-{node}", SIZE + STEP, kind.capability, source=cut.snapshot_id)
    assert restored.content_source.snapshot.snapshot_id == cut.snapshot_id
    cloned = csi.create(f"cloned-{kind}-{node}", 0, kind.capability, source=volume)
    assert cloned.content_source.volume.volume_id == volume
    assert cloned.capacity_bytes == SIZE
    if quiet and kind.fs == "ext4":
        assert_needs_no_replay(host, cut.snapshot_id)
    if quiet:
        assert use_copy(stack, restored.volume_id, node, kind, 0) == ""
        assert host.get(f"{OTHER_TARGET}/unsynced") == b"unsynced"
        let_go_copy(stack, restored.volume_id, node)
    # Beside its source, on the same host: xfs has the same UUID twice then.
    check_copy(stack, restored.volume_id, node, kind, word="before", least=before + STEP * 8 // 10)
    check_copy(stack, cloned.volume_id, node, kind, word="behind", least=before)
    let_go(stack, volume, node)
    csi.delete(volume)
    again = csi.create(f"again-{kind}-{node}", 0, kind.capability, source=cut.snapshot_id).volume_id
    csi.delete_snapshot(cut.snapshot_id)
    csi.delete_snapshot(cut.snapshot_id)
    check_copy(stack, again, node, kind, word="before", least=before)
    for copy in (restored.volume_id, cloned.volume_id, again):
        csi.delete(copy)
    assert stack.leftovers() == {}


def test_listing_counts_exactly_and_refusals_change_nothing(stack: Stack) -> None:
    csi = stack.controller
    one = csi.create("one", 64 * MIB, block(), near=LOCAL).volume_id
    other = csi.create("other", 64 * MIB, mount(), near=LOCAL).volume_id
    thick = csi.create("thick", 64 * MIB, block(), near=LOCAL, parameters={"layout": "thick"}).volume_id
    cuts = {csi.snapshot(f"s{number}", one if number % 2 else other).snapshot_id for number in range(5)}
    first = csi.snapshots(max_entries=2)
    second = csi.snapshots(max_entries=3, starting_token=first.next_token)
    assert {entry.snapshot.snapshot_id for page in (first, second) for entry in page.entries} == cuts
    assert (len(first.entries), len(second.entries), second.next_token) == (2, 3, "")
    assert len(csi.snapshots(source_volume_id=one).entries) == 2
    assert [e.snapshot.source_volume_id for e in csi.snapshots(source_volume_id=other).entries] == [other] * 3
    chosen = min(cuts)
    assert [e.snapshot.snapshot_id for e in csi.snapshots(snapshot_id=chosen).entries] == [chosen]
    before = lvs(stack.lab.host(LOCAL))
    code = grpc.StatusCode
    refuse(code.INVALID_ARGUMENT, "thick", lambda: csi.snapshot("s-thick", thick))
    refuse(code.INVALID_ARGUMENT, "thick", lambda: csi.create("c-thick", 0, block(), source=thick))
    refuse(code.ALREADY_EXISTS, "s1", lambda: csi.snapshot("s1", other))
    refuse(code.INVALID_ARGUMENT, "speed", lambda: csi.snapshot("s-new", one, parameters={"speed": "9"}))
    refuse(code.NOT_FOUND, "no volume", lambda: csi.snapshot("s-new", "vol-nosuch"))
    refuse(code.NOT_FOUND, "nosuch", lambda: csi.create("c-none", 0, block(), source="snap-nosuch"))
    refuse(code.OUT_OF_RANGE, "64 MiB", lambda: csi.create("c-small", 32 * MIB, block(), source=one))
    refuse(code.INVALID_ARGUMENT, "block", lambda: csi.create("c-kind", 0, mount(), source=one))
    refuse(code.INVALID_ARGUMENT, "ext4", lambda: csi.create("c-fs", 0, mount("xfs"), source=other))
    layout = {"layout": "thick"}
    refuse(code.INVALID_ARGUMENT, "thin", lambda: csi.create("c-lay", 0, block(), source=one, parameters=layout))
    refuse(code.ALREADY_EXISTS, "made from", lambda: csi.create("one", 64 * MIB, block(), source=other))
    assert lvs(stack.lab.host(LOCAL)) == before
    for volume in (one, other, thick):
        csi.delete(volume)
    assert len(csi.snapshots().entries) == 5
    for cut in cuts:
        csi.delete_snapshot(cut)
    assert len(csi.snapshots().entries) == 0
    assert stack.leftovers() == {}


def test_a_silent_storage_node_is_neither_empty_nor_gone(stack: Stack) -> None:
    csi = stack.controller
    volume = csi.create("quiet", 64 * MIB, block(), near=LOCAL).volume_id
    cut = csi.snapshot("quiet-cut", volume).snapshot_id
    stack.kill([LOCAL])
    hasty = Csi(stack.controller_host.socket(CONTROLLER_SOCKET))
    try:
        refuse(grpc.StatusCode.UNAVAILABLE, LOCAL, lambda: hasty.snapshot("quiet-new", volume))
        refuse(grpc.StatusCode.UNAVAILABLE, LOCAL, lambda: hasty.delete_snapshot(cut))
        refuse(grpc.StatusCode.UNAVAILABLE, LOCAL, lambda: hasty.create("quiet-copy", 0, block(), source=cut))
        assert [each.snapshot.snapshot_id for each in csi.snapshots().entries] == [cut]
    finally:
        hasty.close()
        stack.start([LOCAL])
        stack.await_ready([LOCAL])
    csi.delete_snapshot(cut)
    csi.delete(volume)
    assert stack.leftovers() == {}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_pod_goes_on_after_the_agent_died_while_it_stood_still(stack: Stack, moment: str) -> None:
    """Killed while the wrapper is frozen: the next process lets go, the retry finds or cuts the one snapshot."""
    kind = Kind("thin", "ext4")
    csi = stack.controller
    volume = csi.create(f"still-{moment}", SIZE, mount(), near=LOCAL).volume_id
    stack.restart(LOCAL, f"lvm.create_snapshot:1:{moment}")
    use(stack, volume, LOCAL, kind)
    write(stack, LOCAL, kind, "before")
    request = pb.CreateSnapshotRequest(name=f"still-{moment}", source_volume_id=volume)
    hasty = Csi(stack.controller_host.socket(CONTROLLER_SOCKET))
    with pytest.raises(grpc.RpcError):
        hasty.call("Controller/CreateSnapshot", request, pb.CreateSnapshotResponse)
    hasty.close()
    stack.restart(LOCAL)
    write(stack, LOCAL, kind, "behind")
    cut = csi.snapshot(f"still-{moment}", volume).snapshot_id
    assert [each.snapshot.snapshot_id for each in csi.snapshots(source_volume_id=volume).entries] == [cut]
    copy = csi.create(f"still-{moment}-copy", 0, mount(), source=cut).volume_id
    assert use_copy(stack, copy, LOCAL, kind, 6) == ("behind" if moment == "before" else "before")
    let_go_copy(stack, copy, LOCAL)
    let_go(stack, volume, LOCAL)
    csi.delete_snapshot(cut)
    csi.delete(copy)
    csi.delete(volume)
    assert stack.leftovers() == {}


MANY = 100


def test_a_hundred_snapshots_of_one_volume(stack: Stack) -> None:
    kind, csi = Kind("thin", ""), stack.controller
    volume = csi.create("many", 16 * MIB, block(), near=LOCAL).volume_id
    use(stack, volume, LOCAL, kind)
    cuts = []
    for number in range(MANY):
        write(stack, LOCAL, kind, f"{number:03}")
        cuts.append(csi.snapshot(f"many-{number}", volume).snapshot_id)
    assert len(csi.snapshots(source_volume_id=volume).entries) == MANY
    let_go(stack, volume, LOCAL)
    csi.delete(volume)
    for number in (0, 49, MANY - 1):
        copy = csi.create(f"many-{number}-copy", 0, block(), source=cuts[number]).volume_id
        check_copy(stack, copy, LOCAL, kind, word=f"{number:03}", least=16 * MIB)
        csi.delete(copy)
    for cut in cuts:
        csi.delete_snapshot(cut)
    assert stack.leftovers() == {}


def test_a_hundred_clones_of_one_volume(stack: Stack) -> None:
    kind, csi = Kind("thin", ""), stack.controller
    volume = csi.create("cloned", 16 * MIB, block(), near=LOCAL).volume_id
    use(stack, volume, LOCAL, kind)
    write(stack, LOCAL, kind, "one")
    clones = [csi.create(f"clone-{number}", 0, block(), source=volume).volume_id for number in range(MANY)]
    let_go(stack, volume, LOCAL)
    csi.delete(volume)
    for number in (0, 49, MANY - 1):
        check_copy(stack, clones[number], LOCAL, kind, word="one", least=16 * MIB)
    for each in clones:
        csi.delete(each)
    assert stack.leftovers() == {}


def refuse(code: grpc.StatusCode, word: str, verb: Callable[[], object]) -> None:
    """The verb ends with that code, and its message says what is wrong."""
    with pytest.raises(grpc.RpcError, match=word) as told:
        verb()
    assert told.value.code() is code


def lvs(host: Host) -> str:
    return host.run(["lvs", "--noheadings", "-o", "lv_name,lv_size,lv_tags", VG]).stdout


def is_active(host: Host, snapshot: str) -> bool:
    return "active" in host.run(["lvs", "--noheadings", "-o", "lv_active", f"{VG}/{snapshot}"]).stdout


def assert_needs_no_replay(host: Host, snapshot: str) -> None:
    """The distribution's own checker finds nothing to do, and the journal is empty; it writes nothing.

    xfs leaves a record in its log at each freeze, on purpose (xfs_fs_freeze): mounting replays it.
    """
    host.run(["lvchange", "-ay", "-K", f"{VG}/{snapshot}"])
    try:
        told = host.run(["dumpe2fs", "-h", f"/dev/{VG}/{snapshot}"]).stdout
        assert "needs_recovery" not in told, told
        host.run(["e2fsck", "-fn", f"/dev/{VG}/{snapshot}"])
    finally:
        host.run(["lvchange", "-an", f"{VG}/{snapshot}"])


def check_copy(stack: Stack, volume: str, node: str, kind: Kind, *, word: str, least: int) -> None:
    """It begins with ``word``, and the device or the file system that fills it has ``least`` bytes."""
    assert use_copy(stack, volume, node, kind, len(word)) == word
    assert least <= bytes_of(stack.lab.host(node), OTHER_TARGET, kind) <= least + STEP // 2
    let_go_copy(stack, volume, node)


def bytes_of(host: Host, path: str, kind: Kind) -> int:
    """Of the file system or of the device, as its user sees it."""
    if not kind.fs:
        return int(host.run(["blockdev", "--getsize64", path]).stdout)
    blocks, length = host.run(["stat", "-f", "-c", "%b %S", path]).stdout.split()
    return int(blocks) * int(length)


def use_copy(stack: Stack, volume: str, node: str, kind: Kind, length: int) -> str:
    """A second volume on the same host, and the first bytes of it."""
    stack.lab.host(node).run(["mkdir", "-p", OTHER_STAGING])
    context = stack.controller.attach(volume, node, kind.capability)
    stack.node(node).stage(volume, context, OTHER_STAGING, kind.capability)
    stack.node(node).publish(volume, context, OTHER_STAGING, OTHER_TARGET, kind.capability)
    place = f"{OTHER_TARGET}/file" if kind.fs else OTHER_TARGET
    return stack.lab.host(node).run(["head", "-c", str(length), place]).stdout


def let_go_copy(stack: Stack, volume: str, node: str) -> None:
    stack.node(node).unpublish(volume, OTHER_TARGET)
    stack.node(node).unstage(volume, OTHER_STAGING)
    stack.controller.detach(volume, node)
