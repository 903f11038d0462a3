"""What the Pulumi SDKs' own annotations say of a resource's inputs, and what a registration gets wrong.

The SDKs accept misspelt keys, values outside an enum and wrong types without a word, and providers refuse
them only when they are called. The annotations of the generated `*Args` classes hold names, types, enums
and what is required; nothing else is read, so a type that no installed SDK has gets no opinion. An
enum that Azure calls extensible counts as closed here: a value that the SDK does not list is a mistake.
Only those named `Known...` are open: Azure Monitor's lists of streams, which lack most of them.

Left out: what only a provider knows (patterns, lengths, defaults, rules across inputs).
`previewed` reads the outputs' annotations likewise.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_overloads, get_type_hints

import pulumi
from pulumi import _types  # pyright: ignore[reportPrivateUsage] there is no public way to the names
from pulumi.runtime.rpc import get_resource_module

from slipway.engine.graph import UNKNOWN, Asset, Reference, Secret, Unknown, Value
from slipway.engine.mask import MASK
from slipway.problems import nearest, problem

_SCALARS: Mapping[object, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
}
_WRAPPERS = {type(None), Awaitable, pulumi.Output}


@dataclass(frozen=True)
class Shape:
    """What a value may be; several fields are set where the SDK allows several kinds."""

    scalars: frozenset[str] = frozenset()
    """of "a text", "true or false", "a whole number", "a number\""""
    enum: tuple[str | float, ...] = ()
    """every value that the SDK lists, where it lists them"""
    objects: tuple[type, ...] = ()
    """the `*Args` classes of which a mapping may be one; `fields` describes each"""
    items: Shape | None = None
    """of a list"""
    values: Shape | None = None
    """of a mapping with keys of one's own"""
    anything: bool = False

    def __str__(self) -> str:
        if self.enum:
            return f"one of {', '.join(map(str, self.enum))}"
        kinds = sorted(self.scalars)
        kinds += [f"a list of {self.items}"] if self.items else []
        kinds += [f"a mapping to {self.values}"] if self.values else []
        kinds += [f"a mapping ({cls.__name__.removesuffix('Args')})" for cls in self.objects]
        return " or ".join(kinds) or "any value"


@dataclass(frozen=True)
class Schema:
    """The inputs of a resource, or of an object inside one, by their names on the wire."""

    properties: Mapping[str, Shape]
    required: frozenset[str]
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    """inputs with one value only, which tells apart the kinds of a union"""
    secret_outputs: tuple[str, ...] = ()
    """outputs that the SDK itself marks as secret; azure-native's marks none"""


@cache
def schema(type_token: str) -> Schema | None:
    """Describe the inputs of a resource type; None if no installed SDK has it, or not at that version.

    `package:module:Type`, where a module may name Azure's API version (`network/v20240501`). The first
    call for a module imports the SDK's, unless the program has: about a second for azure-native's largest.
    """
    cls = _resource(type_token)
    if cls is None:
        return None
    arguments = next(
        inner
        for overload in get_overloads(cls.__init__)
        for name, parameter in inspect.signature(overload).parameters.items()
        if name == "args"
        for inner in (parameter.annotation, *get_args(parameter.annotation))
        if inspect.isclass(inner) and inner is not type(None)
    )
    text = Path(inspect.getfile(cls)).read_text()
    secret = re.search(r"additional_secret_outputs=\[(.*?)\]", text)
    found = fields(arguments)
    outputs = tuple(re.findall(r'"(\w+)"', secret[1])) if secret else ()
    return Schema(found.properties, found.required, found.constants, outputs)


def mistakes(type_token: str, inputs: Mapping[str, Value]) -> list[str]:
    """Give a line for each input that the SDK does not have, misses or has with another type or value.

    Each names the path inside the resource, the value, the rule and the remedy. What is unknown passes,
    what is inside a secret is checked but never repeated. Empty for a type without a `schema`.
    """
    found = schema(type_token)
    return list(_object("", dict(inputs), found, secret=False)) if found else []


