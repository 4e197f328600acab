"""The chart, rendered by helm itself."""

from __future__ import annotations

import json
import subprocess  # noqa: TID251  # it runs helm, and has no event loop to block
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types

from csi_driver import settings
from tests.cluster import binaries

CHART = Path(__file__).resolve().parents[2] / "charts" / "clinker"
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
Object = dict[str, Any]

MINIMUM: Mapping[str, Any] = {
    "image": {"repository": "registry.example.org/clinker"},
    "pools": [{"name": "fast", "vg": "vg0", "thinPool": "thin0"}],
    "tls": {"existingSecret": "keys", "caBundle": CA},
}
"""What has no default that works, and a key that is given."""
OWN_KEY: Mapping[str, Any] = {"tls": {"existingSecret": "", "caBundle": ""}}
"""Over it: the controller makes its own."""


class Rendered:
    """The objects of one rendering."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = [each for each in yaml.safe_load_all(text) if each]

    def get(self, kind: str, name: str) -> Object:
        """The one object of that kind and name."""
        [found] = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        return found

    def kinds(self) -> set[str]:
        return {each["kind"] for each in self.objects}

    @property
    def controller(self) -> Object:
        """The specification of the controller's pods."""
        return pod(self.get("Deployment", "clinker-controller"))

    @property
    def node(self) -> Object:
        """The specification of the nodes' pods."""
        return pod(self.get("DaemonSet", "clinker-node"))

    def settings(self, name: str) -> settings.Settings:
        """The settings file in that ConfigMap, as the driver reads it."""
        return settings.parse(self.toml(name), name)

    def toml(self, name: str) -> dict[str, Any]:
        return tomllib.loads(self.get("ConfigMap", name)["data"]["settings.toml"])


def render(*over: Mapping[str, Any], release: str = "clinker", arguments: tuple[str, ...] = ()) -> Rendered:
    """The chart with the least values and, over them, these."""
    done = template(merged(MINIMUM, *over), release=release, arguments=arguments)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout)


def refusal(values: Mapping[str, Any], arguments: tuple[str, ...] = ()) -> str:
    """What helm says when it does not render these values, taken as they are."""
    done = template(values, arguments=arguments)
    assert done.returncode != 0, done.stdout
    return done.stderr


def template(
    values: Mapping[str, Any], *, release: str = "clinker", arguments: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return _template(json.dumps(values), release, arguments)


@cache
def _template(values: str, release: str, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    helm = binaries.program(binaries.HELM)
    command = [str(helm), "template", release, str(CHART), "--namespace", "storage", "--values", "-", *arguments]
    return subprocess.run(command, input=values, capture_output=True, text=True, timeout=60, check=False, cwd="/")


def merged(*tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables within tables are merged, everything else replaced, as helm does it."""
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            below = result.get(key)
            both = isinstance(below, dict) and isinstance(value, Mapping)
            result[key] = merged(below, value) if both and below is not None else value
    return result


def pod(workload: Object) -> Object:
    found: Object = workload["spec"]["template"]["spec"]
    return found


def container(spec: Object, name: str) -> Object:
    [found] = [each for each in spec["containers"] if each["name"] == name]
    return dict(found)
