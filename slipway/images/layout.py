"""How code and models lie in an image, as Azure ML v1 lays them out.

`<root>/azureml-app` holds the code and `<root>/azureml-app/azureml-models/<name>/<version>/` each model;
the root is `/var` in an image and a folder of the state on a laptop. Registered models come as a volume
instead, which is mounted at `MODELS`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from slipway.images.files import model_files, project_files
from slipway.images.recipe import Recipe
from slipway.model import Model, model_of

ROOT = "/var"
APP = "azureml-app"
MODELS = f"{APP}/azureml-models"


def variables(recipe: Recipe, root: str) -> dict[str, str]:
    """Give the image's environment variables that tell the scoring server where its files are."""
    if recipe.runtime != "scoring":
        return {}
    return {
        "AML_APP_ROOT": f"{root}/{APP}",
        "AZUREML_ENTRY_SCRIPT": recipe.entry_script,
        "AZUREML_MODEL_DIR": model_dir([model_of(path) for path in recipe.models], root),
    }


def model_dir(models: Sequence[Model], root: str) -> str:
    """Give AZUREML_MODEL_DIR: the folder of one model, or the one of all."""
    return f"{root}/{MODELS}/{models[0].place}" if len(models) == 1 else f"{root}/{MODELS}"


def code(recipe: Recipe, project: Path) -> Iterator[tuple[str, Path]]:
    """Give each file of code: its place below the root, and where it is in the project."""
    if recipe.source_directory:
        source = project / recipe.source_directory
        for name in project_files(source):
            yield f"{APP}/{name}", source / name


def models(recipe: Recipe, project: Path) -> Iterator[tuple[str, Path]]:
    """Give each file of the models likewise."""
    for text in recipe.models:
        model = model_of(text)
        path, target = project / text, PurePosixPath(MODELS, model.place, model.name)
        for name in model_files(path):
            yield (target / name).as_posix(), path / name


def install(recipe: Recipe, project: Path, root: Path) -> None:
    """Copy the recipe's code and models from the project to where `variables` says they are."""
    (root / MODELS).mkdir(parents=True)
    for place, source in (*code(recipe, project), *models(recipe, project)):
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
