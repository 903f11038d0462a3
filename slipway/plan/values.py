"""A graph as JSON values without a secret in them.

Secrets are masked where they are marked, and by value in every other text of the graph, because a
program may have put one into a larger text.
"""

from __future__ import annotations

from slipway.engine.graph import (
    Asset,
    Graph,
    Reference,
    Registration,
    Secret,
    Unknown,
    Value,
    secrets,
)
from slipway.engine.mask import MASK, Mask

NOTE = "a plan of the graph alone: no diff, no check of a provider, no drift"


def to_json(graph: Graph) -> dict[str, object]:
    """Give the whole graph as JSON values, sorted by URN."""
    mask = Mask(secrets(graph))
    return {
        "project": graph.project,
        "stack": graph.stack,
        "note": NOTE,
        "resources": [_resource(registration, mask) for registration in graph.registrations],
        "outputs": masked(graph.outputs, mask),
        "encryptedConfig": list(graph.encrypted_config),
        "unasked": list(graph.unasked),
    }


def masked(value: Value, mask: Mask) -> object:  # noqa: PLR0911 one for each kind of value
    """Give a value as JSON would hold it; what is unknown or secret, or both, as a word in brackets."""
    match value:
        case Secret():
            return MASK
        case Unknown():
            return value.value
        case str():
            return mask(value)
        case Reference(urn, identity):
            return {"urn": urn} if identity is None else {"urn": urn, "id": masked(identity, mask)}
        case Asset(archive, fields):
            return {"archive" if archive else "asset": masked(dict(fields), mask)}
        case list():
            return [masked(item, mask) for item in value]
        case dict():
            return {mask(name): masked(item, mask) for name, item in sorted(value.items())}
        case _:
            return value


def _resource(found: Registration, mask: Mask) -> dict[str, object]:
    every: dict[str, Value] = {
        "urn": found.urn,
        "type": found.type,
        "name": found.name,
        "custom": found.custom,
        "parent": found.parent,
        "inputs": found.inputs,
        "outputs": {} if found.custom else found.outputs,
        "dependencies": list(found.dependencies),
        "propertyDependencies": {name: list(urns) for name, urns in found.property_dependencies.items()},
        "provider": found.provider,
        "protect": found.protect,
        "ignoreChanges": list(found.ignore_changes),
        "aliases": list(found.aliases),
        "version": found.version,
        "external": found.external,
        "source": found.source,
        "options": found.options,
    }
    unset: list[Value] = ["", [], {}, False]
    return {
        name: masked(value, mask) for name, value in every.items() if value not in unset or name == "custom"
    }
