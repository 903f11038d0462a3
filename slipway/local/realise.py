"""What an image's recipe is on this machine: a virtual environment, Slipway's runtime, code and models.

Each part lies in a folder named by what it is made from, made aside and renamed, so that it is whole or
not there, and is used again by every `up` and every stack that wants the same. `uv` makes environments;
what it says of a failure is passed on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Generator
from pathlib import Path

from packaging.specifiers import InvalidSpecifier

import slipway
from slipway.images import layout, requirements
from slipway.images.bases import satisfies
from slipway.images.packages import uv
from slipway.images.recipe import RUNTIMES, Recipe, environment_hash, runtime_hash
from slipway.local.container import PATH, LocalImage
from slipway.local.state import LocalError, State
from slipway.storage.names import MODELS_CACHE

_ASIDE = ".new-"
_UNUSED = 30 * 24 * 3600
"""Seconds after which what no `up` asked for is removed."""
_MORE_PATH = "/usr/local/sbin:/usr/sbin:/opt/homebrew/bin"  # where HAProxy may be


def realise(
    reference: str, recipe: Recipe, project: Path, state: State, say: Callable[[str], None] = lambda _: None
) -> LocalImage:
    """Make the image `reference` of `recipe`, whose paths begin at `project`, or find what was made before.

    Raises LocalError if this Python is not what the recipe asks for or if there is no such environment.
    """
    if recipe.runtime == "router":
        path = f"{Path(sys.executable).parent}:{PATH}:{_MORE_PATH}"
        env = {"PATH": path, "PYTHONUNBUFFERED": "1", MODELS_CACHE: str(state.models)}
        return LocalImage(sys.executable, "/", ("-P", "-m", "slipway.router"), env)
    mine = platform.python_version()
    if recipe.base_dockerfile or recipe.conda_file:
        field = "base_dockerfile" if recipe.base_dockerfile else "conda_file"
        raise LocalError(
            f"{reference} is made by environment.{field}, which needs a container",
            "deploy it to a cluster, or give environment.requirements in the stack for this machine",
        )
    if not _satisfies(recipe.python_version, mine):
        raise LocalError(
            f"{reference} asks for Python {recipe.python_version}, and Slipway runs on Python {mine}",
            "install Slipway with that Python, or change environment.python_version",
        )
    shared = state.root.parent
    environment = shared / "environments" / f"{environment_hash(recipe)}-{sys.implementation.cache_tag}"
    with _aside(environment) as folder:
        if folder is not None:
            say(f"making the environment of {reference.partition(':')[0]}")
            _make_environment(folder, recipe, project / recipe.source_directory)
    runtime = shared / "runtime" / runtime_hash(recipe.runtime)
    with _aside(runtime) as folder:
        if folder is not None:
            _copy_runtime(folder, RUNTIMES[recipe.runtime])
    root = state.root / "images" / reference.rpartition(":")[2]
    with _aside(root) as folder:
        if folder is not None:
            say(f"copying code and models of {reference.partition(':')[0]}")
            layout.install(recipe, project, folder)
    env = {
        "PATH": f"{environment / 'bin'}:{PATH}",
        "PYTHONPATH": str(runtime),
        "PYTHONUNBUFFERED": "1",
        **layout.variables(recipe, str(root)),
    }
    python = str(environment / "bin/python")
    # -P: a `logging.py` among the user's code is the script's to import, not the server's.
    return LocalImage(python, str(root / layout.APP), ("-P", "-m", "slipway.scoring"), env)


def prune(state: State) -> None:
    """Remove code and models of images that no pod can be running any more."""
    used = {reference.rpartition(":")[2] for reference in state.read_images()}
    folder = state.root / "images"
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and path.name not in used:
            shutil.rmtree(path)


def prune_unused(state: State) -> None:
    """Remove what no `up` asked for in 30 days: environments and runtimes that no stack runs, fetched models.

    To be called once the pods from before an `up` are gone: until then they may start again.
    """
    shared = state.root.parent
    running = "".join(file.read_text(encoding="utf-8") for file in shared.glob("*/images.json"))
    for folder in (shared / "environments", shared / "runtime"):
        if folder.is_dir():
            with _alone(folder):
                for path in folder.iterdir():
                    if path.is_dir() and path.name not in running and _unused(path):
                        shutil.rmtree(path.rename(folder / f"{_ASIDE}{path.name}"))
    for whole in [*filter(_unused, state.models.glob("*/*.whole"))]:
        whole.unlink()
        shutil.rmtree(whole.with_suffix(""))


def _unused(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _UNUSED


def _satisfies(specifier: str, version: str) -> bool:
    try:
        return satisfies(specifier, version)
    except InvalidSpecifier:
        raise LocalError(f"`{specifier}` is no Python version", "write it as in `>=3.10,<3.13`") from None


@contextlib.contextmanager
def _aside(target: Path) -> Generator[Path | None]:
    """Yield a folder that becomes `target` if all goes well, or None if that is there already."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(target.parent):
        for left in target.parent.glob(f"{_ASIDE}*"):  # by an `up` that was killed
            shutil.rmtree(left)
        if target.is_dir() and not _broken(target):
            os.utime(target)  # it is used
            yield None
            return
        shutil.rmtree(target, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=target.parent))
        try:
            yield folder
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Hold a folder: another stack's `up` may be making the same there."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _broken(folder: Path) -> bool:
    """Tell whether it is an environment whose Python is gone."""
    return (folder / "pyvenv.cfg").exists() and not (folder / "bin/python").exists()


def _copy_runtime(folder: Path, parts: Collection[str]) -> None:
    package = Path(slipway.__file__).parent
    target = folder / "slipway"
    target.mkdir()
    shutil.copyfile(package / "__init__.py", target / "__init__.py")
    for name in parts:
        if (package / name).is_dir():
            shutil.copytree(package / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))


def _make_environment(folder: Path, recipe: Recipe, source: Path) -> None:
    own = requirements.own("scoring")
    # A line of its own that names a folder of the source is relative to that, so uv runs there.
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as lines:
        lines.write("\n".join([*own, *recipe.requirements]) + "\n")
        lines.flush()
        uv("venv", "--allow-existing", "--relocatable", "--python", sys.executable, str(folder), cwd=source)
        python = str(folder / "bin/python")
        try:
            uv(
                "pip",
                "install",
                "--quiet",
                "--python",
                python,
                "--requirements",
                lines.name,
                cwd=source,
            )
        except subprocess.CalledProcessError as error:
            said = str(error.stderr)
            raise LocalError(
                f"{requirements.conflict(own, recipe.requirements, said)}\n{said.strip()}",
                "correct environment.requirements, then: slipway up",
            ) from None
