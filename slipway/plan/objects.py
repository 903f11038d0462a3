"""Kubernetes objects of a graph against Kubernetes' own schemas, in their strict form.

Misspelt, missing and mistyped fields are found, all of an object at once, in the words of a stack's other
mistakes. What is unknown passes. Kinds that Kubernetes itself does not have are left alone.

Left out: quantities, ranges, selectors and most choices of texts, which the schemas do not describe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
from kubernetes_validate import utils  # pyright: ignore[reportMissingTypeStubs] it has none
from referencing import Registry, Resource

from slipway.engine.graph import Graph, Reference, Registration, Secret, Unknown, Value, secrets
from slipway.engine.mask import MASK, Mask
from slipway.kube.resolve import is_object
from slipway.problems import nearest, problem

Path = tuple[str | int, ...]


def in_graph(graph: Graph) -> list[str]:
    """Give a line for each mistake in the Kubernetes objects of a graph, secrets masked.

    The version is that of the graph's cluster, where it is said.
    """
    mask = Mask(secrets(graph))
    clusters = [found for found in graph.registrations if found.type.endswith(":ManagedCluster")]
    versions = [
        version for found in clusters if isinstance(version := found.inputs.get("kubernetesVersion"), str)
    ]
    found = [registration for registration in graph.registrations if is_object(registration)]
    return [
        mask(f"{registration.called}: {line}")
        for registration in found
        for line in mistakes(registration, *versions[:1])
    ]


def mistakes(registration: Registration, version: str = "") -> list[str]:
    """Give a line for each field of an object that Kubernetes would refuse.

    `version` is such as 1.34 or 1.34.2; the newest that is known counts without it.
    """
    validator = _validator(_known(version), registration.inputs)
    if validator is None or registration.external or registration.type.endswith("Patch"):
        return []
    hidden: set[Path] = set()
    plain = _plain(registration.inputs, (), hidden)
    return list(
        dict.fromkeys(line for error in validator.iter_errors(plain) for line in _lines(error, hidden))
    )


def _lines(error: Any, hidden: set[Path]) -> Iterator[str]:
    path: Path = tuple(error.absolute_path)
    value: Any = error.instance
    secret = any(path[:length] in hidden for length in range(len(path) + 1))
    rule: Any = error.validator_value
    match error.validator:
        case _ if isinstance(value, Unknown):
            return
        case "additionalProperties":
            known: dict[str, object] = error.schema.get("properties", {})
            for name in value:
                if name not in known and secret:
                    yield problem(_place((*path, MASK)), MASK, "no such field", "see Kubernetes' reference")
                elif name not in known:
                    yield problem(_place((*path, name)), value[name], "no such field", nearest(name, known))
        case "required":
            for name in rule:
                if name not in value:
                    yield f"{_place((*path, name))}: is required; Kubernetes gives it no default"
        case "type" | "oneOf":
            remedy = f"give {' or '.join(_types(rule))}"
            yield problem(_place(path), MASK if secret else value, "has another type", remedy)
        case "enum":
            remedy = f"give {' or '.join(str(choice) for choice in rule if choice is not None)}"
            yield problem(_place(path), MASK if secret else value, "is no value of it", remedy)
        case other:
            yield problem(_place(path), MASK if secret else value, f"breaks {other}: {rule}", "change it")


def _types(rule: Any) -> Iterator[str]:
    """Name the types that a `type` or `oneOf` allows."""
    match rule:
        case str():
            yield from [rule] * (rule != "null")
        case Mapping():
            yield from _types(rule["type"])
        case _:
            for choice in rule:
                yield from _types(choice)


def _place(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _plain(value: Value | Mapping[str, Value], path: Path, hidden: set[Path]) -> Any:
    """Give the value as JSON would hold it, unknowns apart; the places of secrets are added to the set."""
    match value:
        case Secret(inner):
            hidden.add(path)
            return _plain(inner, path, hidden)
        case Reference(urn, identity):
            return urn if identity is None else identity
        case list():
            return [_plain(item, (*path, index), hidden) for index, item in enumerate(value)]
        case Mapping():
            return {name: _plain(item, (*path, name), hidden) for name, item in value.items()}
        case _:
            return value


def _validator(version: str, inputs: Mapping[str, Value]) -> Any:
    kind, api = inputs.get("kind"), inputs.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api, str):
        return None
    return _of_kind(version, kind, api)


@cache
def _of_kind(version: str, kind: str, api: str) -> Any:
    """Give what judges the objects of a kind; None for a kind that is not Kubernetes' own."""
    group, _, name = api.rpartition("/")
    file = "-".join(part for part in (kind.lower(), group.partition(".")[0], name) if part)
    try:
        schema = utils.schema_contents(f"{_folder(version)}/{file}.json", version)
    except FileNotFoundError:
        return None
    kinds = schema.get("x-kubernetes-group-version-kind", [])
    if {"group": group, "kind": kind, "version": name} not in kinds:
        return None
    return jsonschema.Draft202012Validator(schema, registry=_registry(version))


@cache
def _registry(version: str) -> Registry[Any]:
    definitions = utils.schema_contents(f"{_folder(version)}/_definitions.json", version)
    return Resource[Any].from_contents(definitions) @ Registry[Any]()


@cache
def _known(version: str) -> str:
    """Give the newest version with schemas that is not newer than the one asked for."""
    known: list[str] = utils.all_versions()
    wanted = _numbers(version)
    older = [one for one in known if not wanted or _numbers(one)[: len(wanted)] <= wanted]
    return (older or known)[-1 if older else 0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}-local-strict"
