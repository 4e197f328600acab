"""Where a volume is made and where its pods may run: binding modes, topology, capacity."""

from __future__ import annotations

from tests.e2e.user import DATA, User, claim, pod
from tests.stack.stack import POOL

NODE_KEY, ZONE_KEY = "csi.clinker.io/node", "topology.kubernetes.io/zone"


def allowed(key: str, *values: str) -> list[dict[str, object]]:
    return [{"matchLabelExpressions": [{"key": key, "values": list(values)}]}]


def test_an_immediate_claim_is_bound_before_there_is_a_pod(user: User) -> None:
    name = user.make_class(volumeBindingMode="Immediate")
    user.apply(claim("data", storageClassName=name), claim("raw", storageClassName=name, mode="Block"))
    user.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    user.wait("pvc/raw", "jsonpath={.status.phase}=Bound")
    assert "nodeAffinity" not in user.volume("data")["spec"]
    user.run(pod("writer", "data", node="host3"))
    assert user.shell("writer", f"echo here >{DATA}/f; cat {DATA}/f") == "here\n"
    user.run(pod("raw", "raw", node="host3", block=True))


def test_topology_allowed_by_node_binds_pod_and_data(user: User) -> None:
    name = user.make_class(allowedTopologies=allowed(NODE_KEY, "host2"))
    user.apply(claim("data", storageClassName=name))
    user.run(pod("writer", "data"))
    assert (user.node_of("writer"), user.home_of("data")) == ("host2", "host2")
    [term] = user.volume("data")["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": NODE_KEY, "operator": "In", "values": ["host2"]}]


def test_topology_allowed_by_zone_binds_pod_and_data(user: User) -> None:
    name = user.make_class(allowedTopologies=allowed(ZONE_KEY, "b"), volumeBindingMode="Immediate")
    user.apply(claim("data", storageClassName=name))
    user.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    assert user.home_of("data") == "host2"  # the only node of the zone that has a pool
    user.run(pod("writer", "data"))
    assert user.node_of("writer") in {"host2", "host3"}
    user.apply(pod("elsewhere", "data", node="host1"))
    user.await_scheduling_failure("elsewhere", "didn't match PersistentVolume's node affinity")


def test_topology_that_names_every_node_binds_nobody(user: User) -> None:
    name = user.make_class(allowedTopologies=allowed(NODE_KEY, "host1", "host2", "host3"))
    user.apply(claim("data", storageClassName=name))
    user.run(pod("writer", "data", node="host1"))
    assert "nodeAffinity" not in user.volume("data")["spec"]


def test_the_scheduler_passes_over_a_full_node_when_data_must_be_local(user: User) -> None:
    name = user.make_class(parameters={"access": "local"})
    user.apply(claim("big", "4Gi", storageClassName=name))
    user.run(pod("filler", "big", node="host1"))
    user.apply(claim("second", "3Gi", storageClassName=name))
    user.run(pod("free", "second"))
    assert (user.node_of("free"), user.home_of("second")) == ("host2", "host2")
    # Where no node has room, none is chosen, and the pod says why.
    user.apply(claim("third", "3Gi", storageClassName=name), pod("waiting", "third"))
    user.await_scheduling_failure("waiting", "did not have enough free storage")


def test_a_pod_that_must_be_on_a_full_node_gets_a_volume_of_another(user: User) -> None:
    user.apply(claim("big", "4Gi"))
    user.run(pod("filler", "big", node="host1"))
    assert user.home_of("big") == "host1"
    user.apply(claim("second", "3Gi"))
    user.run(pod("writer", "second", node="host1"))
    assert user.home_of("second") == "host2"
    assert user.shell("writer", f"echo far >{DATA}/f; sync; cat {DATA}/f") == "far\n"


def test_a_claim_for_which_there_is_no_room_says_what_each_pool_has(user: User) -> None:
    name = user.make_class(volumeBindingMode="Immediate")
    user.apply(claim("huge", "500Gi", storageClassName=name))
    said = user.await_event("pvc/huge", "no pool can hold 500 GiB")
    for node in ("host1", "host2"):
        assert f"{node}/{POOL}: it has" in said
