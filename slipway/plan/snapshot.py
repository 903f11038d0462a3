"""A plan as it is kept in git, `plan.<stack>.json` beside its stack file: what will exist, nothing volatile.

Secrets are masked. Left out are source lines, aliases, and versions of providers and of their SDKs.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, TypedDict

from slipway.engine.graph import Graph, Registration, Value, known, secrets
from slipway.engine.mask import Mask
from slipway.engine.project import ProjectError, stack_file
from slipway.engine.urns import is_provider
from slipway.plan.values import masked


class Resource(TypedDict, total=False):
    """What is kept of a resource; what it does not have is left out."""

    inputs: dict[str, Any]
    propertyDependencies: dict[str, list[str]]
    """of inputs that hold an unknown value: the URNs of those that will tell it"""
    dependencies: list[str]
    parent: str
    provider: str
    protect: bool
    ignoreChanges: list[str]
    external: bool
    options: dict[str, Any]


class Snapshot(TypedDict):
    """A plan without what changes by itself; `resources` by URN."""

    project: str
    stack: str
    resources: dict[str, Resource]
    outputs: dict[str, Any]


def snapshot(graph: Graph) -> Snapshot:
    """Give what is kept of a graph."""
    mask = Mask(secrets(graph))
    outputs: Any = masked(graph.outputs, mask)
    return {
        "project": graph.project,
        "stack": graph.stack,
        "resources": {_stable(found.urn): _resource(found, mask) for found in graph.registrations},
        "outputs": outputs,
    }


def path_of(project: Path, stack: str) -> Path:
    """Give the file of a stack's snapshot, which may not exist. Raises `ProjectError` for no such stack."""
    return stack_file(project, stack).with_name(f"plan.{stack}.json")


def save(found: Snapshot, path: Path) -> None:
    """Write a snapshot."""
    path.write_text(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path, ref: str = "") -> Snapshot:
    """Read a snapshot from its file, or as it was at a git ref. Raises `ProjectError`."""
    try:
        return json.loads(_at(path, ref) if ref else path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError(f"{path} does not exist; make it with --save and keep it in git") from None
    except ValueError as error:
        raise ProjectError(f"{path}{f' at {ref}' if ref else ''}: is not JSON: {error}") from None


def _at(path: Path, ref: str) -> str:
    command = ["git", "show", f"{ref}:./{path.name}"]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["git failed"])[0].removeprefix("fatal: ")
        raise ProjectError(f"{path} at git ref `{ref}`: {reason}")
    return done.stdout


def _resource(found: Registration, mask: Mask) -> Resource:
    inputs: dict[str, Value] = found.inputs
    if is_provider(found.type):
        inputs = {name: value for name, value in inputs.items() if name not in {"__internal", "version"}}
    unknown = {
        name: urns for name, urns in found.property_dependencies.items() if not known(inputs.get(name))
    }
    every: dict[str, Value] = {
        "inputs": inputs,
        "propertyDependencies": {name: list(map(_stable, urns)) for name, urns in unknown.items()},
        "dependencies": list(map(_stable, found.dependencies)),
        "parent": found.parent,
        "provider": _stable(found.provider),
        "protect": found.protect,
        "ignoreChanges": list(found.ignore_changes),
        "external": found.external,
        "options": found.options,
    }
    kept: Any = {name: masked(value, mask) for name, value in every.items() if value not in _UNSET}
    return kept


_UNSET: list[Value] = ["", [], {}, False]


def _stable(urn: str) -> str:
    """Take the version out of the name of a default provider."""
    return re.sub(r"::default_\d+_\d+_\d+\w*$", "::default", urn)
