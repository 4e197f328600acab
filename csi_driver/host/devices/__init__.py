"""Block and SCSI devices: found through sysfs, asked who they are by SCSI commands.

kernel      the door's real implementation
sysfs       where sysfs shows what
scsi        commands and answers as bytes
sgio        the ioctls that carry them
"""
