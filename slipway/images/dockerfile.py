"""Base images that a Dockerfile or a conda file makes, with whatever builds images here.

That is buildah, podman or docker buildx, the first that is found, else ACR's own build. As in v1 a Dockerfile
has no context, and a conda environment is made in an image that has conda. Packages of pip go on top as on
any other base.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slipway.images import bases, store
from slipway.images.built import Built
from slipway.images.cache import Cache
from slipway.images.layers import TIME
from slipway.images.oci import ImageReference, Manifest, Platform, parse
from slipway.images.recipe import Recipe
from slipway.images.transport import NoSuchHostError, RegistryError
from slipway.problems import Problems

BASES = "slipway/bases"
"""The repository into which ACR builds."""
ACR = re.compile(r"([a-z0-9]+)\.azurecr\.[a-z.]+")
_PREFIX = "/azureml-envs/slipway"
_CONDA = """FROM {base}
USER 0
COPY conda.yml /tmp/conda.yml
RUN conda env create --quiet --prefix {prefix} --file /tmp/conda.yml && conda clean --all --quiet --yes
ENV PATH={prefix}/bin:$PATH
"""
_BUILDERS = ("buildah", "podman")
_NO_BUILDX = re.compile(
    r"(?:error: )?(?:oci exporter .*not supported|docker: .*(?:not a docker|unknown) command"
    r"|unknown (?:shorthand )?flag: |cannot connect to the docker daemon"
    r"|permission denied while trying to connect|failed to connect to the docker api)",
    re.IGNORECASE,
)
"""A line of docker without buildx or daemon, or with its default driver, which writes no OCI layout."""
_RUN_FAILED = re.compile(r"^ERROR: Run (?:failed|timed out)", re.MULTILINE)
"""What `az acr build` ends with after a build that ran; it fails for other reasons without one. Source:
azure-cli, command_modules/acr/_stream_utils.py."""


class _CannotBuildError(Exception):
    """Nothing here builds images, whatever the Dockerfile says; with the remedy."""


class OnlyWhenDeploying(Exception):
    """Nothing here can build but ACR, which would push, and a preview pushes nothing."""


def python_of(recipe: Recipe, variables: Mapping[str, str]) -> str:
    """Give the Python of the image that an environment stands on. Raises `Problems`."""
    found = re.search(r"^\s*-\s*python\s*={1,2}\s*(3\.\d+)", recipe.conda_file, re.MULTILINE)
    if found is not None:
        return found[1]
    if recipe.conda_file:
        return bases.python_of("the conda environment", {}, recipe.python_version)
    return bases.python_of(recipe.base_image or "the Dockerfile", variables, recipe.python_version)


def build(
    recipe: Recipe, base: store.Known | None, workspace: str, cache: Cache, *, preview: bool
) -> store.Known:
    """Build what the recipe's Dockerfile or conda file says, once a machine.

    Raises `Problems` with the builder's last words, with the ways to get a builder, or for a registry that
    does not let ACR's build be looked up; `OnlyWhenDeploying`.
    """
    text = recipe.base_dockerfile
    if recipe.conda_file:
        assert base is not None
        image = str(replace(ImageReference.parse(recipe.base_image), tag="", digest=base.digest))
        text = _CONDA.format(base=image, prefix=_PREFIX)
    key = hashlib.sha256("\0".join((text, recipe.conda_file, recipe.architecture)).encode()).hexdigest()
    known = store.recall("dockerfiles", key, cache)
    if known is not None and all(cache.has(layer, verify=True) for layer in known.built.manifest.layers):
        return known
    with tempfile.TemporaryDirectory() as folder:
        context, layout = Path(folder, "context"), Path(folder, "layout")
        context.mkdir()
        (context / "Dockerfile").write_text(text, encoding="utf-8")
        if recipe.conda_file:
            (context / "conda.yml").write_text(recipe.conda_file, encoding="utf-8")
        platform = f"linux/{recipe.architecture}"
        try:
            _build_here(recipe, context, platform, layout)
        except _CannotBuildError as error:
            if not shutil.which("az") or (registry := ACR.match(workspace)) is None:
                raise Problems([str(error)]) from None
            if preview:
                raise OnlyWhenDeploying from None
            return _with_acr(registry[1], f"{workspace}/{BASES}:{key[:32]}", context, recipe, cache)
        known = _read(layout, Platform("linux", recipe.architecture), cache)
    store.remember("dockerfiles", key, known, cache)
    return known


def _build_here(recipe: Recipe, context: Path, platform: str, layout: Path) -> None:
    """Build with what this machine has. Raises `Problems`, and `_CannotBuildError` if that is nothing."""
    if builder := next(filter(shutil.which, _BUILDERS), None):
        _with_buildah(builder, context, platform, layout)
    elif shutil.which("docker"):
        _with_docker(context, platform, layout)
    else:
        raise _CannotBuildError(_no_builder(recipe))


def _with_buildah(program: str, context: Path, platform: str, layout: Path) -> None:
    """Build with buildah, or with podman, which has the same commands; what it keeps is removed again."""
    named = context.with_name("id")
    _run(
        *(program, "build", "--format", "oci", "--platform", platform, "--timestamp", str(TIME)),
        *("--iidfile", str(named), "--file", str(context / "Dockerfile"), str(context)),
    )
    identity = named.read_text(encoding="utf-8").strip()
    try:
        _run(program, "push", identity, f"oci:{layout}")
    finally:
        subprocess.run([program, "rmi", identity], capture_output=True, check=False)


def _with_docker(context: Path, platform: str, layout: Path) -> None:
    archive = layout.with_suffix(".tar")
    said = _failed(
        *("docker", "buildx", "build", "--platform", platform, "--provenance=false"),
        *("--output", f"type=oci,dest={archive}", "--file", str(context / "Dockerfile"), str(context)),
    )
    if line := next(filter(_NO_BUILDX.match, said.splitlines()), None):
        remedy = "start Docker, and run `docker buildx create --use --driver docker-container`"
        raise _CannotBuildError(f"docker buildx cannot build images for a registry here; {remedy}\n{line}")
    if said:
        raise Problems([_blame("docker buildx", said)])
    with tarfile.open(archive) as tar:
        tar.extractall(layout, filter="data")


def _with_acr(registry: str, reference: str, context: Path, recipe: Recipe, cache: Cache) -> store.Known:
    parsed = ImageReference.parse(reference)
    try:
        known = store.fetch(parsed, recipe.architecture, cache)
    except NoSuchHostError:
        remedy = "deploy once without this service, or install buildah, podman or docker with buildx"
        raise Problems(
            [f"{parsed.host}: does not exist yet, so it cannot build the {_field(recipe)}; {remedy}"]
        ) from None
    except RegistryError as error:
        raise Problems([f"environment.{_field(recipe)}: {error}"]) from None
    if known is None:
        said = _failed(
            *("az", "acr", "build", "--registry", registry, "--image", f"{parsed.repository}:{parsed.tag}"),
            *("--platform", f"linux/{recipe.architecture}", "--only-show-errors", str(context)),
        )
        if said and not _RUN_FAILED.search(said):
            right = f"ask for the role Container Registry Tasks Contributor on {registry}"
            raise Problems([f"az acr build did not run; run `az login`, or {right}\n{_last(said)}"])
        if said:
            raise Problems([_blame("az acr build", said)])
        known = store.base(reference, recipe.architecture, cache)
    return known


def _run(*command: str) -> None:
    if said := _failed(*command):
        raise Problems([_blame(" ".join(command[:2]), said)])


def _failed(*command: str) -> str:
    """Run a command; give what it said if it failed, else nothing. Some say on stdout what went wrong."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = f"{done.stdout}\n{done.stderr}".strip()
    return (said or f"exit status {done.returncode}") if done.returncode else ""


