"""What changes from one snapshot of a plan to another: created, deleted, updated, replaced.

A resource that an alias names is the same one. Changes that the program ignores are none. What an
unknown value will be nobody knows: it counts as changed when others will tell it.

Left out: what a replacement does to those that depend on it, and all drift.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

from slipway.engine.graph import UNKNOWN
from slipway.engine.urns import name_of, type_of
from slipway.plan.replacements import replaced_by
from slipway.plan.snapshot import Resource, Snapshot

Flat = dict[str, Any]


class Absent(Enum):
    """A value that is not there."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True)
class Change:
    """A value at a path, before and after."""

    path: str
    old: object
    new: object


@dataclass(frozen=True)
class Update:
    """A resource whose inputs or options change."""

    urn: str
    inputs: tuple[Change, ...] = ()
    options: tuple[Change, ...] = ()
    replaced_by: tuple[str, ...] = ()
    """paths of those changes for which the provider makes a new resource"""


@dataclass(frozen=True)
class Changes:
    """All changes between two snapshots; URNs are those of the newer one, but for what is deleted."""

    created: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    updated: tuple[Update, ...] = ()
    outputs: tuple[Change, ...] = ()
    """of the stack"""
    refused: tuple[str, ...] = ()
    """a line for each protected resource that would be replaced or deleted"""

    @property
    def any(self) -> bool:
        """Tell whether anything changes."""
        return bool(self.created or self.deleted or self.updated or self.outputs)


def diff(old: Snapshot, new: Snapshot, aliases: Mapping[str, Iterable[str]] | None = None) -> Changes:
    """Compare two snapshots; `aliases` gives other URNs of the newer one's resources, by their own."""
    before, after = _managed(old), _managed(new)
    renamed = _renamed(before, after, aliases or {})
    before = {renamed.get(urn, urn): found for urn, found in before.items()}
    updated: list[Update] = []
    refused: list[str] = []
    for urn in sorted(before.keys() & after.keys()):
        update = _update(urn, before[urn], after[urn], renamed)
        if update.inputs or update.options:
            updated.append(update)
        if update.replaced_by and before[urn].get("protect") and after[urn].get("protect"):
            refused.append(
                f"{called(urn)}: is protected and would be replaced, because {', '.join(update.replaced_by)} "
                "changes; undo that, or take its protection away"
            )
    deleted = sorted(before.keys() - after.keys())
    refused += [
        f"{called(urn)}: is protected and would be deleted; keep it, or take its protection away before"
        for urn in deleted
        if before[urn].get("protect")
    ]
    created = sorted(after.keys() - before.keys())
    outputs = _changes(dict(flat(old["outputs"])), dict(flat(new["outputs"])))
    return Changes(tuple(created), tuple(deleted), tuple(updated), tuple(outputs), tuple(refused))


def called(urn: str) -> str:
    """Give a resource as a line for a person names it."""
    return f"{type_of(urn).rsplit(':', 1)[-1]} {name_of(urn)}"


def flat(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give each value inside with the path to it, as Pulumi writes paths; what is empty is a value."""
    match value:
        case dict() if value:
            for name, inner in cast("dict[str, object]", value).items():
                plain = re.fullmatch(r"[^.\[\]\"]+", name)
                step = f".{name}" if plain else '["' + name.replace('"', '\\"') + '"]'
                yield from flat(inner, f"{path}{step}".removeprefix("."))
        case list() if value:
            for index, inner in enumerate(cast("list[object]", value)):
                yield from flat(inner, f"{path}[{index}]")
        case _:
            yield path, value


def inputs_of(found: Resource) -> Flat:
    """Give the inputs by path; an unknown value together with those that will tell it."""
    sources = found.get("propertyDependencies", {})
    values: Flat = {}
    for name, value in found.get("inputs", {}).items():
        of = ", ".join(map(called, sources.get(name, ())))
        for path, leaf in flat({name: value}):
            values[path] = f"{leaf} of {of}" if of and leaf == UNKNOWN.value else leaf
    return values


def options_of(found: Resource) -> Flat:
    """Give by path what else counts: the order of creation and the parent change nothing that exists."""
    own = {name: found.get(name) for name in ("provider", "protect", "ignoreChanges") if name in found}
    every = {**own, **found.get("options", {})}
    return dict(flat(every)) if every else {}


def _managed(found: Snapshot) -> dict[str, Resource]:
    """Leave out what is only read."""
    return {urn: resource for urn, resource in found["resources"].items() if not resource.get("external")}


def _renamed(
    before: Mapping[str, Resource], after: Mapping[str, Resource], aliases: Mapping[str, Iterable[str]]
) -> dict[str, str]:
    """Give the new URN of each old one that is an alias now."""
    moved = {urn: names for urn, names in aliases.items() if urn in after and urn not in before}
    return {
        name: urn for urn, names in moved.items() for name in names if name in before and name not in after
    }


def _update(urn: str, old: Resource, new: Resource, renamed: Mapping[str, str]) -> Update:
    old = _with_names(old, renamed)
    ignored = new.get("ignoreChanges", ())
    inputs = [
        change
        for change in _changes(inputs_of(old), inputs_of(new))
        if not any(_within(change.path, place) for place in ignored)
    ]
    options = _changes(options_of(old), options_of(new))
    paths = [change.path for change in inputs]
    forced = cast("Sequence[str]", new.get("options", {}).get("replaceOnChanges", ()))
    replacing = [
        *replaced_by(type_of(urn), paths),
        *(path for path in paths if any(_within(path, place) for place in forced)),
        *(c.path for c in options if c.path == "provider" or _within(c.path, "replacementTrigger")),
    ]
    return Update(urn, tuple(inputs), tuple(options), tuple(dict.fromkeys(replacing)))


def _with_names(found: Resource, renamed: Mapping[str, str]) -> Resource:
    """Give a resource that refers to others by their newer URNs."""
    sources = {
        name: sorted(renamed.get(urn, urn) for urn in urns)
        for name, urns in found.get("propertyDependencies", {}).items()
    }
    changed: Resource = {**found, "propertyDependencies": sources}
    if "provider" in found:
        changed["provider"] = renamed.get(found["provider"], found["provider"])
    return changed


def _changes(old: Flat, new: Flat) -> list[Change]:
    every = [Change(path, old.get(path, ABSENT), new.get(path, ABSENT)) for path in {**old, **new}]
    return sorted((change for change in every if not _same(change)), key=lambda change: change.path)


def _same(change: Change) -> bool:
    return type(change.old) is type(change.new) and change.old == change.new


def _within(path: str, place: str) -> bool:
    """Tell whether a path is at or inside a place as Pulumi's options name it, `*` for any name or index."""
    pattern = re.escape(place).replace(r"\[\*\]", r"\[\d+\]").replace(r"\*", r"[^.\[]+")
    return re.match(rf"{pattern}(?:$|[.\[])", path) is not None
