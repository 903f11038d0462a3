"""What the parts of a stack ask of each other, checked before anything exists.

`mistakes` are refused, `warnings` are said. Both are lines of the form `field = value: rule; remedy`. A
rule that asks for a field which is wrong itself ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from slipway.problems import lines_of
from slipway.settings.azure import Azure
from slipway.settings.checks import nodes, places, ranges, room, router, stack
from slipway.settings.checks.warnings import warnings

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

__all__ = ["mistakes", "warnings"]

RULES: tuple[Callable[[Settings], Iterator[str]], ...] = (*stack.RULES, *router.RULES)
AZURE_RULES: tuple[Callable[[Settings, Azure], Iterator[str]], ...] = (
    *places.RULES,
    *ranges.RULES,
    *nodes.RULES,
    *room.RULES,
)


def mistakes(settings: Settings) -> list[str]:
    """Name each broken rule between sections, with its values and remedy."""
    return [line for rule in (*RULES, _azure) for line in lines_of(rule, settings)]


def _azure(settings: Settings) -> Iterator[str]:
    if settings.azure is not None:
        for rule in AZURE_RULES:
            yield from lines_of(rule, settings, settings.azure)
