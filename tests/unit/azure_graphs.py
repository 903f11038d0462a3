"""Graphs of whole stacks on Azure, as the program makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from slipway.engine import Graph, Registration, Value, run
from tests.unit.azure_stacks import stack
from tests.unit.stack_text import answer, make

PROJECT = Path(__file__).parents[2]
Config = dict[str, Any]
Change = Callable[[Config], None]
Golden = Callable[[str, str], None]
BASE = "organization/slipway/base"


def realised(
    config: Mapping[str, Any], name: str = "test", stacks: Mapping[str, Mapping[str, Value]] | None = None
) -> Graph:
    """Run the program on a configuration, with Azure and keys as `make` has them."""
    if stacks is None and config.get("slipway:platform_stack") == BASE:
        stacks = {BASE: realised(beneath(config)).outputs}
    with TemporaryDirectory() as text:
        folder = Path(text)
        for part in ("__main__.py", "Pulumi.yaml", "components", "examples"):
            (folder / part).symlink_to(PROJECT / part)
        (folder / "stacks").mkdir()
        content = yaml.safe_dump({"config": dict(config)})
        (folder / "stacks" / f"Pulumi.{name}.yaml").write_text(content, encoding="utf-8")
        return run(folder, name, resolve=make, invoke=answer, stacks=stacks, quiet=True)


def beneath(config: Mapping[str, Any]) -> Config:
    """Configure the platform of a stack of layer services."""
    platform = {**config, "slipway:layer": "platform"}
    del platform["slipway:platform_stack"]
    return platform


@cache
def shipped(name: str, change: Change) -> Graph:
    """Give a shipped stack with a change."""
    config = stack(f"stacks/Pulumi.{name}.yaml")
    change(config)
    return realised(config, name)


def as_it_is(_: Config) -> None:
    """Change nothing."""


def without(feature: str) -> Change:
    def change(config: Config) -> None:
        del config["slipway:azure"]["cluster"][feature]

    return change


def with_models(config: Config) -> None:
    config["slipway:webservices"][0]["models"] = ["azureml:diabetes:3"]


def kind(one: Registration) -> str:
    return one.type.rpartition(":")[2]
