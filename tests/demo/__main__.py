"""``python -m tests.demo [--keep]``."""

from __future__ import annotations

import argparse
import sys
import time

import grpc

from csi_driver.model.sizes import GIB
from tests.demo.show import CheckFailed, Steps, evidence, say
from tests.demo.story import Story, explain
from tests.lab import HostSpec, Lab, LabError
from tests.stack.stack import Stack

SPECS = [HostSpec("host1", (4 * GIB,)), HostSpec("host2", (4 * GIB,)), HostSpec("host3")]


def main() -> int:
    """0 only if every check held."""
    parser = argparse.ArgumentParser(prog="make demo", description="One volume's life on real LVM and iSCSI.")
    parser.add_argument("--keep", action="store_true", help="leave the hosts up at the end, to look around")
    options = parser.parse_args()
    steps = Steps()
    say("Clinker: one volume's life on three hosts with real LVM, LIO and open-iscsi.")
    lab = Lab(SPECS, name="demo" if options.keep else None, detached=options.keep)
    try:
        with steps.step("Boot three hosts: host1 and host2 with a disk of 4 GiB, host3 without"):
            lab.up()
        return _tell(lab, steps)
    except LabError as error:
        say(f"\nThe demo FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted.")
        return 130
    finally:
        if options.keep and lab.hosts:
            _say_how_to_look(lab)
        else:
            lab.down()


def _tell(lab: Lab, steps: Steps) -> int:
    stack = Stack(lab=lab, patience=60)
    story = Story(stack)
    try:
        with steps.step("Start the driver: `clinker node` on each host, `clinker controller` unprivileged on host3"):
            stack.up()
            evidence(lab.host("host3").run(["ps", "-o", "user,args", "-C", "python3"]).stdout)
        for title, act in (
            ("CreateVolume: 1 GiB, thin, ext4, writeCache=through, near host1", story.create),
            ("Attach and mount on host1, where it lies", story.use_locally),
            ("Write 32 MiB and take a checksum", story.write_data),
            ("Move it to host3, which has no disks: iSCSI with CHAP", story.move),
            ("Grow it to 2 GiB while host3 writes", story.grow),
            ("Kill every driver process while host3 writes", story.kill_drivers),
            ("Pull the plug on host1 while host3 fsyncs each record, boot host1 again", story.pull_the_plug),
            ("The fence: ControllerUnpublishVolume without NodeUnstage while host3 writes", story.fence),
            ("Mount on host1 what the fence left, then unmount", story.look_at_fenced),
            ("DeleteVolume, and look for anything left", story.delete),
        ):
            with steps.step(title):
                act()
    except (CheckFailed, AssertionError, grpc.RpcError) as failure:
        say(f"\nThe demo FAILED: {explain(failure) if isinstance(failure, grpc.RpcError) else failure}")
        if lab.keep_logs() is None:
            say("`CLINKER_LAB_KEEP_LOGS=1 make demo` keeps what each process said, `make demo ARGS=--keep` the hosts.")
        return 1
    say(f"\nEvery check held. {time.monotonic() - steps.began:.0f} s in all.")
    return 0


def _say_how_to_look(lab: Lab) -> None:
    say("\nThe hosts are still up, with the driver running on them. Look around:")
    say(f"  make lab-shell LAB={lab.name} HOST=host1     a shell in a host; `exit` ends it")
    say(f'  make lab-run LAB={lab.name} HOST=host1 ARGS="lvs -a"     one command; also "dmsetup table" or, on host3,')
    say('                                                "iscsiadm -m session"')
    say(f"  ls {lab.folder}/logs/*     what each host and each process said")
    say(f"  make lab-down LAB={lab.name}     ends them")


if __name__ == "__main__":
    sys.exit(main())
