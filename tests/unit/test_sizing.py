"""v1's replica formula, the router's size, and Resources: whole numbers as Kubernetes writes them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import pods
from slipway.sizing import Resources, cluster_minimum, replicas_needed, requests_per_second, router_size

positive = st.fractions(min_value=Fraction(1, 1000), max_value=100_000)
targets = st.integers(1, 100).map(lambda percent: Fraction(percent, 100))


def test_v1s_example_needs_286_replicas() -> None:
    assert replicas_needed(20, 10, 0.7, 1) == 286
    assert requests_per_second(286, 10, 0.7, 1) == Fraction("20.02")
    assert requests_per_second(285, 10, 0.7, 1) < 20


@pytest.mark.parametrize(("rps", "seconds", "target", "replicas"), [(7, 0.1, 0.7, 1), (21, 0.1, 0.7, 3)])
def test_a_load_that_fills_replicas_exactly_needs_no_further_one(
    rps: float, seconds: float, target: float, replicas: int
) -> None:
    """In binary, 21 * 0.1 / 0.7 is a little above 3."""
    assert replicas_needed(rps, seconds, target, 1) == replicas
    assert replicas_needed(rps + 0.001, seconds, target, 1) == replicas + 1


@given(st.integers(1, 10_000), positive, targets, st.integers(1, 100))
def test_the_load_that_replicas_carry_needs_just_them(
    replicas: int, seconds: Fraction, target: Fraction, concurrency: int
) -> None:
    load = requests_per_second(replicas, seconds, target, concurrency)
    assert replicas_needed(load, seconds, target, concurrency) == replicas
    assert replicas_needed(load + Fraction(1, 10**9), seconds, target, concurrency) == replicas + 1


@given(positive, positive, targets, st.integers(1, 100))
def test_the_needed_replicas_carry_the_load_and_one_fewer_do_not(
    rps: Fraction, seconds: Fraction, target: Fraction, concurrency: int
) -> None:
    needed = replicas_needed(rps, seconds, target, concurrency)
    assert requests_per_second(needed, seconds, target, concurrency) >= rps
    assert requests_per_second(needed - 1, seconds, target, concurrency) < rps


def test_no_load_needs_no_replica() -> None:
    assert replicas_needed(0, 1, 0.7, 1) == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1, 1, 0.7, 1), "rps"),
        ((1, 0, 0.7, 1), "seconds"),
        ((1, 1, 1.01, 1), "target"),
        ((1, 1, 0, 1), "target"),
        ((1, 1, 0.7, 0), "concurrency"),
    ],
)
def test_a_number_without_sense_is_refused_by_name(
    arguments: tuple[float, float, float, int], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        replicas_needed(*arguments)


@given(st.floats(0.001, 1000), st.floats(0.001, 1000))
def test_resources_count_what_the_pods_ask_kubernetes_for(cpu_cores: float, memory_gb: float) -> None:
    found = Resources.of(cpu_cores, memory_gb)
    assert (f"{found.cpu}m", f"{found.memory}Mi") == (pods.cpu(cpu_cores), pods.memory(memory_gb))


def test_only_a_router_of_production_is_large_and_scales_itself() -> None:
    small = router_size("DevTest")
    assert (small.replicas, small.scales_itself) == (1, "never")
    for purpose in ("FastProd", "DenseProd"):
        large = router_size(purpose)
        assert (large.replicas, large.scales_itself) == (3, "when telemetry shows the need")
        assert (large.pod.cpu, large.pod.memory) == (900, 800)
        assert (large.limit.cpu, large.limit.memory) == (2000, 1200)


def test_production_asks_for_three_nodes_and_twelve_cores_as_v1_did() -> None:
    assert (cluster_minimum("FastProd").nodes, cluster_minimum("FastProd").vcpu) == (3, 12)
    assert (cluster_minimum("DevTest").nodes, cluster_minimum("DevTest").vcpu) == (1, 1)
