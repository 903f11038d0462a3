"""Recordings of the real engine and what they must have in common with our own graphs.

A recording holds the states that a preview plans (`steps`) and the goals behind them (`goals`), which
alone tell outputs of components and default providers. `of_recording` and `of_graph` bring both sides to
one form: volatile things (versions, ids, hashes) and secrets become words in brackets, sets are sorted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from slipway.engine import Graph, Registration, Secret, Value
from slipway.engine.mask import Mask
from slipway.engine.wire import ARCHIVE, ASSET, RESOURCE, SECRET, SIGNATURE, UNKNOWN_TEXT
from slipway.plan.values import masked
from tests.engine.real import Real

PROGRAMS = Path(__file__).parent / "programs"
NAMES = sorted(path.parent.name for path in PROGRAMS.glob("*/__main__.py"))
STACK = "dev"
SECRETS = {
    "config": {"config:secret": "sesame", "config:secret-object": '{"inner": "sesame"}'},
    "secrets": {"secrets:key": "sesame", "secrets:number": "7", "secrets:object": '{"a": "b"}'},
}
BASE: dict[str, Value] = {"text": "from base", "list": [1, 2], "secret": Secret("hidden")}
STACKS = {"stack_references": {"organization/stack_references/base": BASE}}
OPTIONS = (
    "additionalSecretOutputs",
    "customTimeouts",
    "deleteBeforeReplace",
    "deletedWith",
    "hideDiff",
    "importID",
    "replaceOnChanges",
    "replaceWith",
    "replacementTrigger",
    "retainOnDelete",
)

Facts = dict[str, Any]


def invoke(tok: str, args: dict[str, Value]) -> dict[str, Value]:
    """Answer as the Kubernetes provider does for the one object that the program decodes."""
    assert tok == "kubernetes:yaml:decode", tok
    name = "renamed" if "renamed" in str(args["text"]) else "decoded"
    metadata: dict[str, Value] = {"name": name, "namespace": args["defaultNamespace"]}
    return {"result": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}]}


def path_of(name: str) -> Path:
    """Give the file of a recording."""
    return PROGRAMS / name / "preview.json"


def record(name: str, folder: Path) -> Facts:
    """Preview a program on the real engine, in an empty folder, and give what is worth keeping of it."""
    real = Real(PROGRAMS / name, folder)
    real.create(STACK, SECRETS.get(name))
    if name == "stack_references":
        real.create("base")
        real.up("base")
    if name == "aliases":
        real.set(STACK, "aliases:renamed", "false")
        real.up(STACK)
        real.set(STACK, "aliases:renamed", "true")
    return kept(*real.preview(STACK))


def kept(preview: Facts, plan: Facts) -> Facts:
    """Leave out times, seeds, diagnostics and whatever names a path of a machine."""
    steps: list[Facts] = [
        {
            "op": step["op"],
            "urn": step["urn"],
            "oldUrn": _part(step, "oldState").get("urn", ""),
            "newState": _kept_state(_part(step, "newState")),
        }
        for step in preview["steps"]
    ]
    goals = {urn: found["goal"] for urn, found in plan["resourcePlans"].items() if "goal" in found}
    return {"steps": steps, "goals": goals}


def _part(step: Facts, name: str) -> Facts:
    return step.get(name) or {}


def _kept_state(state: Facts) -> Facts:
    state = {
        name: value for name, value in state.items() if name not in {"stackTrace", "created", "modified"}
    }
    if state.get("sourcePosition", "").startswith("project:///.."):
        del state["sourcePosition"]
    return state


def of_recording(recording: Facts) -> dict[str, Facts]:
    """Give what a recording says of each resource, by URN."""
    steps = {step["urn"]: step["newState"] for step in recording["steps"] if step["newState"]}
    facts: dict[str, Facts] = {}
    for urn in {**steps, **recording["goals"]}:
        goal: Facts = recording["goals"].get(urn) or {"outputDiff": {}}  # none for what is read
        state = steps.get(urn) or {**goal, "inputs": goal["inputDiff"].get("adds", {})}
        state = {**state, "deleteBeforeReplace": goal.get("deleteBeforeReplace")}
        outputs: Facts = {} if state["custom"] else goal["outputDiff"].get("adds", {})
        facts[_stable(urn)] = _facts(state, _plain(state.get("inputs", {})), _plain(outputs))
    return facts


def of_graph(graph: Graph) -> dict[str, Facts]:
    """Give what one of our graphs says of each resource, by URN."""
    return {_stable(found.urn): _of_registration(found) for found in graph.registrations}


def _of_registration(found: Registration) -> Facts:
    mask = Mask([])
    file, _, line = found.source.rpartition(":")
    state = {
        "type": found.type,
        "custom": found.custom,
        "parent": found.parent,
        "dependencies": found.dependencies,
        "propertyDependencies": found.property_dependencies,
        "provider": f"{found.provider}::id" if found.provider else "",
        "protect": found.protect,
        "ignoreChanges": found.ignore_changes,
        "external": found.external,
        "sourcePosition": f"project:///{file}#{line}" if file else "",
        **found.options,
    }
    outputs = {} if found.custom else found.outputs
    return _facts(state, masked(found.inputs, mask), masked(outputs, mask))


def _facts(state: Mapping[str, Any], inputs: object, outputs: object) -> Facts:
    inputs = dict(cast("Facts", inputs))
    if state["type"].startswith("pulumi:providers:"):
        inputs = {name: value for name, value in inputs.items() if name not in {"__internal", "version"}}
    dependencies = cast("Mapping[str, list[str]]", state.get("propertyDependencies") or {})
    if state["type"] == "kubernetes:core/v1:Secret":  # the provider makes the one the other
        inputs = {"data" if name == "stringData" else name: value for name, value in inputs.items()}
    return _stable(
        {
            "type": state["type"],
            "custom": state["custom"],
            "parent": state.get("parent", ""),
            "inputs": inputs,
            "outputs": outputs,
            "dependencies": sorted(state.get("dependencies") or []),
            "propertyDependencies": {name: sorted(urns) for name, urns in dependencies.items() if urns},
            "provider": state.get("provider", "").rpartition("::")[0],
            "protect": state.get("protect", False),
            "external": state.get("external", False),
            "ignoreChanges": list(state.get("ignoreChanges") or []),
            "source": state.get("sourcePosition", "").removeprefix("project:///"),
            "options": {
                name: state[name] for name in OPTIONS if state.get(name) not in (None, [], {}, "", False)
            },
        }
    )


def _stable(value: Any) -> Any:
    """Take the versions out of the names of default providers, wherever they stand."""
    return json.loads(re.sub(r"::default_\d+_\d+_\d+[\w]*", "::default", json.dumps(value)))


def _plain(value: object) -> object:
    """Write a value of Pulumi's JSON as `slipway.plan` writes ours."""
    if value == UNKNOWN_TEXT:
        return "[unknown]"
    if isinstance(value, list):
        return [_plain(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    given = cast("Facts", value)
    fields = {name: _plain(item) for name, item in given.items() if name != SIGNATURE}
    match given.get(SIGNATURE):
        case str(signature) if signature == SECRET:
            return "[secret]"
        case str(signature) if signature == RESOURCE:
            return {name: fields[name] or "[unknown]" for name in ("urn", "id") if name in fields}
        case str(signature) if signature in {ASSET, ARCHIVE}:
            return {
                "archive" if signature == ARCHIVE else "asset": {
                    k: v for k, v in fields.items() if k != "hash"
                }
            }
        case _:
            return fields
