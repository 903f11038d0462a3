"""Whether subnets have addresses for the nodes, and nodes room for the pods."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from slipway.problems import lines_of
from slipway.settings import capacity
from slipway.settings.azure import Azure
from slipway.settings.derived import prefixes
from slipway.sizing.addresses import smallest_prefix, usable
from slipway.sizing.bins import Fit
from slipway.sizing.capacity import Placement
from slipway.sizing.growth import Limit
from slipway.spec import WebserviceSpec

if TYPE_CHECKING:
    from slipway.settings.stack import Settings


WHOLE = ("nodes", "fragmentation")
"""What ends growth where no single resource of a pool does."""


def _addresses(_: Settings, azure: Azure) -> Iterator[str]:
    found, most = prefixes(azure), usable(IPv4Network("10.0.0.0/8"))
    for role, needed in _short(azure).items():
        yield (
            f"azure.network.subnets.{role} = {found[role]} has {usable(found[role])} addresses, and its "
            f"nodes need {needed} with their surge: give a /{smallest_prefix(min(needed, most))}"
        )


def _short(azure: Azure) -> dict[str, int]:
    """Give the addresses that nodes need of each subnet which has fewer."""
    found, needed = prefixes(azure), capacity.addresses(azure)
    return {role: number for role, number in needed.items() if role in found and number > usable(found[role])}


def placeable(azure: Azure) -> bool:
    """Tell whether pods can be placed: on nodes that are known, there and have their addresses.

    Nodes of an attached cluster and of unknown VMs are not known.
    """
    pools = capacity.agent_pools(azure)
    known = bool(pools) and len(capacity.pools(azure)) == len(pools)
    return known and azure.cluster.system_pool.least > 0 and not _short(azure)


def _fit(settings: Settings, azure: Azure) -> Iterator[str]:
    if not placeable(azure):
        return
    placed = capacity.placement_at_expected_load(settings, azure)
    if placed.at_min is Fit.NO:
        yield f"azure.cluster: not even the lowest scale fits on its nodes: {first_limit(placed)}"
    elif placed.at_max is Fit.NO:
        for spec in settings.services:
            yield from lines_of(_expected, spec, placed)


def _expected(spec: WebserviceSpec, placed: Placement) -> Iterator[str]:
    needed, fit = capacity.wanted(spec), placed.replicas[spec.name]
    if fit < needed <= (spec.num_replicas or spec.autoscale_max_replicas):
        yield (
            f"{spec.at}.expected_load needs {needed} replicas, and {fit} fit on the nodes: "
            f"{first_limit(placed)}"
        )


def first_limit(placed: Placement) -> str:
    """Say what runs out first, and what to do."""
    return _limit(placed.limits[0]) if placed.limits else "raise max_count of a pool"


def _limit(limit: Limit) -> str:
    if not limit.pools:
        return f"no pool takes the pods of {limit.demand}; add one with their accelerator and no other taints"
    load = f" ({limit.load:g} requests/s)" if limit.load is not None else ""
    missing = "node with room for one more" if limit.resource in WHOLE else f"{limit.resource} left"
    return (
        f"{limit.demand} stops at {limit.replicas} replicas{load}, because there is no {missing} on "
        f"{' and '.join(limit.pools)}; raise max_count or choose a larger vm_size"
    )


RULES = (_addresses, _fit)
