"""A project and one of its stack files, read as the Pulumi CLI reads them.

Values reach a program as strings, JSON for what is not a scalar. What a stack file holds encrypted
(`secure:`) is named but never decrypted: Slipway has no key and asks for none.

Left out: everything of `Pulumi.yaml` that does not change what the program sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from slipway.engine import values
from slipway.problems import nearest


class ProjectError(Exception):
    """A project or stack file that is missing or cannot be read."""


@dataclass(frozen=True)
class Project:
    """A project folder as it looks to one stack."""

    root: Path
    name: str
    main: Path
    """the folder or file that is run"""
    stack: str
    config: dict[str, str]
    """`namespace:key` to value, without the encrypted ones"""
    encrypted: tuple[str, ...]
    """the keys whose values are encrypted"""


def stack_file(root: Path, stack: str) -> Path:
    """Find the file of `stack`. Raises `ProjectError` that names the nearest."""
    folder = root / str(_mapping(root / "Pulumi.yaml").get("stackConfigDir") or ".")
    path = folder / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = [p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in folder.glob("Pulumi.*.yaml")]
        remedy = nearest(stack, known) if known else "write it"
        raise ProjectError(f"no stack `{stack}`: {path} does not exist; {remedy}")
    return path


def load(root: Path, stack: str) -> Project:
    """Read `Pulumi.yaml` and the file of `stack`. Raises `ProjectError`."""
    root = root.resolve()
    settings = _mapping(root / "Pulumi.yaml")
    name = settings.get("name")
    if not isinstance(name, str) or not name:
        raise ProjectError(f"{root / 'Pulumi.yaml'}: name is missing")
    runtime = settings.get("runtime")
    runtime = cast("dict[str, object]", runtime).get("name") if isinstance(runtime, dict) else runtime
    if runtime != "python":
        raise ProjectError(f"{root / 'Pulumi.yaml'}: runtime = {runtime}: only python programs run here")
    path = stack_file(root, stack)
    config: dict[str, str] = {}
    encrypted: set[str] = set()
    for key, value in _section(settings, root / "Pulumi.yaml").items():
        default = _project_default(value)
        if default is not None:
            config[_full(key, name)] = values.as_text(default)
    for key, value in _section(_mapping(path), path).items():
        if _is_encrypted(value):
            encrypted.add(_full(key, name))
            config.pop(_full(key, name), None)
        else:
            config[_full(key, name)] = values.as_text(value)
    main = root / str(settings.get("main") or ".")
    return Project(root, name, main, stack, config, tuple(sorted(encrypted)))


def _mapping(path: Path) -> dict[str, object]:
    try:
        content = values.read(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path} does not exist") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise ProjectError(f"{place}: is not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path}: is not YAML: {str(error).partition(chr(10))[0]}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ProjectError(f"{path}: must be a mapping")
    return cast("dict[str, object]", content)


def _section(content: Mapping[str, object], path: Path) -> dict[str, object]:
    config: object = content.get("config") or {}
    if not isinstance(config, dict):
        raise ProjectError(f"{path}: config must be a mapping")
    return cast("dict[str, object]", config)


def _full(key: str, project: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _project_default(value: object) -> object:
    """Give the value that `Pulumi.yaml` itself sets, if any: it may also only declare a type."""
    if not isinstance(value, dict):
        return value
    declared = cast("dict[str, object]", value)
    return declared.get("value", declared.get("default"))


def _is_encrypted(value: object) -> bool:
    """Tell whether a value is, or holds anywhere, a `secure:`; then all of it is a secret to the program."""
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value)
        return set(inner) == {"secure"} or any(map(_is_encrypted, inner.values()))
    return isinstance(value, list) and any(map(_is_encrypted, cast("list[object]", value)))