def _blame(builder: str, said: str) -> str:
    return f"{builder} failed; correct the Dockerfile or conda file\n{_last(said)}"


def _last(said: str) -> str:
    return "\n".join(said.splitlines()[-20:])


def _field(recipe: Recipe) -> str:
    return "conda_file" if recipe.conda_file else "base_dockerfile"


def _no_builder(recipe: Recipe) -> str:
    return (
        f"environment.{_field(recipe)}: nothing here builds images; install buildah, podman or docker "
        "with buildx, or the Azure CLI, by which an Azure container registry builds"
    )


def _read(layout: Path, platform: Platform, cache: Cache) -> store.Known:
    """Take an image of an OCI layout into the cache."""

    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    found = parse((layout / "index.json").read_bytes())
    while not isinstance(found, Manifest):
        entries = found.manifests
        chosen = entries[0] if len(entries) == 1 else found.choose(platform)
        found = parse(blob(chosen.digest).read_bytes())
    for layer in found.layers:
        if not cache.has(layer):
            with cache.aside() as file, blob(layer.digest).open("rb") as source:
                shutil.copyfileobj(source, file)
                file.flush()
                cache.adopt(Path(file.name), layer.digest)
    built = Built(found, blob(found.config.digest).read_bytes())
    return store.Known(built, found.digest)
