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
from slipway.images.files import model_files, project_files
from slipway.model import REGISTERED
from slipway.problems import Problems, problem
from slipway.spec import WebserviceSpec

RUNTIMES = {"scoring": ("scoring", "collect"), "router": ("",)}
"""Folders of the `slipway` package that each runtime's image holds."""
GB = 2**30
"""v1's gigabytes are powers of two."""
SCORING_REQUIREMENTS = Path(slipway.__file__).parent / "scoring" / "requirements.txt"
TELEMETRY_REQUIREMENTS = SCORING_REQUIREMENTS.with_name("telemetry.txt")
"""What `enable_app_insights` adds to the user's own."""


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

    def to_dict(self) -> dict[str, object]:
        """Give plain JSON values, as a graph carries them."""
        return cast("dict[str, object]", json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> Self:
        """Read what `to_dict` gave."""
        lists = {name: tuple(cast("list[str]", values[name])) for name in ("requirements", "models")}
        return cls(**(values | lists))  # pyright: ignore[reportArgumentType]  # to_dict's own output


def webservice_recipes(specs: Iterable[WebserviceSpec], project: Path) -> tuple[dict[str, Recipe], list[str]]:
    """Give a recipe for each image that is ours to make, by web service, and a line for each mistake."""
    recipes: dict[str, Recipe] = {}
    lines: dict[str, None] = {}  # entries may have one name, which is a mistake that has its line already
    for spec in specs:
        if spec.environment.image is None:
            try:
                recipes[spec.name] = webservice_recipe(spec, project)
            except Problems as found:
                lines |= dict.fromkeys(found.lines)
    return recipes, list(lines)


def webservice_recipe(spec: WebserviceSpec, project: Path) -> Recipe:
    """Give the recipe of a web service's image.

    Raises `Problems` with a line for each file that the spec names and the project lacks.
    """
    source = project / spec.source_directory
    entry_script = spec.entry_script or ""
    requirements = spec.environment.requirements
    at = f"slipway:webservices[{spec.name}]"
    lines: list[str] = []
    if source.is_dir():
        named = {"entry_script": entry_script}
        named |= {"environment.requirements": requirements} if requirements else {}
        lines += [
            problem(f"{at}.{field}", name, f"is no file in {spec.source_directory}", "correct the path")
            for field, name in named.items()
            if not (source / name).is_file()
        ]
        if not lines and PurePosixPath(entry_script) not in project_files(source):
            rule = f"is not among the files of {spec.source_directory} that the image gets"
            lines.append(
                problem(f"{at}.entry_script", entry_script, rule, "move it, or let .amlignore pass it")
            )
    else:
        field = f"{at}.source_directory"
        lines.append(problem(field, spec.source_directory, "does not exist", "create it or correct the path"))
    lines += _model_lines(spec, project, at)
    if lines:
        raise Problems(lines)
    return Recipe(
        runtime="scoring",
        python_version=spec.environment.python_version,
        requirements=(
            *(_requirement_lines(source / requirements, at) if requirements else ()),
            *(_requirement_lines(TELEMETRY_REQUIREMENTS, at) if spec.enable_app_insights else ()),
        ),
        source_directory=spec.source_directory,
        entry_script=entry_script,
        models=tuple(text for text in spec.models if not text.startswith(REGISTERED)),
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


def environment_hash(recipe: Recipe) -> str:
    """Hash what the environment of Python packages is made from."""
    own = _requirement_lines(SCORING_REQUIREMENTS, "") if recipe.runtime == "scoring" else ()
    return _digest([json.dumps([recipe.python_version, recipe.requirements, own]).encode()])


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
        environment_hash(recipe).encode(),
        runtime_hash(recipe.runtime).encode(),
        recipe.entry_script.encode(),
    ]
    if recipe.source_directory:
        source = project / recipe.source_directory
        parts += _content(source, project_files(source))
    for model in recipe.models:
        parts += [Path(model).name.encode(), *_content(project / model, model_files(project / model))]
    return _digest(parts)


def reference(repository: str, recipe: Recipe, project: Path) -> str:
    """Name the image: `repository:hash`."""
    return f"{repository}:{image_hash(recipe, project)}"


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


def _requirement_lines(path: Path, at: str) -> tuple[str, ...]:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" #")[0].strip() for line in text.splitlines()]
    lines = [" ".join(line.split()) for line in lines if line and not line.startswith("#")]
    elsewhere = [
        line
        for line in lines
        if line.startswith(("-r", "-c", "-e", "--requirement", "--constraint", "--editable"))
    ]
    if elsewhere:
        field = f"{at}.environment.requirements"
        rule = "points to another file, which the image's hash would not cover"
        raise Problems([problem(field, line, rule, "write the packages themselves") for line in elsewhere])
    return tuple(lines)
