"""A program for the guest: SCSI-3 persistent reservations of a block device, by the kernel's own ioctls.

    reserve.py register KEY PATH   registers this node under KEY, to survive a loss of power (the kernel asks for that)
    reserve.py reserve KEY PATH    takes the reservation: only who is registered may write
    reserve.py write WORD PATH     writes WORD into the first block, past the page cache

Prints "done", or what the system call failed with.
"""

import fcntl
import mmap
import os
import struct
import sys

# linux/pr.h: _IOW('p', 200, struct pr_registration), _IOW('p', 201, struct pr_reservation)
REGISTER = 1 << 30 | 24 << 16 | ord("p") << 8 | 200
RESERVE = 1 << 30 | 16 << 16 | ord("p") << 8 | 201
WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 3


def act(verb: str, word: str, path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_DIRECT)
    if verb == "register":
        fcntl.ioctl(descriptor, REGISTER, struct.pack("=QQII", 0, int(word), 0, 0))
    elif verb == "reserve":
        fcntl.ioctl(descriptor, RESERVE, struct.pack("=QII", int(word), WRITE_EXCLUSIVE_REGISTRANTS_ONLY, 0))
    else:
        block = mmap.mmap(-1, 4096)
        block.write(word.encode().ljust(4096, b"."))
        os.pwritev(descriptor, [block], 0)


if __name__ == "__main__":
    try:
        act(*sys.argv[1:])
    except OSError as error:
        print(error.strerror)
    else:
        print("done")
