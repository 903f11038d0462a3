"""Put pods on nodes the simple way: the largest first, each on the first node with room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slipway.sizing.bins import Bin, Kind, Run, Vector, per_node, take


def first_fit(
    kinds: Sequence[Kind],
    counts: Sequence[int],
    bins: Sequence[Bin],
    left: Mapping[str, int],
) -> tuple[Run, ...] | None:
    """Put those first that can stand on the fewest bins, then the largest; None where one finds no room."""
    whole = [max(1, sum(one.size[r] * one.most for one in bins)) for r in range(4)]
    order = sorted(
        (k for k, count in enumerate(counts) if count),
        key=lambda k: (
            len(kinds[k].bins),
            -sum(need / have for need, have in zip(kinds[k].size, whole, strict=True)),
        ),
    )
    wanted = [sum(b in kinds[k].bins for k in order) for b in range(len(bins))]
    budgets = dict(left)
    open_: list[list[Run]] = [
        [Run(b, one.least, one.size, ())] if one.least else [] for b, one in enumerate(bins)
    ]
    spare = [one.most - one.least for one in bins]
    full: list[Run] = []
    smallest = _smallest([kinds[k].size for k in order])
    for place, k in enumerate(order):
        count, size = counts[k], kinds[k].size
        for b in sorted(kinds[k].bins, key=wanted.__getitem__):
            count = _fill(open_[b], k, size, count)
            if not count:
                break
            if nodes := _more(bins[b], size, count, spare[b], budgets):
                spare[b] -= nodes
                fresh = [Run(b, nodes, bins[b].size, ())]
                count = _fill(fresh, k, size, count)
                open_[b] += fresh
        if count:
            return None
        if place % 16 == 0:
            _set_aside(open_, full, smallest[place + 1])
    return (*full, *(run for runs in open_ for run in runs))


def _more(one: Bin, size: Vector, count: int, spare: int, budgets: dict[str, int]) -> int:
    """Take as many further nodes as the pods need, and as spare nodes and budget allow."""
    each = per_node(one.size, size)
    nodes = min(spare, -(-count // each)) if each else 0
    if one.budget is not None and one.cost:
        nodes = min(nodes, budgets[one.budget] // one.cost)
        budgets[one.budget] -= nodes * one.cost
    return nodes


def _fill(runs: list[Run], k: int, size: Vector, count: int) -> int:
    """Put pods of a kind on nodes in turn, splitting equal nodes that differ then; give what is over."""
    cpu, memory, accelerators, pods = size
    place = 0
    while count and place < len(runs):
        b, nodes, left, on = run = runs[place]
        place += 1
        if left[0] < cpu or left[1] < memory or left[2] < accelerators or left[3] < pods:
            continue
        each = per_node(left, size)
        packed = min(nodes, count // each)
        rest = count - packed * each if packed < nodes else 0
        parts = [Run(b, packed, take(left, size, each), (*on, (k, each)))] if packed else []
        if rest:
            parts.append(Run(b, 1, take(left, size, rest), (*on, (k, rest))))
        if untouched := nodes - packed - bool(rest):
            parts.append(run._replace(nodes=untouched))
        runs[place - 1 : place] = parts
        place += len(parts) - 1
        count -= packed * each + rest
    return count


def _set_aside(open_: list[list[Run]], full: list[Run], least: Vector) -> None:
    """Leave out nodes on which no pod that is still to come finds room."""
    for runs in open_:
        keep = [run for run in runs if all(map(int.__ge__, run.left, least))]
        if len(keep) < len(runs):
            full += [run for run in runs if not all(map(int.__ge__, run.left, least))]
            runs[:] = keep


def _smallest(sizes: Sequence[Vector]) -> list[Vector]:
    """Give the least of each resource that any size needs, from each place on; after the last, nothing."""
    found: list[Vector] = [(0, 0, 0, 0)]
    least = sizes[-1] if sizes else found[0]
    for size in reversed(sizes):
        least = (
            min(size[0], least[0]),
            min(size[1], least[1]),
            min(size[2], least[2]),
            min(size[3], least[3]),
        )
        found.append(least)
    return found[::-1]
