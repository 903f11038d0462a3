"""How code and models lie in an image, as Azure ML v1 lays them out.

`<root>/azureml-app` holds the code and `<root>/azureml-app/azureml-models/<name>/<version>/` each model;
the root is `/var` in an image and a folder of the state on a laptop. Models named by path have version 1.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from slipway.images.files import model_files, project_files
from slipway.images.recipe import Recipe
from slipway.spec import model_name

APP = "azureml-app"
MODELS = f"{APP}/azureml-models"
VERSION = "1"


def variables(recipe: Recipe, root: str) -> dict[str, str]:
    """Give the image's environment variables that tell the scoring server where its files are."""
    if recipe.runtime != "scoring":
        return {}
    names = [model_name(path) for path in recipe.models]
    models = f"{root}/{MODELS}/{names[0]}/{VERSION}" if len(names) == 1 else f"{root}/{MODELS}"
    return {
        "AML_APP_ROOT": f"{root}/{APP}",
        "AZUREML_ENTRY_SCRIPT": recipe.entry_script,
        "AZUREML_MODEL_DIR": models,
    }


def install(recipe: Recipe, project: Path, root: Path) -> None:
    """Copy the recipe's code and models from the project to where `variables` says they are."""
    (root / MODELS).mkdir(parents=True)
    source = project / recipe.source_directory
    for name in project_files(source):
        _copy(source / name, root / APP / name)
    for model in recipe.models:
        path, target = project / model, root / MODELS / model_name(model) / VERSION / model_name(model)
        for name in model_files(path):
            _copy(path / name, target / name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
