"""Pods and nodes as numbers: what `packing` decides about.

Vectors are (cpu, memory, accelerators, pods), as `Resources` has them. Pods that are alike are one `Kind`
with a number, nodes that are alike one `Bin`, so that work grows with kinds and nodes, not with pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Vector = tuple[int, int, int, int]


@dataclass(frozen=True)
class Kind:
    """Pods that are alike, and the bins on whose nodes they may stand."""

    size: Vector
    bins: frozenset[int]


@dataclass(frozen=True)
class Bin:
    """Nodes that are alike: `least` are always there, `most` is as many as there can be.

    Each takes `cost` of the budget that it names, if it names one.
    """

    size: Vector
    least: int
    most: int
    budget: str | None = None
    cost: int = 0


class Fit(StrEnum):
    """The three answers; the last only for many pods of several kinds on nodes that are nearly full."""

    YES = "fits"
    NO = "does not fit"
    MAYBE = "may not fit: fragmentation"


class Run(NamedTuple):
    """Equal nodes of a bin with equal pods on each: what is left of each, and (kind, pods) on it."""

    bin: int
    nodes: int
    left: Vector
    pods: tuple[tuple[int, int], ...]


def per_node(left: Vector, size: Vector) -> int:
    """Give how many pods of a size find room."""
    return min(have // need for have, need in zip(left, size, strict=True) if need)


def take(left: Vector, size: Vector, times: int) -> Vector:
    return (
        left[0] - size[0] * times,
        left[1] - size[1] * times,
        left[2] - size[2] * times,
        left[3] - size[3] * times,
    )
