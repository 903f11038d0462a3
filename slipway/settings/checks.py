"""What the parts of a stack ask of each other, checked before anything exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipway.settings.stack import Settings


def mistakes(settings: Settings) -> list[str]:
    """Name each broken rule between sections, with its values and remedy."""
    lines: list[str] = []
    if (settings.kubernetes is None) == (settings.azure is None):
        lines.append(
            "kubernetes and azure: a stack stands on one of them; give "
            + ("one" if settings.azure is None else "only one")
        )
    return lines


def warnings(settings: Settings) -> list[str]:
    """Name what works and should be changed all the same."""
    del settings
    return []
