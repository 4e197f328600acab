"""A program for the guest: writes numbered records, each fsync'd, and says which ones are safe. And reads them again.

    writer.py write PATH [COUNT]   goes on after the last record; prints "begin N" and, after fsync returned, "safe N"
    writer.py direct PATH [COUNT]  the same from the start of a device, past the page cache, without any fsync
    writer.py check PATH [COUNT]   prints "good N" or "BAD N" for each record, of COUNT or of as many as there are

PATH is a file or a block device, where the records end at a blank one. A record is 4096 bytes: its number and a
SHA-256 of number and payload. Exits 3 on an I/O error, naming it.
"""

import hashlib
import mmap
import os
import stat
import sys
import time

SIZE = 4096
ALL = 1 << 60
PAUSE = 0.01
"""Seconds between two records of a device, which is to last for a while."""


def record(number: int) -> bytes:
    payload = (b"%016d" % number) * ((SIZE - 48) // 16)
    head = b"%016d" % number
    return (head + hashlib.sha256(head + payload).digest() + payload).ljust(SIZE, b".")


def records(file: int) -> int:
    info = os.fstat(file)
    if stat.S_ISREG(info.st_mode):
        return info.st_size // SIZE
    number = 0
    while any(os.pread(file, SIZE, number * SIZE)):
        number += 1
    return number


def write(path: str, count: int) -> None:
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    number = records(file)
    end = number + count
    while number < end:
        print("begin", number, f"{time.monotonic():.3f}", flush=True)
        os.pwrite(file, record(number), number * SIZE)
        os.fsync(file)
        print("safe", number, f"{time.monotonic():.3f}", flush=True)
        number += 1


def direct(path: str, count: int) -> None:
    file = os.open(path, os.O_RDWR | os.O_DIRECT)
    block = mmap.mmap(-1, SIZE)
    for number in range(count):
        block.seek(0)
        block.write(record(number))
        print("begin", number, f"{time.monotonic():.3f}", flush=True)
        os.pwritev(file, [block], number * SIZE)
        print("safe", number, f"{time.monotonic():.3f}", flush=True)
        time.sleep(PAUSE)


def check(path: str, count: int) -> None:
    file = os.open(path, os.O_RDONLY)
    for number in range(records(file) if count == ALL else count):
        print("good" if os.pread(file, SIZE, number * SIZE) == record(number) else "BAD", number)


if __name__ == "__main__":
    try:
        act = {"write": write, "direct": direct, "check": check}[sys.argv[1]]
        act(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else ALL)
    except OSError as error:
        print("error", error.strerror, flush=True)
        sys.exit(3)
