"""Base images: which one an environment stands on, and which Python it has.

The defaults come from Microsoft's registry, which AKS must reach anyway. Azure Linux's Python is small and
rebuilt for each vulnerability, and exists in one version; other Pythons are the development containers',
large but in every version; GPUs and conda environments get Azure ML's own images, which have conda too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from slipway.problems import Problems, problem

MCR = "mcr.microsoft.com"
PYTHONS = {
    "3.12": f"{MCR}/azurelinux/base/python:3.12",
    "3.13": f"{MCR}/devcontainers/python:3.13-bookworm",
    "3.11": f"{MCR}/devcontainers/python:3.11-bookworm",
    "3.10": f"{MCR}/devcontainers/python:3.10-bookworm",
    "3.9": f"{MCR}/devcontainers/python:3.9-bookworm",
}
"""By the version of Python, the one to take first where several will do."""
CUDA = f"{MCR}/azureml/openmpi5.0-cuda12.4-ubuntu22.04:latest"
CONDA = f"{MCR}/azureml/openmpi5.0-ubuntu24.04:latest"
_PATCHES = 40
"""More than a version of Python ever had."""


def default(specifier: str, at: str, *, gpu: bool = False, conda: bool = False) -> str:
    """Give the base image for a Python version or a range. Raises `Problems` where there is none."""
    if gpu or conda:
        return CUDA if gpu else CONDA
    found = next((image for version, image in PYTHONS.items() if _may_be(specifier, version)), None)
    if found is None:
        rule = f"no base image of ours has it, only {', '.join(sorted(PYTHONS, key=_key))}"
        field = f"{at}.environment.python_version"
        raise Problems(
            [problem(field, specifier, rule, "name an image that has it in environment.base_image")]
        )
    return found


def python_of(reference: str, variables: Mapping[str, str], specifier: str) -> str:
    """Give the Python of a base image, such as `3.12`: as the image says itself, else as it was asked for.

    Docker's and the development containers' images say PYTHON_VERSION, Azure ML's MINICONDA_VERSION. Raises
    `Problems` where the image has another Python than `specifier` asks for, and where nothing tells.
    """
    ours = next((version for version, image in PYTHONS.items() if reference.startswith(image)), None)
    told = re.match(r"3\.\d+", variables.get("PYTHON_VERSION", ""))
    conda = re.match(r"py3(\d+)_", variables.get("MINICONDA_VERSION", ""))
    version = ours or (told[0] if told else f"3.{conda[1]}" if conda else None)
    if version is not None and _may_be(specifier, version):
        return version
    if version is not None:
        rule = f"has Python {version}, and python_version asks for {specifier}"
        raise Problems([problem("environment.base_image", reference, rule, "change one of the two")])
    exact = re.fullmatch(r"(?:==)?(3\.\d+)(\.\d+|\.\*)*", specifier)
    if exact is None:
        rule = "does not say which Python it has"
        remedy = 'say it in environment.python_version, as in "3.11"'
        raise Problems([problem("environment.base_image", reference, rule, remedy)])
    return exact[1]


def satisfies(specifier: str, version: str) -> bool:
    """Tell whether a Python version is within a specifier; `3.11` means `==3.11.*`, an empty one anything.

    Raises `InvalidSpecifier`.
    """
    wanted = SpecifierSet(f"=={specifier}.*" if specifier[:1].isdigit() else specifier)
    return wanted.contains(version, prereleases=True)


def _may_be(specifier: str, version: str) -> bool:
    """Tell whether some release of `3.12` is within a specifier."""
    try:
        return any(satisfies(specifier, f"{version}.{patch}") for patch in range(_PATCHES))
    except InvalidSpecifier:
        return False


def _key(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
