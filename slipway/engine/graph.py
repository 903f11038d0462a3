"""What a Pulumi program registered: plain values that need no Pulumi to be read, sent or compared.

A `Graph` is what a run of a program leaves behind. Its values are Python's own, plus four markers: a
value that only a realisation can know, a secret, a reference to a resource, an asset. Options that few
programs set lie in `options` under the names that Pulumi's state gives them.

Left out: what providers would make of the inputs (defaults, checks, diffs) and all state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Final, TypeAlias


class Unknown(Enum):
    """A value that is known only once something exists."""

    UNKNOWN = "[unknown]"

    def __repr__(self) -> str:
        return self.value


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True)
class Secret:
    """A value that no one may see."""

    value: Value

    def __repr__(self) -> str:
        return "[secret]"


@dataclass(frozen=True)
class Reference:
    """A resource as a value of another; `id` is None for components."""

    urn: str
    id: str | Unknown | None = None


@dataclass(frozen=True)
class Asset:
    """A file, text, address or a folder of them: `fields` holds one of path, text, uri, assets."""

    archive: bool
    fields: Mapping[str, Value]


Value: TypeAlias = (
    bool
    | int
    | float
    | str
    | Unknown
    | Secret
    | Reference
    | Asset
    | list["Value"]
    | dict[str, "Value"]
    | None
)


@dataclass(frozen=True)
class Registration:
    """One resource as the program asked for it, and the outputs that the program was given back."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str = ""
    """the URN of the parent, empty for the stack and for default providers"""
    inputs: dict[str, Value] = field(default_factory=dict[str, Value])
    outputs: dict[str, Value] = field(default_factory=dict[str, Value])
    """of a component: what it registered itself"""
    id: str | Unknown = UNKNOWN
    dependencies: tuple[str, ...] = ()
    property_dependencies: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    provider: str = ""
    """the URN of the provider, explicit or default; empty for components and providers"""
    protect: bool = False
    ignore_changes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    """every URN under which the resource may be known already"""
    version: str = ""
    """the version of the provider that the program's SDK asks for"""
    external: bool = False
    """read, not managed"""
    source: str = ""
    """`file:line`, relative to the project"""
    options: dict[str, Value] = field(default_factory=dict[str, Value])

    @property
    def called(self) -> str:
        """The resource in a line for a person: the last part of its type, and its name."""
        return f"{self.type.rsplit(':', 1)[-1]} {self.name}"

    @property
    def known_id(self) -> str:
        """The id as messages carry it: empty where it is unknown."""
        return self.id if isinstance(self.id, str) else ""


@dataclass(frozen=True)
class Graph:
    """All registrations of one run, sorted by URN, and the outputs of the stack."""

    project: str
    stack: str
    registrations: tuple[Registration, ...]
    outputs: dict[str, Value]
    encrypted_config: tuple[str, ...] = ()
    """the keys that the stack file holds encrypted: to the program, unknown secrets"""
    unasked: tuple[str, ...] = ()
    """the functions of providers that the program called; what they would answer is unknown"""
    exported: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """the outputs of the stack that are an output of a resource, as its URN and the property's name"""

    def __getitem__(self, urn: str) -> Registration:
        """Find a registration by its URN; KeyError if there is none."""
        return self._by_urn[urn]

    @cached_property
    def _by_urn(self) -> dict[str, Registration]:
        return {registration.urn: registration for registration in self.registrations}


def secrets(value: object) -> Iterator[str]:
    """Find every text inside a secret, at any depth of anything that a graph holds."""
    match value:
        case Secret(inner):
            yield from texts(inner)
        case Asset(fields=fields):
            yield from secrets(fields)
        case Registration():
            yield from secrets([value.inputs, value.outputs, value.options])
        case Graph():
            yield from secrets([value.outputs, *value.registrations])
        case _:
            for inner in children(value):
                yield from secrets(inner)


def texts(value: object) -> Iterator[str]:
    """Find every text inside a value, secret or not."""
    match value:
        case str():
            yield value
        case Secret(inner):
            yield from texts(inner)
        case Asset(fields=fields):
            yield from texts(fields)
        case _:
            for inner in children(value):
                yield from texts(inner)


def known(value: object) -> bool:
    """Tell whether nothing inside a value is unknown."""
    match value:
        case Unknown():
            return False
        case Secret(inner) | Reference(id=inner) | Asset(fields=inner):
            return known(inner)
        case _:
            return all(known(inner) for inner in children(value))


def children(value: object) -> Iterator[object]:
    """Give the values inside a list or mapping."""
    match value:
        case Mapping():
            yield from value.values()
        case list() | tuple():
            yield from value
        case _:
            pass