def previewed(type_token: str, inputs: Mapping[str, Value]) -> dict[str, Value] | None:
    """Give the outputs that azure-native tells before it creates a resource; None for an unknown type.

    An input is an output too where it has the output's shape; all else is unknown. A ManagedCluster's
    `identity.userAssignedIdentities`, a list that comes back as a mapping, is therefore unknown. Source:
    provider/pkg/convert/previewOutputs.go of pulumi-azure-native.
    """
    cls = _resource(type_token)
    return None if cls is None else _as_outputs(inputs, _outputs(cls))


@cache
def fields(arguments: type) -> Schema:
    """Describe an `*Args` class."""
    module = vars(sys.modules[arguments.__module__])
    hints = get_type_hints(arguments.__init__, module, {"T": type(None), "Output": pulumi.Output})
    names: Mapping[str, str] = _types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters
    required = [name for name in names if parameters[name].default is inspect.Parameter.empty]
    example = arguments(**dict.fromkeys(required, ...))
    constants = {names[name]: value for name in required if (value := getattr(example, name)) is not ...}
    return Schema(
        {wire: _shape(hints[name]) for name, wire in names.items()},
        frozenset(names[name] for name in required),
        constants,
    )


def _resource(type_token: str) -> type | None:
    """Find a resource's class by the tables that the SDKs register."""
    package, module, name = (*type_token.split(":"), "", "")[:3]
    try:
        if not package or find_spec(sdk := f"pulumi_{package.replace('-', '_')}") is None:
            return None
        importlib.import_module(sdk)
    except (ImportError, ValueError):
        return None
    module, _, version = module.partition("/v") if package == "azure-native" else (module, "", "")
    found: Any = get_resource_module(package, module, "")
    class_name = found and found.mod_info["classes"].get(f"{package}:{module}:{name}")
    if not class_name:
        return None
    cls = getattr(importlib.import_module(found.mod_info["fqn"]), class_name)
    if version:
        written = "-".join((version[:4], version[4:6], version[6:]))
        own = " ".join(overload.__doc__ or "" for overload in get_overloads(cls.__init__))
        if f"Uses Azure REST API version {written}." not in own:
            return None
    return cls


@cache
def _outputs(cls: type) -> Mapping[str, Shape]:
    """Describe the outputs of a resource, or of an object among them, by their names on the wire."""
    is_object = _types.is_output_type(cls)
    hints = _types.output_type_types(cls) if is_object else _types.resource_types(cls)
    return {name: _shape(hint) for name, hint in hints.items() if is_object or name not in {"id", "urn"}}


def _as_outputs(inputs: Mapping[str, Value], outputs: Mapping[str, Shape]) -> dict[str, Value]:
    return {name: _as_output(inputs.get(name, UNKNOWN), shape) for name, shape in outputs.items()}


def _as_output(value: Value, shape: Shape) -> Value:  # noqa: PLR0911 one for each kind of value
    match value:
        case Secret(inner):
            return Secret(_as_output(inner, shape))
        case dict() if len(shape.objects) == 1:
            return _as_outputs(value, _outputs(shape.objects[0]))
        case dict() if shape.values:
            return {name: _as_output(inner, shape.values) for name, inner in value.items()}
        case list() if shape.items:
            return [_as_output(inner, shape.items) for inner in value]
        case dict() if shape.objects or shape.anything:
            return value
        case bool() | int() | float() | str() if shape.anything or _scalars(value) & shape.scalars:
            return value
        case _:
            return UNKNOWN


