"""Placing pods on nodes: against a placer that tries everything, and at the size of a thousand services."""

from collections.abc import Iterator, Sequence
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.sizing import Demand, Fit, Placement, Pool, Resources, allocatable, place
from slipway.sizing.vms import NVIDIA, VMS

TAINT = "sku=gpu:NoSchedule"
Room = list[int]


def brute_fits(
    pools: Sequence[Pool], demands: Sequence[Demand], replicas: Sequence[int], subnets: dict[str, int]
) -> bool:
    """Try every number of nodes that the subnets have room for, and every node for every pod."""
    pods = [demand for demand, number in zip(demands, replicas, strict=True) for _ in range(number)]
    choices = [range(pool.min_nodes, pool.max_nodes + 1) for pool in pools]
    return any(
        _addresses(pools, numbers, subnets) and _assign(pods, list(_nodes(pools, numbers)))
        for numbers in product(*choices)
    )


def _addresses(pools: Sequence[Pool], numbers: Sequence[int], subnets: dict[str, int]) -> bool:
    return all(
        sum(n * pool.addresses for n, pool in zip(numbers, pools, strict=True) if pool.subnet == name) <= room
        for name, room in subnets.items()
    )


def _nodes(pools: Sequence[Pool], numbers: Sequence[int]) -> Iterator[tuple[Pool, Room]]:
    for pool, number in zip(pools, numbers, strict=True):
        for _ in range(number):
            yield pool, [pool.node.cpu, pool.node.memory, pool.node.accelerators, pool.node.pods]


def _assign(pods: Sequence[Demand], nodes: list[tuple[Pool, Room]], first: int = 0) -> bool:
    if not pods:
        return True
    pod, rest = pods[0], pods[1:]
    need = [pod.pod.cpu, pod.pod.memory, pod.pod.accelerators, 1]
    for index in range(first, len(nodes)):
        pool, room = nodes[index]
        allowed = pool.taints <= pod.tolerates and pod.node_selector <= pool.labels
        fitting = allowed and (pod.accelerator is None or pod.accelerator == pool.accelerator)
        if not fitting or any(have < want for have, want in zip(room, need, strict=True)):
            continue
        for r in range(4):
            room[r] -= need[r]
        found = _assign(rest, nodes, index if rest and rest[0] is pod else 0)
        for r in range(4):
            room[r] += need[r]
        if found:
            return True
    return False


@st.composite
def pools_(draw: st.DrawFn) -> list[Pool]:
    pools: list[Pool] = []
    for index in range(draw(st.integers(1, 3))):
        gpu = draw(st.booleans()) and index > 0
        least = draw(st.integers(0, 2))
        pools.append(
            Pool(
                name=f"pool{index}",
                node=Resources(
                    cpu=draw(st.integers(2, 8)),
                    memory=draw(st.integers(2, 8)),
                    accelerators=draw(st.integers(1, 2)) if gpu else 0,
                    pods=draw(st.integers(1, 4)),
                ),
                min_nodes=least,
                max_nodes=draw(st.integers(max(1, least), 3)),
                accelerator=NVIDIA if gpu else None,
                taints=frozenset({TAINT}) if gpu and draw(st.booleans()) else frozenset(),
                labels=frozenset({("team", "a")}) if draw(st.booleans()) else frozenset(),
                subnet=draw(st.sampled_from([None, "one", "one", "two"])),
                addresses=draw(st.integers(1, 4)),
            )
        )
    return pools


@st.composite
def demands_(draw: st.DrawFn) -> list[Demand]:
    demands: list[Demand] = []
    for index in range(draw(st.integers(1, 4))):
        gpu = draw(st.integers(0, 3)) == 0
        least = draw(st.integers(0, 2))
        demands.append(
            Demand(
                name=f"demand{index}",
                pod=Resources(
                    cpu=draw(st.integers(1, 5)), memory=draw(st.integers(1, 5)), accelerators=int(gpu)
                ),
                min_replicas=least,
                max_replicas=draw(st.integers(max(1, least), 4)),
                accelerator=NVIDIA if gpu else None,
                tolerates=frozenset({TAINT}) if gpu else frozenset(),
                node_selector=frozenset({("team", "a")}) if draw(st.integers(0, 4)) == 0 else frozenset(),
                load=draw(st.sampled_from([None, 2.5])),
            )
        )
    return demands


budgets = st.fixed_dictionaries({"one": st.integers(0, 10), "two": st.integers(0, 10)})


