"""URNs, the names by which Pulumi knows resources, computed as its engine does.

A URN holds the types of all ancestors but the stack: `urn:pulumi:STACK::PROJECT::A$B::NAME`. Aliases are
the URNs under which a resource may have been known; a child inherits those of its parent. The engine
tries only the one that it found in its state; without a state, all of them are listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDERS = "pulumi:providers:"


@dataclass(frozen=True)
class Alias:
    """Another identity of a resource: a URN, or what differs from the one it has now."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    no_parent: bool = False


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """Give the URN of a resource; `parent` is a URN or empty."""
    qualified = qualified_type(parent) if parent else ""
    full = type_ if qualified in {"", STACK_TYPE} else f"{qualified}${type_}"
    return f"urn:pulumi:{stack}::{project}::{full}::{name}"


def qualified_type(urn: str) -> str:
    """Give the type with those of all ancestors."""
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    """Give the type alone."""
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    """Give the name, which may itself hold colons."""
    return urn.split("::", 3)[3]


def is_provider(type_: str) -> bool:
    """Tell whether a type is that of a provider."""
    return type_.startswith(PROVIDERS)


def package(type_: str) -> str:
    """Give the package whose provider manages a type."""
    return type_.split(":", 1)[0]


def aliases(urn: str, parent: str, own: Iterable[Alias], inherited: Iterable[str]) -> tuple[str, ...]:
    """Give every other URN that a resource may have had; `inherited` are those of its parent."""
    found = [_collapse(alias, urn, parent) for alias in own]
    identities = [(type_of(known), name_of(known)) for known in (urn, *found)]
    for parent_alias in inherited:
        found += [
            _under(parent_alias, type_, _renamed(name, parent, parent_alias)) for type_, name in identities
        ]
    return tuple(dict.fromkeys(found))


def _collapse(alias: Alias, urn: str, parent: str) -> str:
    if alias.urn:
        return alias.urn
    stack, project = urn.removeprefix("urn:pulumi:").split("::", 2)[:2]
    above = "" if alias.no_parent else alias.parent or parent
    name, type_ = alias.name or name_of(urn), alias.type or type_of(urn)
    return make(alias.stack or stack, alias.project or project, above, type_, name)


def _renamed(name: str, parent: str, parent_alias: str) -> str:
    """Give the old name of a child; one that begins with its parent's name was renamed with it."""
    rest = name.removeprefix(name_of(parent))
    return name if rest == name else name_of(parent_alias) + rest


def _under(parent: str, type_: str, name: str) -> str:
    stack, project = parent.removeprefix("urn:pulumi:").split("::", 2)[:2]
    return make(stack, project, parent, type_, name)
