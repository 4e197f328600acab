"""How a host is put on disk and started: its share, its disks, the kernel's command line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.kernel import Kernel
from tests.lab.spec import GATEWAY, HostSpec, Identity, etc_files

MODULES = (
    *("dm-mod", "dm-thin-pool", "dm-snapshot", "dm-crypt", "dm-delay", "dm-flakey", "dm-dust", "dm-raid"),
    *("dm-mirror", "dm-multipath", "dm-service-time", "dm-round-robin", "dm-queue-length", "dm-zero"),
    *("dm-log-writes", "raid1", "loop", "overlay"),
    *("target_core_mod", "target_core_iblock", "target_core_file", "iscsi_target_mod", "iscsi_tcp", "sd_mod", "sg"),
)
GUEST = Path(__file__).parent / "guest"


@dataclass(frozen=True)
class Place:
    """Where a host's things lie on the machine."""

    folder: Path
    logs: Path

    @property
    def share(self) -> Path:
        """Seen by the guest as /host."""
        return self.folder / "share"

    @property
    def root_cow(self) -> Path:
        """What the host wrote to its root file system."""
        return self.folder / "root.cow"

    @property
    def console(self) -> Path:
        return self.logs / "console.log"

    def disk(self, index: int) -> Path:
        """The file behind its disk number `index`, counted from 0."""
        return self.folder / f"disk{index + 1}.img"

    def up(self, boot: int) -> Path:
        """Made by the agent once boot number `boot` is over."""
        return self.share / f"up{boot}"


def prepare(place: Place, spec: HostSpec, identity: Identity, everyone: Sequence[Identity]) -> None:
    """Make the share and the blank disks (sparse files)."""
    boot = place.share / "boot"
    package = boot / "tests" / "lab" / "guest"
    shutil.copytree(GUEST, package, ignore=shutil.ignore_patterns("__pycache__", "*.sh"))
    (boot / "tests" / "__init__.py").touch()
    (boot / "tests" / "lab" / "__init__.py").touch()
    shutil.copy(GUEST / "init.sh", boot)
    variables = {"HOST_NAME": identity.name, "HOST_ADDRESS": identity.address, "GATEWAY": GATEWAY}
    variables["MODULES"] = f"'{' '.join(MODULES)}'"
    (boot / "host.env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    (boot / "etc").mkdir()
    for name, text in etc_files(identity, everyone).items():
        (boot / "etc" / name).write_text(text)
    (place.share / "logs").mkdir()  # where the guest mounts the logs
    place.logs.mkdir(parents=True)
    for index, size in enumerate(spec.disk_sizes):
        with place.disk(index).open("wb") as disk:
            os.truncate(disk.fileno(), size)


def command_line(
    place: Place, spec: HostSpec, identity: Identity, *, kernel: Kernel, image: Path, boot: int
) -> list[str]:
    """The arguments of the kernel, itself first."""
    disks = [f"ubd{index + 1}={place.disk(index)}" for index in range(len(spec.disk_sizes))]
    return [
        str(kernel.binary),
        f"mem={spec.memory_mib}M",
        *(["seccomp=on"] if kernel.seccomp else []),
        f"ubd0={place.root_cow},{image}",
        *disks,
        *("root=/dev/ubda", "rw", "rootfstype=ext4", "init=/sbin/labinit", "quiet"),
        *(f"lab_share={place.share}", f"lab_logs={place.logs}", f"LAB_BOOT={boot}"),
        f"vec0:transport=tap,ifname={identity.tap},depth=128,gro=1,mac={identity.mac}",
        *(f"uml_dir={place.folder}/uml/", f"umid={identity.name}"),
        *("con=null", "con0=null,fd:1"),
    ]
