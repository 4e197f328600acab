import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import TABLE, Access, parse
from csi_driver.model.volume import Layout, WriteCache


def test_nothing_given_means_the_defaults_of_the_table() -> None:
    parameters = parse({}, {})
    assert (parameters.layout, parameters.write_cache) == (Layout.THIN, WriteCache.THROUGH)
    assert (parameters.access, parameters.pool) == (Access.PREFER_LOCAL, "")
    for each in TABLE:
        assert each.help.endswith(".")
        assert each.check(each.default) == each.default


def test_everything_given() -> None:
    parameters = parse({"layout": "thick", "writeCache": "through", "access": "local", "pool": "fast_1"}, {})
    assert (parameters.layout, parameters.access, parameters.pool) == (Layout.THICK, Access.LOCAL, "fast_1")


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InvalidRequest,
        match=r"unknown parameter 'layuot'; known are: access, affinity, .*, require.ATTRIBUTE, ",
    ):
        parse({"layuot": "thin"}, {})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("layout", "fat", "thin, thick"),
        ("layout", "", "thin, thick"),
        ("access", "remote", "prefer-local, local, network"),
        ("writeCache", "none", "through, back"),
        ("writeCache", "back-resume", "through, back"),
        ("afterStorageCrash", "hope", "fail, resume"),
        ("afterStorageCrash", "resume", "writeCache: back only"),
        ("pool", "a b", "must match"),
        ("pool", "x" * 64, "must match"),
        ("pool", "a\n", "must match"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_can(key: str, value: str, allowed: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"parameter {key}: .*{allowed}"):
        parse({key: value}, {})


@pytest.mark.parametrize(
    ("given", "cache"),
    [
        ({}, WriteCache.THROUGH),
        ({"afterStorageCrash": "fail"}, WriteCache.THROUGH),
        ({"writeCache": "back"}, WriteCache.BACK),
        ({"writeCache": "back", "afterStorageCrash": "fail"}, WriteCache.BACK),
        ({"writeCache": "back", "afterStorageCrash": "resume"}, WriteCache.BACK_RESUME),
    ],
)
def test_the_cache_and_what_follows_a_crash_are_one_decision(given: dict[str, str], cache: WriteCache) -> None:
    assert parse(given, {}).write_cache is cache


def test_kubernetes_own_keys_are_accepted_and_name_the_claim() -> None:
    parameters = parse(
        {
            "csi.storage.k8s.io/pvc/name": "data",
            "csi.storage.k8s.io/pvc/namespace": "shop",
            "csi.storage.k8s.io/pv/name": "pvc-1",
            "csi.storage.k8s.io/fstype": "xfs",
        },
        {},
    )
    assert (parameters.pvc_namespace, parameters.pvc_name) == ("shop", "data")
    assert parameters.params_hash == parse({}, {}).params_hash


@pytest.mark.parametrize("key", ["XXX_FakeKey", "layout", "csi.storage.k8s.io/x"])
def test_no_parameter_is_mutable_yet(key: str) -> None:
    with pytest.raises(InvalidRequest, match=r"unknown mutable parameter .* known are: none"):
        parse({}, {key: "thin"})


def test_the_hash_tells_apart_what_matters_and_nothing_else() -> None:
    plain = parse({}, {}).params_hash
    assert parse({"layout": "thin", "access": "prefer-local", "pool": ""}, {}).params_hash == plain
    others = [{"layout": "thick"}, {"access": "local"}, {"access": "network"}, {"pool": "a"}, {"pool": "b"}]
    hashes = {parse(each, {}).params_hash for each in others} | {plain}
    assert len(hashes) == len(others) + 1


def test_the_hash_is_the_same_for_ever() -> None:
    """It stands in the tags of volumes: a new version must come to the same."""
    assert parse({}, {}).params_hash == "e3b0c44298fc1c14"
    assert parse({"pool": "a", "layout": "thick"}, {}).params_hash == "498f4fb687051ed0"
