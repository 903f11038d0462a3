"""Images as values: which base, which Python, and what appending layers makes of a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.images import bases, dockerfile, store
from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.layers import Layer
from slipway.images.oci import CONFIG, LAYER_GZIP, Descriptor, Manifest
from slipway.images.recipe import Recipe
from slipway.problems import Problems
from slipway.settings import parse
from slipway.spec import Environment


def image(**config: Any) -> Built:
    content = json.dumps({"architecture": "amd64", "os": "linux", **config}).encode()
    return Built(Manifest(Descriptor.of(content, CONFIG), ()), content)


@pytest.mark.parametrize(
    ("specifier", "version"),
    [
        ("", "3.12"),
        ("3.11", "3.11"),
        ("3.11.4", "3.11"),
        (">=3.10,<3.12", "3.11"),
        ("==3.9.*", "3.9"),
        (">3.12", "3.12"),
    ],
)
def test_the_default_base_has_the_python_that_is_asked_for(specifier: str, version: str) -> None:
    reference = bases.default(specifier, "a")
    assert reference == bases.PYTHONS[version]
    assert bases.python_of(reference, {}, specifier) == version


def test_without_a_base_for_a_python_the_error_names_those_there_are() -> None:
    with pytest.raises(
        Problems, match=r'python_version = "3.7": .*only 3.9, 3.10, 3.11, 3.12, 3.13; name an'
    ):
        bases.default("3.7", "slipway:webservices[a]")


@pytest.mark.parametrize(
    ("variables", "specifier", "version"),
    [
        ({"PYTHON_VERSION": "3.10.4"}, "", "3.10"),
        ({"MINICONDA_VERSION": "py310_23.1.0-1"}, ">=3.9", "3.10"),
        ({}, "3.11", "3.11"),
        ({}, "==3.11.*", "3.11"),
    ],
)
def test_a_base_says_its_python_or_the_stack_file_does(
    variables: dict[str, str], specifier: str, version: str
) -> None:
    assert bases.python_of("example.com/base:1", variables, specifier) == version


@pytest.mark.parametrize(
    ("variables", "specifier", "said"),
    [
        ({}, "", "does not say which Python"),
        ({}, ">=3.10", "does not say"),
        ({"PYTHON_VERSION": "3.9"}, "3.11", "has Python 3.9"),
    ],
)
def test_a_python_that_does_not_fit_is_refused(variables: dict[str, str], specifier: str, said: str) -> None:
    with pytest.raises(Problems, match=said):
        bases.python_of("example.com/base:1", variables, specifier)


def test_a_conda_file_says_its_python() -> None:
    assert dockerfile.python_of(Recipe("scoring", conda_file="dependencies:\n  - python=3.8\n"), {}) == "3.8"
    assert (
        dockerfile.python_of(Recipe("scoring", python_version="3.9", conda_file="dependencies:\n"), {})
        == "3.9"
    )
    with pytest.raises(Problems, match="does not say which Python"):
        dockerfile.python_of(Recipe("scoring", conda_file="dependencies:\n"), {"PYTHON_VERSION": "3.10"})


def test_appending_keeps_what_the_base_has_and_replaces_what_is_said() -> None:
    base = image(
        config={"Env": ["PATH=/bin", "A=1"], "User": "root"}, rootfs={"type": "layers", "diff_ids": []}
    )
    blob = Descriptor(LAYER_GZIP, f"sha256:{'1' * 64}", 10)
    layer = Layer(blob, f"sha256:{'2' * 64}")
    made = base.append([("code", layer)], {"User": "1000:1000"})
    assert made.manifest.layers == (blob,)
    assert made.settings == {"Env": ["PATH=/bin", "A=1"], "User": "1000:1000"}
    assert made.variables == {"PATH": "/bin", "A": "1"}
    config = json.loads(made.config)
    assert config["rootfs"]["diff_ids"] == [layer.diff_id]
    assert [one["created_by"] for one in config["history"]] == ["slipway: code"]
    assert made.manifest.config == Descriptor.of(made.config, CONFIG)
    assert base.append([("code", layer)], {"User": "1000:1000"}) == made


def test_a_base_without_a_history_of_its_layers_gets_none() -> None:
    blob = Descriptor(LAYER_GZIP, f"sha256:{'1' * 64}", 10)
    layer = Layer(blob, f"sha256:{'2' * 64}")
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [layer.diff_id]}}).encode()
    base = Built(Manifest(Descriptor.of(config, CONFIG), (blob,)), config)
    assert "history" not in json.loads(base.append([("code", layer)], {}).config)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"image": "a", "base_image": "b"}, "base_image = b with image = a"),
        ({"base_image": "a", "base_dockerfile": "b"}, "base_dockerfile = b with base_image = a"),
        ({"conda_file": "a", "requirements": "b"}, "requirements = b with conda_file = a"),
    ],
)
def test_an_environment_is_made_in_one_way(fields: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Environment.model_validate(fields)


def test_images_of_a_stack_on_azure_go_into_the_workspaces_registry() -> None:
    azure = {"workspace": {"name": "abcde"}, "location": "westeurope"}
    with pytest.raises(Problems) as caught:
        parse({"slipway:azure": json.dumps(azure), "slipway:images": '{"registry": "localhost:5000"}'})
    assert any("images.registry = localhost:5000 with azure" in line for line in caught.value.lines)


def test_a_base_that_is_no_reference_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    for ask in (store.base, store.known_base):
        rule = r"environment\.base_image: `no such:: thing` is no image reference"
        with pytest.raises(Problems, match=rule):
            ask("no such:: thing", "amd64", Cache(tmp_path))
