"""open-iscsi: records written as files, sessions read from sysfs, the host's iscsiadm for login and logout.

initiator    the door's real implementation
commands     iscsiadm's command lines and what its exit statuses mean
records      the text of node records
database     the folder that they lie in
sysfs        sessions
place        where the host's iscsiadm is: beside us, or in the host's namespaces
"""
