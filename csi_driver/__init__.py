"""Clinker: a Kubernetes CSI driver that cuts volumes from LVM on the cluster's own nodes.

``docs/architecture.md`` says which package may know which: imports point down only.
"""

__version__ = "0.1.0"

DRIVER_NAME = "csi.clinker.io"
