"""The plain manifests are the chart's, and hold no key."""

from __future__ import annotations

import yaml  # type: ignore[import-untyped]  # ships no types

from tools import render

FOLDER = render.TARGET.parent


def test_they_are_what_the_chart_gives() -> None:
    assert render.TARGET.read_text() == render.render()


def test_no_key_and_no_secret_is_in_them() -> None:
    for path in FOLDER.iterdir():
        text = path.read_text()
        assert "PRIVATE KEY" not in text
        assert not [each for each in yaml.safe_load_all(text) if each and each["kind"] == "Secret"]


def test_the_kustomization_names_every_file_and_the_image_in_them() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}
    [image] = kustomization["images"]
    assert f"image: {image['name']}:{image['newTag']}\n" in render.TARGET.read_text()


def test_nothing_says_that_helm_manages_it() -> None:
    assert "managed-by: Helm" not in render.TARGET.read_text()
