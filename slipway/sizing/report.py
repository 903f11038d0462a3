"""The arithmetic of an environment as a table for people, and as JSON with the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network

from slipway.sizing.addresses import usable
from slipway.sizing.bins import Fit
from slipway.sizing.capacity import Placement
from slipway.sizing.demands import Demand, Pool
from slipway.sizing.growth import Limit
from slipway.sizing.resources import MIB_PER_GB, Resources
from slipway.sizing.stage import PoolUse

NAMED = 3
"""How many of the pods that stand on a pool the table names; JSON has them all."""


@dataclass(frozen=True)
class Share:
    """Nodes of a pool, and how many percent of them pods ask for, by resource; a full node is 100."""

    nodes: int
    percent: Mapping[str, int]
    pods: Mapping[str, int]


@dataclass(frozen=True)
class PoolRow:
    """A pool: what one node offers to pods, and what stands on it at the lowest scale and at most."""

    name: str
    vm: str
    min_nodes: int
    max_nodes: int
    node: Resources
    accelerator: str | None
    now: Share | None
    full: Share


@dataclass(frozen=True)
class DemandRow:
    """Equal pods: what one asks for, how many are wanted and fit, and the load in requests/s they carry."""

    name: str
    pod: Resources
    accelerator: str | None
    min_replicas: int
    max_replicas: int
    fit_replicas: int
    min_load: float | None
    fit_load: float | None


@dataclass(frozen=True)
class SubnetRow:
    """A subnet: the addresses that everything in it takes with all nodes and a surge, and those it has."""

    name: str
    range: str
    needed: int
    available: int


@dataclass(frozen=True)
class Report:
    """Everything that the table shows."""

    at_min: Fit
    at_max: Fit
    limits: tuple[Limit, ...]
    pools: tuple[PoolRow, ...]
    demands: tuple[DemandRow, ...]
    subnets: tuple[SubnetRow, ...]


def subnet_row(name: str, network: IPv4Network, needed: int) -> SubnetRow:
    """Give a subnet's line; Azure's own five addresses are neither needed nor available."""
    return SubnetRow(name, str(network), needed, usable(network))


def report(
    pools: Sequence[Pool],
    vms: Mapping[str, str],
    demands: Sequence[Demand],
    placement: Placement,
    subnets: Sequence[SubnetRow] = (),
) -> Report:
    """Collect what the table shows; `vms` gives each pool's VM size by the pool's name."""
    return Report(
        at_min=placement.at_min,
        at_max=placement.at_max,
        limits=placement.limits,
        pools=tuple(
            PoolRow(
                name=pool.name,
                vm=vms[pool.name],
                min_nodes=pool.min_nodes,
                max_nodes=pool.max_nodes,
                node=pool.node,
                accelerator=pool.accelerator,
                now=None if placement.now is None else _share(pool, placement.now[pool.name]),
                full=_share(pool, placement.full[pool.name]),
            )
            for pool in pools
        ),
        demands=tuple(_demand_row(demand, placement.replicas[demand.name]) for demand in demands),
        subnets=tuple(subnets),
    )


def as_json(shown: Report) -> str:
    """Write a report as JSON: its fields, as they are named here."""
    return json.dumps(asdict(shown), indent=2)


def table(shown: Report) -> str:
    """Write a report for people: pools, pods, subnets, then what fits and what runs out first."""
    parts = [
        _columns(
            (
                "pool",
                "vm",
                "nodes",
                "a node offers",
                "lowest scale",
                "as far as it fits",
                "stands there then",
            ),
            [_pool_cells(row) for row in shown.pools],
        ),
        _columns(
            ("pods", "one asks for", "replicas", "fit", "requests/s at target"),
            [_demand_cells(row) for row in shown.demands],
        ),
    ]
    if shown.subnets:
        rows = [(row.name, row.range, str(row.needed), str(row.available)) for row in shown.subnets]
        parts.append(_columns(("subnet", "range", "addresses needed", "available"), rows))
    parts.append(
        "\n".join([f"lowest scale: {shown.at_min}", f"full scale: {shown.at_max}", *_endings(shown)])
    )
    return "\n\n".join(parts)


def _share(pool: Pool, use: PoolUse) -> Share:
    names = ("cpu", "memory", pool.accelerator or "accelerators", "pods")
    have = (pool.node * use.nodes).vector
    percent = {
        name: -(-100 * used // of) for name, used, of in zip(names, use.used.vector, have, strict=True) if of
    }
    return Share(use.nodes, percent, use.pods)


def _demand_row(demand: Demand, replicas: int) -> DemandRow:
    return DemandRow(
        name=demand.name,
        pod=demand.pod,
        accelerator=demand.accelerator,
        min_replicas=demand.min_replicas,
        max_replicas=demand.max_replicas,
        fit_replicas=replicas,
        min_load=None if demand.load is None else demand.load * demand.min_replicas,
        fit_load=None if demand.load is None else demand.load * replicas,
    )


def _pool_cells(row: PoolRow) -> tuple[str, ...]:
    most = sorted(row.full.pods.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {number}" for name, number in most[:NAMED])
    more = f", {len(most) - NAMED} more" if len(most) > NAMED else ""
    return (
        row.name,
        row.vm,
        _span(row.min_nodes, row.max_nodes),
        f"{_amount(row.node, row.accelerator)} {row.node.pods} pods",
        _used(row.now),
        _used(row.full),
        named + more or "-",
    )


def _demand_cells(row: DemandRow) -> tuple[str, ...]:
    loads = "-"
    if row.min_load is not None and row.fit_load is not None:
        loads = f"{_number(row.min_load)}..{_number(row.fit_load)}"
    return (
        row.name,
        _amount(row.pod, row.accelerator),
        _span(row.min_replicas, row.max_replicas),
        str(row.fit_replicas),
        loads,
    )


def _endings(shown: Report) -> list[str]:
    """Say what runs out, the first first."""
    lines: list[str] = []
    for place, limit in enumerate(shown.limits):
        load = "" if limit.load is None else f", {_number(limit.load)} requests/s"
        reason = (
            f"{limit.resource} on {', '.join(limit.pools)}, "
            f"when {limit.demand} has {_plural(limit.replicas, 'replica')}{load}"
            if limit.pools
            else f"no pool has the labels, taints and accelerator for {limit.demand}"
        )
        doubt = "" if limit.proved else "; more may fit"
        lines.append(f"{'then' if place else 'runs out first'}: {reason}{doubt}")
    return lines


def _used(share: Share | None) -> str:
    """Name the resource that is fullest."""
    if share is None:
        return "-"
    name, percent = max(share.percent.items(), key=lambda item: item[1], default=("cpu", 0))
    return f"{_plural(share.nodes, 'node')}, {name} {percent} %"


def _amount(resources: Resources, accelerator: str | None) -> str:
    gib, mib = f"{resources.memory / MIB_PER_GB:.1f}".removesuffix(".0"), resources.memory
    cards = f" {resources.accelerators} {accelerator or 'accelerators'}" if resources.accelerators else ""
    return f"{resources.cpu}m {f'{mib}Mi' if mib < MIB_PER_GB else f'{gib}Gi'}{cards}"


def _number(load: float) -> str:
    return f"{load:,.1f}".removesuffix(".0")


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _span(least: int, most: int) -> str:
    return str(least) if least == most else f"{least}..{most}"


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)
