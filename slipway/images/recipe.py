"""What an image is made of, and the hash that names it.

A recipe is plain values with paths relative to the project's folder, so that it can stand in a graph and
be the same on every machine. The hash covers the environment, the runtime, the code and the models:
equal inputs give an equal reference, and nothing else does.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Self, cast

import slipway
from slipway.images import bases, requirements
from slipway.images.files import model_files, project_files, too_much
from slipway.model import REGISTERED
from slipway.problems import Problems, problem
from slipway.spec import WebserviceSpec

RUNTIMES = {"scoring": ("scoring", "collect"), "router": ("",)}
"""Folders of the `slipway` package that each runtime's image holds."""
USER = 1000
"""User and group of every process, in an image and in a pod."""
ENVIRONMENTS = "slipway/environments"
"""The repository, in the workspace's registry and in the global one, with a tag for each hash."""
GB = 2**30
"""v1's gigabytes are powers of two."""
_STEPS = 1
"""Counts the ways in which an environment was made from the same; a change of `packages` counts one up."""


@dataclass(frozen=True)
class Recipe:
    """An image to be: a runtime of Slipway, an environment, code and models."""

    runtime: Literal["scoring", "router"]
    python_version: str = ""
    requirements: tuple[str, ...] = ()
    source_directory: str = ""
    entry_script: str = ""
    models: tuple[str, ...] = ()
    """paths alone: registered models are no part of an image"""
    base_image: str = ""
    base_dockerfile: str = ""
    """its text, and so is `conda_file`"""
    conda_file: str = ""
    requirement_files: tuple[str, ...] = ()
    """a hash of each file or folder of the project that `requirements` name"""
    architecture: str = "amd64"

    def to_dict(self) -> dict[str, object]:
        """Give plain JSON values, as a graph carries them; what is empty is left out."""
        values = cast("dict[str, object]", json.loads(json.dumps(dataclasses.asdict(self))))
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Self:
        """Read what `to_dict` gave."""
        names = ("requirements", "models", "requirement_files")
        lists = {name: tuple(cast("list[str]", values.get(name, ()))) for name in names}
        return cls(**(values | lists))  # pyright: ignore[reportArgumentType]  # to_dict's own output


def webservice_recipes(
    specs: Iterable[WebserviceSpec], project: Path, architecture: str = "amd64"
) -> tuple[dict[str, Recipe], list[str]]:
    """Give a recipe for each image that is ours to make, by web service, and a line for each mistake."""
    recipes: dict[str, Recipe] = {}
    lines: dict[str, None] = {}  # entries may have one name, which is a mistake that has its line already
    for spec in specs:
        if spec.environment.image is None:
            try:
                recipes[spec.name] = webservice_recipe(spec, project, architecture)
            except Problems as found:
                lines |= dict.fromkeys(found.lines)
    return recipes, list(lines)


def router_recipe(architecture: str = "amd64") -> Recipe:
    """Give the recipe of Slipway's own image: the router's, and that of containers beside a model's."""
    return Recipe(runtime="router", base_image=bases.default("", ""), architecture=architecture)


