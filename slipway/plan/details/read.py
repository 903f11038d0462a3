"""Reading of values that may be absent, unknown or masked."""

from __future__ import annotations

from typing import Any, cast

Properties = dict[str, Any]


def properties(value: object) -> Properties:
    """Give a mapping, empty for anything else."""
    return cast("Properties", value) if isinstance(value, dict) else {}


def mappings(value: object) -> list[Properties]:
    """Give a list of mappings, empty for anything else."""
    return [properties(item) for item in cast("list[object]", value)] if isinstance(value, list) else []
