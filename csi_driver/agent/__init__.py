"""The storage node's use cases, a file per verb: what is done where the disks are."""
