"""Whether pods can stand on nodes: proof that they cannot, a way that they can, and else a search for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from slipway.sizing.bins import Bin, Fit, Kind, Run, per_node
from slipway.sizing.first_fit import first_fit
from slipway.sizing.search import GaveUpError, Search

SMALL = 48
"""The search tries no more pods than these: beyond, it seldom ends."""


class Packing(NamedTuple):
    """The answer, and with YES the nodes and what is on them."""

    fit: Fit
    runs: tuple[Run, ...] = ()


def pack(
    kinds: Sequence[Kind], counts: Sequence[int], bins: Sequence[Bin], budgets: Mapping[str, int]
) -> Packing:
    """Place so many pods of each kind, or say that it cannot be done.

    `MAYBE` only for more than `SMALL` pods, or where the search for few takes too many steps.
    """
    left = after_least(bins, budgets)
    if any(value < 0 for value in left.values()):
        return Packing(Fit.NO)
    kinds = [
        Kind(kind.size, frozenset(b for b in kind.bins if per_node(bins[b].size, kind.size)))
        for kind in kinds
    ]
    if not _within_bounds(kinds, counts, bins, left):
        return Packing(Fit.NO)
    if (runs := first_fit(kinds, counts, bins, left)) is not None:
        return Packing(Fit.YES, runs)
    if sum(counts) > SMALL:
        return Packing(Fit.MAYBE)
    try:
        found = Search(kinds, bins, left).run(tuple(counts))
    except GaveUpError:
        return Packing(Fit.MAYBE)
    return Packing(Fit.NO) if found is None else Packing(Fit.YES, found)


def after_least(bins: Sequence[Bin], budgets: Mapping[str, int]) -> dict[str, int]:
    """Give what the nodes that are always there leave of each budget; below 0 where they have no room."""
    left = dict(budgets)
    for one in bins:
        if one.budget is not None:
            left[one.budget] -= one.least * one.cost
    return left


def _within_bounds(
    kinds: Sequence[Kind], counts: Sequence[int], bins: Sequence[Bin], left: Mapping[str, int]
) -> bool:
    """Tell whether no simple count forbids it: each kind alone, and each resource for kinds together."""
    asked = [(kind, count) for kind, count in zip(kinds, counts, strict=True) if count]
    for kind, count in asked:
        if count > _at_most(bins, left, {b: per_node(bins[b].size, kind.size) for b in kind.bins}):
            return False
    for among in _unions({kind.bins for kind, _ in asked}):
        inside = [(kind.size, count) for kind, count in asked if kind.bins <= among]
        for r in range(4):
            need = sum(size[r] * count for size, count in inside)
            if need > _at_most(bins, left, {b: bins[b].size[r] for b in among}):
                return False
    return True


def _unions(sets: set[frozenset[int]]) -> set[frozenset[int]]:
    """Give the sets, their unions by two and the union of all."""
    pairs = {a | b for a, b in combinations(sorted(sets, key=sorted)[:16], 2)}
    return sets | pairs | {frozenset[int]().union(*sets)}


def _at_most(bins: Sequence[Bin], left: Mapping[str, int], worth: Mapping[int, int]) -> int:
    """Give the most that nodes can offer together, when each of a bin is worth so much.

    A budget goes to the bins with the most worth for it, to the last address: no less than any whole
    number of nodes can be worth.
    """
    total = sum(bins[b].least * each for b, each in worth.items())
    rest = dict(left)
    for b, each in sorted(worth.items(), key=lambda item: -item[1] / (bins[item[0]].cost or 1)):
        one, more = bins[b], bins[b].most - bins[b].least
        if one.budget is None or one.cost == 0:
            total += more * each
            continue
        spent = min(more * one.cost, rest[one.budget])
        rest[one.budget] -= spent
        total += spent * each // one.cost
    return total
