"""Changes between two snapshots, shown: lines for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.plan.diff import ABSENT, Change, Changes, Update, called
from slipway.problems import shown

CONTEXT = 20
"""Characters that are shown of what two long texts begin with."""


def text(changes: Changes, since: str) -> str:
    """List all changes since something that has a name, and count them."""
    replaced = sum(bool(update.replaced_by) for update in changes.updated)
    counts = {
        "created": len(changes.created),
        "deleted": len(changes.deleted),
        "updated": len(changes.updated) - replaced,
        "replaced": replaced,
    }
    total = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing changes"
    notes = [
        f"{total} since {since}",
        "Two graphs were compared: no provider was asked, so there is no drift.",
    ]
    return "\n".join([*_lines(changes), *notes]) + "\n"


def _lines(changes: Changes) -> Iterator[str]:
    yield from (f"+ create  {called(urn)}" for urn in changes.created)
    yield from (f"- delete  {called(urn)}" for urn in changes.deleted)
    for update in changes.updated:
        yield f"{'! replace' if update.replaced_by else '~ update '} {called(update.urn)}"
        for change in (*update.inputs, *update.options):
            yield f"    {_values(change)}{'  (replaces)' if change.path in update.replaced_by else ''}"
    yield from (f"~ output  {_values(change)}" for change in changes.outputs)


def _values(change: Change) -> str:
    old, new = change.old, change.new
    if isinstance(old, str) and isinstance(new, str):
        pairs = enumerate(zip(old, new, strict=False))
        same = next((place for place, (a, b) in pairs if a != b), 0) - CONTEXT
        if same > CONTEXT:
            old, new = f"... {old[same:]}", f"... {new[same:]}"
    before, after = ("none" if value is ABSENT else shown(value) for value in (old, new))
    return f"{change.path}: {before} -> {after}"


def to_json(changes: Changes, since: str) -> dict[str, object]:
    """Give all changes as JSON values."""
    return {
        "since": since,
        "created": list(changes.created),
        "deleted": list(changes.deleted),
        "updated": [_update(update) for update in changes.updated],
        "outputs": [_change(change) for change in changes.outputs],
        "refused": list(changes.refused),
    }


def _update(update: Update) -> dict[str, object]:
    return {
        "urn": update.urn,
        "inputs": [_change(change) for change in update.inputs],
        "options": [_change(change) for change in update.options],
        "replacedBy": list(update.replaced_by),
    }


def _change(change: Change) -> dict[str, object]:
    values = {"old": change.old, "new": change.new}
    return {"path": change.path, **{name: value for name, value in values.items() if value is not ABSENT}}
