"""Probes count as Kubernetes counts them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.local.probes import Health, Probe, backoff, probe, step, wait

LIVENESS = Probe("livenessProbe", "http", "/", success_threshold=1, failure_threshold=3)


def after(probe: Probe, results: str) -> Health:
    health = Health()
    for result in results:
        health = step(probe, health, success=result == "+")
    return health


@pytest.mark.parametrize(
    ("results", "ok"),
    [
        ("", None),
        ("+", True),
        ("--", None),
        ("---", False),
        ("+--", True),
        ("+---", False),
        ("---+", True),
        ("+--+--", True),
    ],
)
def test_thresholds_turn_results_into_health(results: str, ok: bool | None) -> None:
    assert after(LIVENESS, results).ok is ok


@given(st.text(alphabet="+-"), st.integers(1, 4), st.integers(1, 4))
def test_health_changes_only_after_a_full_streak(results: str, successes: int, failures: int) -> None:
    one = Probe("readinessProbe", 1, success_threshold=successes, failure_threshold=failures)
    health = after(one, results)
    if health.ok is True:
        assert "+" * successes in results
    if health.ok is False:
        assert "-" * failures in results
    if results.endswith("-" * failures):
        assert health.ok is False


def test_when_a_container_has_a_probe_then_defaults_are_kubernetes() -> None:
    container = {
        "livenessProbe": {"httpGet": {"path": "/x", "port": "http"}},
        "readinessProbe": {"tcpSocket": {"port": 80}},
    }
    assert probe(container, "livenessProbe") == Probe("livenessProbe", "http", "/x", (), 0, 10, 1, 1, 3)
    tcp = probe(container, "readinessProbe")
    assert tcp is not None
    assert (tcp.port, tcp.path) == (80, None)
    assert probe(container, "startupProbe") is None


def test_until_ready_readiness_is_tried_often_then_by_its_period() -> None:
    readiness = Probe("readinessProbe", "http", "/", period=5)
    assert wait(readiness, Health()) == 0.25
    assert wait(readiness, Health(ok=True)) == 5
    assert wait(LIVENESS, Health()) == 10


def test_restarts_back_off() -> None:
    assert [backoff(n) for n in (1, 2, 3, 4, 10, 11, 10_000)] == [0, 1, 2, 4, 256, 300, 300]
