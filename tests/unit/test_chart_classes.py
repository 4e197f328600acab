"""The chart knows the same class parameters as the driver, and says so where a class is made."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import FsType
from csi_driver.model.parameters import TABLE, parse
from tests.unit.chart import MINIMUM, merged, refusal, render
from tools import parameters

WRONG = [
    ({"writecache": "through"}, 'unknown parameter "writecache"'),
    ({"access": "Local"}, 'parameter "access" is "Local"; it may be prefer-local, local, network'),
    ({"layout": ""}, 'parameter "layout" is ""'),
    ({"pool": "no such/pool"}, 'parameter "pool" is "no such/pool"; it must match'),
]


def classes(**given: str) -> dict[str, Any]:
    return {"storageClasses": [{"name": "fast", "parameters": given}]}


def test_what_is_made_from_the_table_is_that_of_today() -> None:
    assert parameters.CHART_FILE.read_text() == parameters.chart_file()
    page = parameters.PAGE.read_text()
    assert parameters.page(page) == page
    for parameter in TABLE:
        key = f"{parameter.key}ATTRIBUTE" if parameter.many else parameter.key
        assert f"| `{key}` |" in page


@pytest.mark.parametrize("parameter", TABLE, ids=lambda each: each.key)
def test_every_value_that_the_driver_takes_passes(parameter: Any) -> None:
    example = "fast" if not parameter.pattern or re.fullmatch(parameter.pattern, "fast") else "120"
    for value in parameter.allowed or (parameter.default, example):
        found = render(classes(**{parameter.key: value})).get("StorageClass", "fast")
        assert found["parameters"] == {parameter.key: value}


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_what_the_driver_refuses_the_chart_refuses_first(given: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest):
        parse(given, {})
    assert said in refusal(merged(MINIMUM, classes(**given)))


def test_file_systems_are_those_that_the_driver_makes() -> None:
    for each in FsType:
        assert render(classes(**{"csi.storage.k8s.io/fstype": each.value}))
    said = refusal(merged(MINIMUM, classes(**{"csi.storage.k8s.io/fstype": "btrfs"})))
    assert 'is "btrfs"; it may be ext4, xfs' in said
    assert render(classes(**{"csi.storage.k8s.io/provisioner-secret-name": "kubernetes' own"}))


def test_the_admission_policy_looks_at_new_classes_of_ours_alone() -> None:
    policy = render().get("ValidatingAdmissionPolicy", "clinker-classes")["spec"]
    [rule] = policy["matchConstraints"]["resourceRules"]
    assert (rule["resources"], rule["operations"]) == (["storageclasses"], ["CREATE"])
    [condition] = policy["matchConditions"]
    assert "'csi.clinker.io'" in condition["expression"]
    keys, *others = (each["expression"] for each in policy["validations"])
    [listed] = re.findall(r"key in (\[.*\])\)$", keys)
    assert set(json.loads(listed)) == {each.key for each in TABLE if not each.many} | {"csi.storage.k8s.io/fstype"}
    assert '["csi.storage.k8s.io/","require."].exists(each, key.startsWith(each))' in keys
    checked = [key for each in others for key in re.findall(r"^!\('([^']+)' in", each)]
    assert set(checked) == {each.key for each in TABLE if each.allowed or each.pattern} | {"csi.storage.k8s.io/fstype"}
    binding = render().get("ValidatingAdmissionPolicyBinding", "clinker-classes")["spec"]
    assert binding == {"policyName": "clinker-classes", "validationActions": ["Deny"]}


def test_the_admission_policy_can_be_left_out() -> None:
    assert "ValidatingAdmissionPolicy" not in render({"admissionPolicy": {"enabled": False}}).kinds()
