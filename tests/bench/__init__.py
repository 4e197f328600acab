"""``make bench``: figures of the driver on lab hosts, each beside its aim."""
