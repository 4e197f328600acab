"""The mount table and the paths that things are mounted on.

kernel      the door's real implementation
options     mount options as the kernel takes them: flags and data
table       /proc/self/mountinfo
syscalls    mount(2) and umount2(2)
"""
