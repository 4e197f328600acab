"""Does what it is told to LVM, dm, LIO, open-iscsi, file systems and mounts. No policy."""