def _shape(hint: object) -> Shape:
    every = get_args(hint) if get_origin(hint) is Union else (hint,)
    members = [member for member in every if (get_origin(member) or member) not in _WRAPPERS]
    scalars: set[str] = set()
    enum: list[str | float] = []
    objects: list[type] = []
    items = values = None
    anything = False
    for member in members:
        origin = get_origin(member)
        if origin is Sequence:
            items = _shape(get_args(member)[0])
        elif origin is Mapping:
            values = _shape(get_args(member)[1])
        elif origin is Literal:
            enum += get_args(member)
        elif member in _SCALARS:
            scalars.add(_SCALARS[member])
        elif isinstance(member, type) and issubclass(member, Enum):
            enum += [] if member.__name__.startswith("Known") else [choice.value for choice in member]
        elif isinstance(member, type) and (_types.is_input_type(member) or _types.is_output_type(member)):
            objects.append(member)
        else:
            anything = True
    return Shape(frozenset(scalars), tuple(dict.fromkeys(enum)), tuple(objects), items, values, anything)


def _object(path: str, value: Mapping[str, Value], found: Schema, *, secret: bool) -> Iterator[str]:
    at = f"{path}." if path else ""
    for name, inner in value.items():
        if name.startswith("__"):  # the engine's and the providers' own
            continue
        if name in found.properties:
            yield from _value(at + name, inner, found.properties[name], secret=secret)
        elif secret:
            yield problem(at + MASK, MASK, "no such input", "see the SDK for the names it has")
        else:
            yield problem(at + name, inner, "no such input", nearest(name, found.properties))
    for name in sorted(found.required):
        if value.get(name) is None:
            yield f"{at}{name}: is required; give {found.constants.get(name) or found.properties[name]}"


def _value(path: str, value: Value, shape: Shape, *, secret: bool) -> Iterator[str]:
    match value:
        case None | Unknown() | Reference() | Asset():
            return
        case Secret(inner):
            yield from _value(path, inner, shape, secret=True)
        case _ if shape.anything:
            return
        case dict() if shape.objects:
            yield from _one_of(path, value, [fields(cls) for cls in shape.objects], secret=secret)
        case dict() if shape.values:
            for name, inner in value.items():
                yield from _value(f"{path}.{MASK if secret else name}", inner, shape.values, secret=secret)
        case list() if shape.items:
            for index, inner in enumerate(value):
                yield from _value(f"{path}[{index}]", inner, shape.items, secret=secret)
        case str() if shape.enum and value not in shape.enum:
            yield _not_listed(path, value, [str(choice) for choice in shape.enum], secret=secret)
        case bool() | int() | float() | str() if value in shape.enum or _scalars(value) & shape.scalars:
            return
        case _:
            yield problem(path, MASK if secret else value, "has another type in the SDK", f"give {shape}")


def _scalars(value: float | str) -> set[str]:
    """Name the kinds of scalar that take a value: a whole number is a number too."""
    kinds = [type(value), *([float] if type(value) is int else [])]
    return {_SCALARS[kind] for kind in kinds}


def _one_of(path: str, value: Mapping[str, Value], kinds: list[Schema], *, secret: bool) -> Iterator[str]:
    """Check against the kind that the value's constant names; without constants, the likeliest one."""
    name = next((name for kind in kinds for name in kind.constants), "")
    given = value.get(name)
    choices = [kind.constants[name] for kind in kinds if name in kind.constants]
    if isinstance(given, str):
        if given not in choices:
            yield _not_listed(f"{path}.{name}", given, choices, secret=secret)
            return
        kinds = [kind for kind in kinds if kind.constants.get(name) == given]
    elif given is None and len(choices) > 1:
        yield f"{path}.{name}: is required; give one of {', '.join(choices)}"
        return
    yield from min(([*_object(path, value, kind, secret=secret)] for kind in kinds), key=len)


def _not_listed(path: str, value: Value, choices: list[str], *, secret: bool) -> str:
    every = f"give one of {', '.join(choices)}"
    remedy = every if secret else nearest(str(value), choices).replace("remove it", every)
    return problem(path, MASK if secret else value, "is no value that the SDK lists", remedy)