@settings(
    max_examples=1000,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(pools_(), demands_(), budgets)
def test_a_thousand_random_settings_agree_with_a_placer_that_tries_everything(
    pools: list[Pool], demands: list[Demand], subnets: dict[str, int]
) -> None:
    found = place(pools, demands, subnets)
    lowest = [demand.min_replicas for demand in demands]
    highest = [demand.max_replicas for demand in demands]

    assert found.at_min is (Fit.YES if brute_fits(pools, demands, lowest, subnets) else Fit.NO)
    assert found.at_max is (Fit.YES if brute_fits(pools, demands, highest, subnets) else Fit.NO)
    end = lowest if found.at_min is Fit.NO else highest
    replicas = [found.replicas[demand.name] for demand in demands]
    if any(replicas):
        assert brute_fits(pools, demands, replicas, subnets)
    stopped = {limit.demand for limit in found.limits}
    for index, demand in enumerate(demands):
        more = [number + (place == index) for place, number in enumerate(replicas)]
        if demand.name in stopped:
            assert not brute_fits(pools, demands, more, subnets)
            assert replicas[index] < end[index]
        elif not stopped:
            assert replicas[index] == end[index]
    for limit in found.limits:
        assert limit.proved
        assert limit.replicas == found.replicas[limit.demand]
        load = next(demand.load for demand in demands if demand.name == limit.demand)
        assert limit.load == (None if load is None else load * limit.replicas)
    if any(replicas):
        check_use(pools, demands, found, subnets)


def check_use(
    pools: Sequence[Pool], demands: Sequence[Demand], found: Placement, subnets: dict[str, int]
) -> None:
    """Every replica stands once, on nodes that exist, have room for all of it, and have addresses."""
    for demand in demands:
        assert sum(use.pods.get(demand.name, 0) for use in found.full.values()) == found.replicas[demand.name]
    for pool in pools:
        use, size = found.full[pool.name], pool.node * found.full[pool.name].nodes
        assert pool.min_nodes <= use.nodes <= pool.max_nodes
        assert all(map(int.__le__, use.used.vector, size.vector))
    numbers = [found.full[pool.name].nodes for pool in pools]
    assert _addresses(pools, numbers, subnets)


def one(node: Resources, nodes: int = 2, **more: object) -> Pool:
    return Pool("pool", node, 1, nodes, **more)  # pyright: ignore[reportArgumentType] - any of its fields


NODE = Resources(cpu=4000, memory=8000, pods=10)


@pytest.mark.parametrize(
    ("pod", "addresses", "resource", "replicas"),
    [
        (Resources(1000, 100), 0, "cpu", 8),
        (Resources(10, 3000), 0, "memory", 4),
        (Resources(10, 10), 0, "pods", 20),
        (Resources(4000, 8000), 0, "nodes", 2),
        (Resources(1000, 2000), 31, "addresses", 4),
        (Resources(5000, 100), 0, "cpu", 0),
    ],
)
def test_what_runs_out_is_what_would_help_if_it_were_endless(
    pod: Resources, addresses: int, resource: str, replicas: int
) -> None:
    pool = one(NODE, subnet="nodes", addresses=addresses)
    found = place([pool], [Demand("a", pod, 0, 50, load=1.5)], {"nodes": 61})
    assert found.replicas == {"a": replicas}
    [limit] = found.limits
    assert (limit.resource, limit.replicas, limit.pools) == (resource, replicas, ("pool",))
    assert limit.load == 1.5 * replicas


def test_when_accelerators_run_out_then_the_other_services_grow_on() -> None:
    gpus = Pool("gpus", Resources(6000, 50_000, 1, 20), 1, 3, NVIDIA, frozenset({TAINT}))
    cpus = one(NODE, 10)
    scorer = Demand("gpu", Resources(1000, 4000, 1), 1, 10, NVIDIA, frozenset({TAINT}))
    found = place([cpus, gpus], [scorer, Demand("cpu", Resources(1000, 1000), 1, 40)])
    assert found.at_min is Fit.YES
    assert found.at_max is Fit.NO
    assert found.replicas == {"gpu": 3, "cpu": 40}
    assert [(limit.demand, limit.resource, limit.pools) for limit in found.limits] == [
        ("gpu", NVIDIA, ("gpus",))
    ]
    assert found.full["gpus"].pods == {"gpu": 3}


def test_a_pod_stands_on_no_node_with_a_taint_it_does_not_tolerate_or_without_its_label() -> None:
    system = one(NODE, taints=frozenset({"CriticalAddonsOnly=true:NoSchedule"}))
    pod = Resources(100, 100)
    assert place([system], [Demand("a", pod, 1, 1)]).at_min is Fit.NO
    assert place([system], [Demand("a", pod, 1, 1, tolerates=system.taints)]).at_min is Fit.YES
    labelled = Demand("a", pod, 1, 1, node_selector=frozenset({("team", "a")}))
    assert place([one(NODE)], [labelled]).at_min is Fit.NO
    assert place([one(NODE, labels=labelled.node_selector)], [labelled]).at_min is Fit.YES
    accelerated = Demand("a", Resources(100, 100, 1), 1, 1, NVIDIA)
    fpgas = one(Resources(4000, 8000, 1, 10), accelerator="amd.com/fpga")
    assert place([fpgas], [accelerated]).at_min is Fit.NO


def test_when_the_lowest_scale_does_not_fit_then_it_says_how_much_of_it_does() -> None:
    found = place([one(NODE)], [Demand("a", Resources(1000, 100), 12, 20)])
    assert (found.at_min, found.at_max, found.now) == (Fit.NO, Fit.NO, None)
    assert found.replicas == {"a": 8}


def test_when_nodes_that_are_always_there_have_no_addresses_then_nothing_fits() -> None:
    pool = one(NODE, subnet="nodes", addresses=31)
    found = place([pool], [Demand("a", Resources(100, 100), 1, 1)], {"nodes": 30})
    assert (found.at_min, found.at_max, found.replicas) == (Fit.NO, Fit.NO, {"a": 0})
    assert [limit.resource for limit in found.limits] == ["addresses"]


def test_when_addresses_suffice_for_one_node_then_it_is_of_the_pool_that_holds_the_pods() -> None:
    small = Pool("small", Resources(4, 4, 0, 10), 0, 3, subnet="nodes", addresses=10)
    large = Pool("large", Resources(6, 6, 0, 10), 0, 3, subnet="nodes", addresses=10)
    found = place([small, large], [Demand("a", Resources(3, 3), 2, 2)], {"nodes": 19})
    assert found.at_min is Fit.YES
    assert (found.full["small"].nodes, found.full["large"].nodes) == (0, 1)


def test_when_demands_leave_a_pod_without_a_node_to_itself_then_that_is_proved_not_guessed() -> None:
    """Two thirds of each node stay empty, and no resource is short in sum."""
    found = place([one(NODE, 3)], [Demand("a", Resources(2500, 100), 3, 4)])
    assert (found.at_min, found.at_max) == (Fit.YES, Fit.NO)
    assert found.limits[0].proved


def test_for_many_pods_of_several_kinds_on_nearly_full_nodes_it_says_that_it_does_not_know() -> None:
    """Sixty nodes' worth of pods that fill nodes only in one way, which first fit does not find."""
    node = Resources(cpu=10, memory=1000, pods=100)
    demands = [Demand(str(cpu), Resources(cpu, 1), 60, 60) for cpu in (4, 3, 2, 1)]
    assert place([one(node, 60)], demands).at_max is Fit.YES
    awkward = [Demand("six", Resources(6, 1), 30, 30), Demand("two", Resources(2, 1), 210, 210)]
    tight = place([one(node, 60)], awkward)
    assert tight.at_max is Fit.YES
    uneven = [Demand("5", Resources(5, 5), 20, 20), Demand("4", Resources(4, 6), 20, 20)]
    uneven += [Demand("3", Resources(3, 4), 40, 40), Demand("7", Resources(7, 1), 10, 10)]
    unknown = place([one(Resources(cpu=12, memory=15, pods=100), 33)], uneven)
    assert unknown.at_max is Fit.MAYBE
    assert not unknown.limits[0].proved


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(50, 4000), st.integers(100, 16_000), st.integers(0, 300), st.integers(0, 300)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 200),
)
def test_at_any_size_what_is_said_to_fit_stands_on_nodes_with_room(
    sizes: list[tuple[int, int, int, int]], nodes: int
) -> None:
    pools = [one(NODE, nodes), Pool("large", Resources(16_000, 64_000, 0, 30), 0, nodes // 3)]
    demands = [
        Demand(f"demand{index}", Resources(cpu, memory), min(a, b), max(a, b))
        for index, (cpu, memory, a, b) in enumerate(sizes)
    ]
    found = place(pools, demands)
    check_use(pools, demands, found, {})
    assert (found.at_max is Fit.YES) == all(found.replicas[d.name] == d.max_replicas for d in demands)


def test_a_thousand_services_are_placed_by_their_kinds() -> None:
    sizes = [Resources(cpu, memory) for cpu in (100, 250, 500, 1000) for memory in (512, 1024, 2048)]
    demands = [Demand(f"s{index}", sizes[index % len(sizes)], 1, 10) for index in range(1000)]
    node = allocatable(VMS["Standard_D8s_v5"], 110)
    found = place([Pool("services", node, 3, 400)], demands)
    assert (found.at_min, found.at_max) == (Fit.YES, Fit.NO)
    check_use([Pool("services", node, 3, 400)], demands, found, {})
