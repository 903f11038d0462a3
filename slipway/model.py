"""A model as a web service names it: a path in the project, or a registered name with a version.

A registered one is written as Azure ML v2 does, `azureml:NAME:VERSION`; a path that begins so is written
`./azureml:...`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

REGISTERED = "azureml:"
MODEL_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}")
"""v1's names of models."""
NAME_RULE = "is no model name of v1; use letters, digits, `-`, `.` and `_`"
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Model:
    """A model by name and version; `path` is where the project has it, None for one that is registered."""

    name: str
    version: int = 1
    path: str | None = None

    @property
    def place(self) -> str:
        """Give the model's folder among all models, as v1 lays them out."""
        return f"{self.name}/{self.version}"

    def __str__(self) -> str:
        return f"{REGISTERED}{self.name}:{self.version}" if self.path is None else self.path


def model_of(text: str) -> Model:
    """Read an entry of `models`. Raises ValueError that says what is wrong with it, and the remedy."""
    if not text.startswith(REGISTERED):
        name = PurePosixPath(text).name
        if MODEL_NAME.fullmatch(name) is None:
            raise ValueError(f"the name `{name}` {NAME_RULE}")
        return Model(name, path=text)
    name, colon, version = text.removeprefix(REGISTERED).partition(":")
    if name.endswith("@latest") or (MODEL_NAME.fullmatch(name) and not colon):
        name = name.removesuffix("@latest")
        raise ValueError(
            f"`{text}` names no version, and replicas that start at other times would serve other models; "
            f"write {REGISTERED}{name}:VERSION, `slipway models list` shows the versions"
        )
    if MODEL_NAME.fullmatch(name) is None:
        raise ValueError(f"`{text}`: the name `{name}` {NAME_RULE}")
    if _VERSION.fullmatch(version) is None:
        raise ValueError(f"`{text}`: `{version}` is no version; give a whole number of at least 1")
    return Model(name, int(version))


def mistakes(texts: Sequence[str]) -> list[str]:
    """Name what models of one container cannot have together."""
    found: dict[str, None] = {}
    models = [model_of(text) for text in texts]
    places = Counter(model.place for model in models)
    for model in models:
        if places[model.place] > 1:
            twice = f"models: two models are named `{model.name}`; rename one of the files"
            found[twice if model.path is not None else f"models: {model} is there twice; remove one"] = None
    paths = [model for model in models if model.path is not None]
    if paths and len(paths) < len(models):
        one = paths[0]
        found[
            f"models: {one.path} is a path and others are registered, which lie where an image has its own; "
            f"register it too: slipway models register {one.name} {one.path}"
        ] = None
    return list(found)
