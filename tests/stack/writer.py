"""A program for the guest: writes numbered records, each fsync'd, and says which ones are safe. And reads them again.

    writer.py write PATH [COUNT]   goes on after the last record; prints "begin N" and, after fsync returned, "safe N"
    writer.py check PATH           prints "good N" or "BAD N" for each record

PATH is a file or a block device, where the records end at a blank one. A record is 4096 bytes: its number and a
SHA-256 of number and payload. Exits 3 on an I/O error, naming it.
"""

import hashlib
import os
import stat
import sys
import time

SIZE = 4096


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


def check(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    for number in range(records(file)):
        print("good" if os.pread(file, SIZE, number * SIZE) == record(number) else "BAD", number)


if __name__ == "__main__":
    try:
        if sys.argv[1] == "write":
            write(sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 1 << 60)
        else:
            check(sys.argv[2])
    except OSError as error:
        print("error", error.strerror, flush=True)
        sys.exit(3)
