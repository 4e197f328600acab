"""``make demo``: one volume's life on real LVM and iSCSI, step by step."""