def webservice_recipe(spec: WebserviceSpec, project: Path, architecture: str = "amd64") -> Recipe:
    """Give the recipe of a web service's image.

    Raises `Problems` with a line for each file that the spec names and the project lacks.
    """
    source = project / spec.source_directory
    entry_script = spec.entry_script or ""
    environment = spec.environment
    at = f"slipway:{spec.at}"
    lines: list[str] = []
    if source.is_dir():
        named = {"entry_script": entry_script} | {
            f"environment.{field}": name
            for field in ("requirements", "base_dockerfile", "conda_file")
            if (name := getattr(environment, field)) is not None
        }
        lines += [
            problem(f"{at}.{field}", name, f"is no file in {spec.source_directory}", "correct the path")
            for field, name in named.items()
            if not (source / name).is_file()
        ]
        for field in ("environment.base_dockerfile", "environment.conda_file"):
            if field in named and (source / named[field]).is_file():
                lines += requirements.passwords(_text(source, named[field]), f"{at}.{field}")
        files = project_files(source)
        if not lines and PurePosixPath(entry_script) not in files:
            rule = f"is not among the files of {spec.source_directory} that the image gets"
            lines.append(
                problem(f"{at}.entry_script", entry_script, rule, "move it, or let .amlignore pass it")
            )
        if too_much_code := too_much(source, files):
            remedy = "name what is no code in .amlignore; models go into `models`, data into storage"
            lines.append(problem(f"{at}.source_directory", spec.source_directory, too_much_code, remedy))
    else:
        field = f"{at}.source_directory"
        lines.append(problem(field, spec.source_directory, "does not exist", "create it or correct the path"))
    lines += _model_lines(spec, project, at)
    if lines:
        raise Problems(lines)
    asked = environment.requirements
    wanted = requirements.read(source / asked, at) if asked else ()
    base_image = environment.base_image
    if base_image is None and environment.base_dockerfile is None:
        base_image = bases.default(
            environment.python_version, at, gpu=spec.gpu_cores > 0, conda=environment.conda_file is not None
        )
    return Recipe(
        runtime="scoring",
        python_version=environment.python_version,
        requirements=(*wanted, *(requirements.telemetry() if spec.enable_app_insights else ())),
        source_directory=spec.source_directory,
        entry_script=entry_script,
        models=tuple(text for text in spec.models if not text.startswith(REGISTERED)),
        base_image=base_image or "",
        base_dockerfile=_text(source, environment.base_dockerfile),
        conda_file=_text(source, environment.conda_file),
        requirement_files=tuple(
            _digest(list(_content(source / path, model_files(source / path))))
            for path in map(requirements.local_path, wanted)
            if path is not None
        ),
        architecture=architecture,
    )


def _model_lines(spec: WebserviceSpec, project: Path, at: str) -> Iterator[str]:
    """Name the models that the project lacks, or the largest where they are too large for an image."""
    paths = {path: f"{at}.models[{index}]" for index, path in enumerate(spec.models)}
    sizes: dict[str, int] = {}
    for path, field in paths.items():
        if (project / path).exists():
            sizes[path] = _size(project / path)
        elif not path.startswith(REGISTERED):
            yield problem(field, path, "does not exist", "train the model or correct the path")
    size, limit = sum(sizes.values()) / GB, spec.model_layer_gb_limit
    if size > limit:
        path = max(sizes, key=lambda path: sizes[path])
        name = PurePosixPath(path).name
        rule = f"an image holds {limit:g} GB of models, and these have {size:.3g}"
        remedy = f"run `slipway models register {name} {path}` and write {REGISTERED}{name}:VERSION here"
        yield problem(paths[path], path, rule, f"{remedy}, or raise model_layer_gb_limit")


def _size(path: Path) -> int:
    return sum((path / file).stat().st_size for file in model_files(path))


def _text(folder: Path, name: str | None) -> str:
    return (folder / name).read_text(encoding="utf-8") if name is not None else ""


def environment_hash(recipe: Recipe, base: str = "") -> str:
    """Hash what an environment is made from: Python, its packages, and in an image the base's digest."""
    made_from = [
        _STEPS,
        base,
        recipe.base_dockerfile,
        recipe.conda_file,
        recipe.python_version,
        recipe.architecture,
        recipe.requirements,
        recipe.requirement_files,
        requirements.own(recipe.runtime),
    ]
    return _digest([json.dumps(made_from).encode()])


def runtime_hash(runtime: Literal["scoring", "router"]) -> str:
    """Hash Slipway's own code that a runtime's image holds."""
    package = Path(slipway.__file__).parent
    folders = [package / name for name in RUNTIMES[runtime] if (package / name).is_dir()]
    return _digest(
        [
            (package / "__init__.py").read_bytes(),
            *(part for f in folders for part in _content(f, project_files(f))),
        ]
    )


def image_hash(recipe: Recipe, project: Path) -> str:
    """Hash everything that the image is made from; reads all of its files."""
    parts = [
        environment_hash(recipe, recipe.base_image).encode(),
        runtime_hash(recipe.runtime).encode(),
        recipe.entry_script.encode(),
    ]
    if recipe.source_directory:
        source = project / recipe.source_directory
        parts += _content(source, project_files(source))
    for model in recipe.models:
        parts += [Path(model).name.encode(), *_content(project / model, model_files(project / model))]
    return _digest(parts)


def _content(root: Path, names: Iterable[PurePosixPath]) -> Iterator[bytes]:
    for name in names:
        yield name.as_posix().encode()
        yield _file_digest(root / name)


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _digest(parts: list[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:32]
