"""What placing asks about claims and pods, with the rights that the chart gives and no others."""

from __future__ import annotations

import pytest

from csi_driver.control.cluster import Claim
from csi_driver.errors import InvalidRequest
from csi_driver.kube.api import connect
from csi_driver.kube.claims import Claims
from tests.kube import objects
from tests.kube.objects import CONTROLLER, NAMESPACE, Object
from tests.kube.world import World

CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"


def claim(name: str, **metadata: object) -> Object:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    meta = {"name": name, **metadata}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


async def test_hints_and_the_claims_and_pods_that_they_name(world: World) -> None:
    admin = world.admin.api
    await admin.post(CLAIMS, claim("db-0", labels={"app": "db", "shard": "1"}))
    await admin.post(CLAIMS, claim("db-1", labels={"app": "db"}, annotations={"clinker.io/near": "node:n1"}))
    await admin.post(CLAIMS, claim("web", labels={"app": "web"}))
    token = await objects.token(admin, CONTROLLER)
    api = await connect(str(world.server.kubeconfig("hints", token=token)))
    claims = Claims()
    claims.api = api
    try:
        assert await claims.claim(NAMESPACE, "db-1") == Claim(annotations={"clinker.io/near": "node:n1"})
        assert await claims.claim(NAMESPACE, "db-0") == Claim(annotations={})
        assert await claims.claim(NAMESPACE, "none") is None
        assert await claims.claims(NAMESPACE, "app=db") == ("db-0", "db-1")
        assert await claims.claims(NAMESPACE, "app in (db, web), !shard") == ("db-1", "web")
        assert await claims.claims("elsewhere", "app=db") == ()
        with pytest.raises(InvalidRequest):
            await claims.claims(NAMESPACE, "app in db")
        assert await claims.node_of_pod(NAMESPACE, "node-n1") == "n1"
        assert await claims.node_of_pod(NAMESPACE, "none") == ""
    finally:
        await api.close()
        await world.admin.delete(CLAIMS)
