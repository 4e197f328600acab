"""The plug pulled under writers on real LVM and iSCSI: what was acknowledged and is lost, counted by class of volume.

One pull for all of them: thin and thick, each written through, with a cache that fails and with one that resumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import GIB, MIB, HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import block, mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

STORAGE, CONSUMER = "host1", "host2"
FOLDER = "/var/lib/kubelet/crash"
CACHES = {
    "through": {},
    "fail": {"writeCache": "back"},
    "resume": {"writeCache": "back", "afterStorageCrash": "resume"},
}
WRITTEN = 150
"""Records before the plug is pulled, and again where the writers go on."""


@dataclass
class Volume:
    """A volume in use over iSCSI by a writer of its own."""

    stack: Stack
    name: str
    parameters: dict[str, str]
    capability: csi.VolumeCapability
    id: str = ""
    writer: Writer | None = None

    @property
    def staging(self) -> str:
        return f"{FOLDER}/{self.name}/staging"

    @property
    def target(self) -> str:
        return f"{FOLDER}/{self.name}/target"

    @property
    def records(self) -> str:
        return f"{self.target}/records" if self.capability.HasField("mount") else self.target

    def make(self) -> None:
        self.stack.lab.host(CONSUMER).run(["mkdir", "-p", self.staging])
        self.id = self.stack.controller.create(
            self.name, 128 * MIB, self.capability, parameters=self.parameters, near=STORAGE
        ).volume_id
        self.use()

    def use(self) -> None:
        context = self.stack.controller.attach(self.id, CONSUMER, self.capability)
        self.stack.node(CONSUMER).stage(self.id, context, self.staging, self.capability)
        self.stack.node(CONSUMER).publish(self.id, context, self.staging, self.target, self.capability)

    def let_go(self) -> None:
        self.stack.node(CONSUMER).unpublish(self.id, self.target)
        self.stack.node(CONSUMER).unstage(self.id, self.staging)
        self.stack.controller.detach(self.id, CONSUMER)

    def write(self, verb: str) -> Writer:
        self.writer = Writer.start(self.stack.lab.host(CONSUMER), self.records, name=self.name, verb=verb)
        return self.writer

    def lost(self) -> tuple[int, int]:
        """Of the records that the writer was told are written: how many are not there, of how many."""
        assert self.writer is not None
        self.writer.stop()
        told = set(self.writer.safe())
        good, _ = verify(self.stack.lab.host(CONSUMER), self.records, max(told) + 1)
        return len(told - good), len(told)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Lab([HostSpec(STORAGE, (4 * GIB,)), HostSpec(CONSUMER)]) as lab:
        stack = Stack(lab=lab, patience=120)
        stack.up()
        yield stack


@pytest.fixture(scope="module")
def volumes(stack: Stack) -> dict[str, Volume]:
    """All of them, their writers at work when the plug was pulled; the storage node is up again."""
    raw = {
        f"{layout}-{cache}": Volume(stack, f"{layout}-{cache}", {"layout": layout, **parameters}, block())
        for layout in ("thin", "thick")
        for cache, parameters in CACHES.items()
    }
    synced = {
        f"fsync-{cache}": Volume(stack, f"fsync-{cache}", CACHES[cache], mount()) for cache in ("through", "fail")
    }
    for volume in (*raw.values(), *synced.values()):
        volume.make()
    writers = [volume.write("direct") for volume in raw.values()] + [
        volume.write("write") for volume in synced.values()
    ]
    for writer in writers:
        writer.await_more(WRITTEN, seconds=120)
    stack.reboot(stack.lab.host(STORAGE))
    stack.await_ready()
    eventually(lambda: stack.controller.capacity(STORAGE) > 0, within=120)
    return {**raw, **synced}


@pytest.mark.parametrize("name", ["thin-through", "thick-through", "fsync-through"])
def test_written_through_nothing_is_lost_and_the_writer_does_not_notice(
    volumes: dict[str, Volume], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = volumes[name]
    assert volume.writer is not None
    volume.writer.await_more(WRITTEN, seconds=120)
    assert volume.writer.error() == ""
    lost, told = volume.lost()
    with capsys.disabled():
        print(f"\n{name}: {lost} of {told} acknowledged writes lost, no error", end="")
    assert lost == 0
    volume.let_go()


@pytest.mark.parametrize("name", ["thin-fail", "thick-fail", "fsync-fail"])
def test_with_a_cache_the_writer_gets_an_error_and_a_new_stage_begins_at_the_last_flush(
    volumes: dict[str, Volume], stack: Stack, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = volumes[name]
    writer = volume.writer
    assert writer is not None
    eventually(lambda: writer.error() != "", within=120)
    assert volume.id not in stack.lab.host(STORAGE).run(["ls", "/sys/kernel/config/target/iscsi"]).stdout
    assert stack.controller.volumes()[volume.id] == []
    stack.node(CONSUMER).unpublish(volume.id, volume.target)
    stack.node(CONSUMER).unstage(volume.id, volume.staging)
    volume.use()
    lost, told = volume.lost()
    with capsys.disabled():
        print(f"\n{name}: {lost} of {told} acknowledged writes lost, each writer was told: {writer.error()}", end="")
    if name.startswith("fsync"):
        assert lost == 0
    volume.let_go()


@pytest.mark.parametrize("name", ["thin-resume", "thick-resume"])
def test_who_chose_to_resume_goes_on_and_it_is_reported(
    volumes: dict[str, Volume], stack: Stack, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = volumes[name]
    assert volume.writer is not None
    volume.writer.await_more(WRITTEN, seconds=120)
    assert volume.writer.error() == ""
    lost, told = volume.lost()
    with capsys.disabled():
        print(f"\n{name}: {lost} of {told} acknowledged writes lost, as the class allows", end="")
    log = stack.processes[STORAGE].log()
    assert any("UnflushedWritesMayBeLost" in line and volume.id in line for line in log.splitlines())
    volume.let_go()


def test_nothing_is_left(volumes: dict[str, Volume], stack: Stack) -> None:
    for volume in volumes.values():
        stack.controller.delete(volume.id)
    eventually(lambda: stack.leftovers() == {}, within=120)


def test_after_a_clean_stop_a_cache_goes_on(stack: Stack) -> None:
    volume = Volume(stack, "clean", CACHES["fail"], mount())
    volume.make()
    writer = volume.write("write")
    writer.await_more(20, seconds=60)
    host = stack.lab.host(STORAGE)
    stack.kill([STORAGE])
    stopped = host.run(["clinker", "stop-exports", "--config", f"/etc/clinker/{STORAGE}/settings.toml"])
    assert "1 exports stopped" in stopped.stdout
    stack.reboot(host)
    stack.await_ready()
    writer.await_more(20, seconds=120)
    assert writer.error() == ""
    assert volume.lost()[0] == 0
    volume.let_go()
    stack.controller.delete(volume.id)
