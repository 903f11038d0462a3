"""Find a place for every pod, or prove that there is none, by trying; for few pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from slipway.sizing.bins import Bin, Kind, Run, Vector, per_node, take

EFFORT = 20_000
"""Steps after which the search gives up."""


class GaveUpError(Exception):
    """The search took more steps than it may."""


class Search:
    """Fills node after node in every way that leaves no room for another pod, and remembers dead ends.

    More pods on an earlier node never hurt, so ways that leave room need not be tried.
    """

    def __init__(self, kinds: Sequence[Kind], bins: Sequence[Bin], left: Mapping[str, int]) -> None:
        self._kinds = kinds
        self._bins = bins
        self._budgets = sorted(left)
        self._left = tuple(left[name] for name in self._budgets)
        self._steps = 0
        self._dead: set[tuple[object, ...]] = set()

    def run(self, counts: tuple[int, ...]) -> tuple[Run, ...] | None:
        """Give nodes with all pods on them, or None where no way leads there. Raises GaveUpError."""
        return self._visit(0, 0, counts, self._left)

    def _visit(
        self, b: int, nodes: int, counts: tuple[int, ...], left: tuple[int, ...]
    ) -> tuple[Run, ...] | None:
        if not any(counts):
            return ()
        state = (b, nodes, counts, left)
        if b == len(self._bins) or state in self._dead:
            return None
        self._step()
        one = self._bins[b]
        after = self._spend(one, left) if nodes >= one.least else left
        tried = False
        if nodes < one.most and after is not None:
            for pods, rest in self._ways(b, counts):
                tried = True
                found = self._visit(b, nodes + 1, rest, after)
                if found is not None:
                    room = one.size
                    for k, number in pods:
                        room = take(room, self._kinds[k].size, number)
                    return (Run(b, 1, room, pods), *found)
        if not tried or (one.budget is not None and nodes >= one.least):  # a node less may help another bin
            found = self._visit(b + 1, 0, counts, left)
            if found is not None:
                return found
        self._dead.add(state)
        return None

    def _step(self) -> None:
        self._steps += 1
        if self._steps > EFFORT:
            raise GaveUpError

    def _spend(self, one: Bin, left: tuple[int, ...]) -> tuple[int, ...] | None:
        if one.budget is None:
            return left
        place = self._budgets.index(one.budget)
        if left[place] < one.cost:
            return None
        return (*left[:place], left[place] - one.cost, *left[place + 1 :])

    def _ways(
        self, b: int, counts: tuple[int, ...]
    ) -> Iterator[tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]:
        """Give each way to fill a node of a bin, and the pods that remain."""
        able = [k for k, count in enumerate(counts) if count and b in self._kinds[k].bins]

        def choose(
            place: int, room: Vector, pods: tuple[tuple[int, int], ...]
        ) -> Iterator[tuple[tuple[int, int], ...]]:
            self._step()
            if place == len(able):
                chosen = dict(pods)
                if pods and not any(
                    chosen.get(k, 0) < counts[k] and per_node(room, self._kinds[k].size) for k in able
                ):
                    yield pods
                return
            k = able[place]
            size = self._kinds[k].size
            for number in range(min(counts[k], per_node(room, size)), -1, -1):
                yield from choose(
                    place + 1, take(room, size, number), (*pods, (k, number)) if number else pods
                )

        for pods in choose(0, self._bins[b].size, ()):
            rest = list(counts)
            for k, number in pods:
                rest[k] -= number
            yield pods, tuple(rest)
