"""From a recipe to an image: v1's rule, and the layers in the order in which they change.

    base -> environment -> runtime -> code -> models

The environment's image is known by a hash of its base's digest, the steps and the packages. It is looked up
in the workspace's registry, then in the global one, else made here; whoever pushes puts it into the first.
What comes above it is made anew each time, and is the same bytes whenever its files are. Left out: pushing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slipway.images import dockerfile, layers, layout, packages, requirements, store
from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.files import project_files
from slipway.images.layers import Entry, Layer
from slipway.images.recipe import ENVIRONMENTS, RUNTIMES, USER, Recipe, environment_hash
from slipway.images.requirements import PACKAGE

ROOT = "opt/slipway"
VAR = "var"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Places:
    """Registries by host, with a path below it where everything of Slipway's lies if there is one."""

    workspace: str
    global_: str = ""


@dataclass(frozen=True)
class Image:
    """An image in the cache, and what whoever pushes it must know."""

    built: Built
    environment: Built
    environment_hash: str
    repositories: tuple[str, ...]
    """where the layers are that the cache does not hold"""

    @property
    def digest(self) -> str:
        """What names the image in its repository, and in `made/images` of the cache."""
        return self.built.manifest.digest


def build(
    recipe: Recipe,
    project: Path,
    places: Places,
    cache: Cache,
    *,
    preview: bool = False,
    say: Say = lambda _: None,
) -> Image:
    """Make an image, or find its parts, in the cache; nothing is pushed in a preview.

    Raises `Problems`, also for registries that do not answer, and `dockerfile.OnlyWhenDeploying`.
    """
    base = store.base(recipe.base_image, recipe.architecture, cache) if recipe.base_image else None
    hashed = environment_hash(recipe, base.digest if base is not None else "")
    references = [f"{place}/{ENVIRONMENTS}:{hashed}" for place in (places.workspace, places.global_) if place]
    environment = store.first(references, recipe.architecture, cache, say) or _made_here(hashed, cache)
    if environment is None:
        say(f"making environment {hashed}")
        if recipe.base_dockerfile or recipe.conda_file:
            base = dockerfile.build(recipe, base, places.workspace, cache, preview=preview)
        assert base is not None
        environment = _make_environment(recipe, project, base, cache)
    store.remember("environments", hashed, environment, cache)
    built = _image(recipe, project, environment.built, cache)
    image = Image(built, environment.built, hashed, environment.repositories)
    keep(image, cache)
    return image


def cached(recipe: Recipe, project: Path, cache: Cache) -> str | None:
    """Give the digest that `build` gave last, None where base or environment are not known here."""
    base = store.known_base(recipe.base_image, recipe.architecture, cache) if recipe.base_image else None
    if base is None and recipe.base_image:
        return None
    hashed = environment_hash(recipe, base.digest if base is not None else "")
    environment = store.recall("environments", hashed, cache)
    return None if environment is None else _image(recipe, project, environment.built).manifest.digest


def keep(image: Image, cache: Cache) -> None:
    """Let whoever pushes an image find it by its digest."""
    store.put(image.built, cache)
    told = {
        "environment": image.environment.manifest.digest,
        "environment_hash": image.environment_hash,
        "repositories": image.repositories,
    }
    cache.remember("images", image.digest, told)


def kept(digest: str, cache: Cache) -> Image | None:
    """Give what `keep` was told, None if part of it is lost."""
    told, built = cache.recall("images", digest), store.read(digest, cache)
    if told is None or built is None or (environment := store.read(told["environment"], cache)) is None:
        return None
    return Image(built, environment, told["environment_hash"], tuple(told["repositories"]))


def _made_here(hashed: str, cache: Cache) -> store.Known | None:
    """Give an environment that was made on this machine, if its layer is still whole."""
    known = store.recall("environments", hashed, cache)
    if known is None or not cache.has(known.built.manifest.layers[-1], verify=True):
        return None
    return known


def _make_environment(recipe: Recipe, project: Path, base: store.Known, cache: Cache) -> store.Known:
    version = dockerfile.python_of(recipe, base.built.variables)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        packages.install(
            requirements.own(recipe.runtime),
            recipe.requirements,
            packages.Target(version, recipe.architecture),
            project / recipe.source_directory,
            root,
        )
        layer = _kept(list(packages.entries(root, ROOT)), cache, compress=True)
    path = base.built.variables.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    # Older Pythons lack -P, which keeps a `logging.py` among the user's code from being the server's.
    safe = () if version in {"3.9", "3.10"} else ("-P",)
    labels: dict[str, str] = base.built.settings.get("Labels") or {}
    settings: dict[str, object] = {
        # Python looks for packages there after its own modules and before the base's.
        "Env": _env(base.built, {"PATH": f"/{ROOT}/bin:{path}", "PYTHONUSERBASE": f"/{ROOT}"}),
        "Entrypoint": ["python3", *safe, "-m", f"slipway.{recipe.runtime}"],
        "Cmd": None,
        "User": f"{USER}:{USER}",
        "Labels": {
            **labels,
            "org.opencontainers.image.base.name": recipe.base_image,
            "org.opencontainers.image.base.digest": base.digest,
        },
    }
    built = base.built.append([("environment", layer)], settings)
    return store.Known(built, built.manifest.digest, base.repositories)


def _image(recipe: Recipe, project: Path, environment: Built, cache: Cache | None = None) -> Built:
    """Put runtime, code and models on an environment; without a cache nothing is written."""
    parts = {
        "runtime": _runtime(recipe),
        "code": layout.code(recipe, project),
        "models": layout.models(recipe, project),
    }
    roots = {"runtime": f"{ROOT}/runtime", "code": VAR, "models": VAR}
    made: list[tuple[str, Layer]] = []
    for name, files in parts.items():
        entries = [(f"{roots[name]}/{place}", Entry(path)) for place, path in files]
        if entries:
            made.append((name, _kept(entries, cache)))
    variables = {
        "HOME": "/tmp",  # noqa: S108  # what a pod can write to
        "PYTHONPATH": f"/{ROOT}/runtime",
        "PYTHONUNBUFFERED": "1",
        **layout.variables(recipe, f"/{VAR}"),
    }
    folder = f"/{VAR}/{layout.APP}" if recipe.source_directory else "/"
    return environment.append(made, {"Env": _env(environment, variables), "WorkingDir": folder})


def _runtime(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Give the files of Slipway's own package that the image holds."""
    yield "slipway/__init__.py", PACKAGE / "__init__.py"
    for part in RUNTIMES[recipe.runtime]:
        for name in project_files(PACKAGE / part) if (PACKAGE / part).is_dir() else ():
            yield (PurePosixPath("slipway", part) / name).as_posix(), PACKAGE / part / name


def _kept(entries: list[tuple[str, Entry]], cache: Cache | None, *, compress: bool = False) -> Layer:
    """Have a layer in the cache if there is one; what is there is not written again."""
    if not compress:  # then its bytes rest on nothing but its files
        with Path(os.devnull).open("wb") as nothing:
            layer = layers.write(entries, nothing, compress=False)
        if cache is None or cache.has(layer.descriptor, verify=True):
            return layer
    assert cache is not None
    with cache.aside() as file:
        layer = layers.write(entries, file, compress=compress)
        file.flush()
        cache.adopt(Path(file.name), layer.descriptor.digest)
    return layer


def _env(built: Built, more: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in {**built.variables, **more}.items()]
