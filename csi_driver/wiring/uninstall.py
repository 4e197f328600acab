"""``clinker uninstall-check``: asks the Kubernetes API once."""

from __future__ import annotations

from csi_driver.errors import Precondition
from csi_driver.kube import api
from csi_driver.kube.uninstall import in_use


async def uninstall_check(kubeconfig: str) -> None:
    """Return when no object of the driver is left. Raises Precondition naming those that are; InvalidRequest,
    Unavailable or Denied when the API server cannot be asked.
    """
    connection = await api.connect(kubeconfig)
    try:
        left = await in_use(connection)
    finally:
        await connection.close()
    if left:
        raise Precondition(
            "volumes of this driver are in use. Without it they stay readable where they are mounted, but nobody can"
            f" attach, detach, grow or delete them:\n{left.text}"
        )
