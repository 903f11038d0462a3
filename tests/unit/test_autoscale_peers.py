"""The benchmark's Knative and HPA against values that their own projects publish.

Knative: pkg/autoscaler/scaling/autoscaler_test.go of knative/serving at 98e5ef9, whose deciders scale up and
down tenfold at most unless said otherwise. HPA: examples of Kubernetes' documentation, "Algorithm details".
"""

from xml.etree import ElementTree

import pytest

from benchmarks.autoscale import ratios
from benchmarks.autoscale_chart import chart
from benchmarks.autoscalers import Hpa, KnativeDecider
from slipway.router.scaling.simulation import Outcome, Seen
from slipway.spec import Serving


def decider(target: float, *, up: float = 10, down: float = 10, ready: int = 1) -> KnativeDecider:
    return KnativeDecider(target, ready=ready, scale_up_rate=up, scale_down_rate=down)


@pytest.mark.parametrize(
    ("name", "target", "stable", "panic", "ready", "scale"),
    [
        ("NoDataAtZeroNoAutoscale", 10, 0, 0, 1, 0),
        ("StableModeUnlimitedTBC", 181, 21, 26, 1, 1),
        ("0TBC", 10, 50, 49, 1, 5),
        ("StableModeNoChange", 10, 50, 50, 1, 5),
        ("StableModeNoChangeAlreadyScaled", 10, 50, 50, 5, 5),
        ("PanicModeDoublePodCount", 10, 50, 100, 1, 10),
        ("RateLimitScaleUp", 10, 1000, 1001, 1, 10),
        ("RateLimitScaleDown", 10, 1, 1, 100, 10),
        ("UseOnePodAsMinimumIfEndpointsNotFound", 10, 1000, 888, 0, 10),
        ("StableModeDecrease, before", 10, 100, 100, 8, 10),
        ("StableModeDecrease, after", 10, 50, 50, 8, 5),
        ("StableModeNoTrafficScaleToZero", 10, 1, 0, 1, 1),
    ],
)
def test_knative_gives_its_published_scale(
    name: str, target: float, stable: float, panic: float, ready: int, scale: int
) -> None:
    assert decider(target).scale(0, stable, panic, ready) == scale, name


def test_knative_gives_its_published_scale_at_other_rates() -> None:
    assert decider(1, up=1.1).scale(0, 3, 3.1, 2) == 3
    assert decider(10, down=1.1).scale(0, 1, 1, 100) == 90


@pytest.mark.parametrize(("stable", "panic", "scale"), [(50, 30, 50), (20, 30, 30)])
def test_knative_in_panic_takes_the_larger_of_its_windows(stable: float, panic: float, scale: int) -> None:
    assert decider(1, ready=5).scale(5, stable, panic, 5) == scale


def test_knative_leaves_panic_after_the_stable_window() -> None:
    knative = decider(10)
    assert knative.scale(0, 100, 100, 1) == 10
    assert knative.scale(0, 100, 1000, 10) == 100
    assert knative.scale(30, 1, 1, 10) == 100
    assert knative.scale(61, 1, 1, 10) == 1


def test_knative_leaves_panic_after_a_slow_increase() -> None:
    knative = decider(1)
    assert knative.scale(0, 11, 25, 10) == 25
    assert knative.scale(30, 30, 41, 40) == 41
    assert knative.scale(62, 50, 56, 55) == 50


def test_knative_stays_in_panic_while_the_surge_goes_on() -> None:
    knative = decider(1)
    assert knative.scale(0, 11, 25, 10) == 25
    assert knative.scale(30, 30, 80, 40) == 80
    assert knative.scale(62, 30, 30, 80) == 80


def test_knative_follows_an_exponential_rise() -> None:
    knative = decider(1)
    ready = 1
    for value in (6, 36, 216, 1296, 1296):
        assert knative.scale(1, value, value, ready) == value
        ready = value


def hpa(target: int, replicas: int = 1) -> Hpa:
    return Hpa(Serving(autoscale_target_utilization=target, autoscale_max_replicas=1_000), replicas)


@pytest.mark.parametrize(
    ("used", "ready", "replicas", "recommended"),
    [
        (4.0, 4, 4, 8),  # 100 % of a target of 50 %: twice as many
        (1.0, 4, 4, 2),  # 25 %: half
        (2.1, 4, 4, 4),  # 1.05 and 0.95 are within the tolerance of 0.1
        (1.9, 4, 4, 4),
        (4.0, 4, 6, 8),  # on the way up those that are not ready count as unused
        (2.4, 4, 6, 6),  # which turns the direction, so nothing happens
        (1.0, 4, 6, 2),  # on the way down they do not count
    ],
)
def test_hpa_recommends_by_the_ratio_to_its_target(
    used: float, ready: int, replicas: int, recommended: int
) -> None:
    assert hpa(50).recommend(used, ready, replicas) == recommended


def test_hpa_at_most_doubles_or_adds_four_and_waits_five_minutes_to_remove() -> None:
    scaler, replicas, asked = hpa(50, 2), 2, list[tuple[float, int]]()
    busy_seconds = 0.0
    for sync in range(1, 60):
        at = 15.0 * sync
        busy_seconds += 15 * min(replicas, 30 if sync < 10 else 1)
        seen = Seen(at, 0, 0, 0, 0, busy_seconds, 0, replicas, replicas, None)
        replicas = scaler(seen) or replicas
        asked.append((at, replicas))
    assert [count for _, count in asked[:6]] == [4, 8, 16, 32, 60, 60]
    calm_since = 15.0 * 10
    assert next(at for at, count in asked if at > calm_since and count < 60) - calm_since in (285, 300)
    assert asked[-1][1] == 2


def lost(missed: int, replica_seconds: float) -> list[Outcome]:
    return [Outcome(100, missed, 0, replica_seconds)]


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        ({60: lost(0, 80), 80: lost(5, 45)}, {60: 0.8, 80: 0.75}),  # no more lost for less, at both targets
        ({60: lost(0, 110), 80: lost(5, 45)}, {60: 1.1, 80: 0.75}),  # a peer loses none for less
        ({50: lost(0, 200), 60: lost(0, 80)}, {60: 0.8}),  # the one that loses none for more does not count
        ({80: lost(3, 66), 90: lost(30, 40)}, {80: 0.66, 90: 40 / 60}),  # as few: the other peer's 5 are more
    ],
)
def test_ours_is_held_against_the_cheapest_peer_that_lost_no_more(
    ours: dict[int, list[Outcome]], expected: dict[int, float]
) -> None:
    peers = {"Knative": {70: lost(0, 100), 90: lost(5, 60)}, "HPA": {70: lost(2, 120), 90: lost(90, 10)}}
    assert ratios({"ours": ours, **peers}) == pytest.approx(expected)


def test_the_chart_is_one_picture_with_a_panel_for_each_case() -> None:
    ways = {"ours": [(0.0, 100.0), (0.1, 50.0)], "Knative": [(0.0, 110.0)], "HPA": [(0.2, 40.0)]}
    nothing_lost = {way: [(0.0, 900.0)] for way in ways}
    picture = ElementTree.fromstring(chart({"steady": ways, "1 a minute": nothing_lost}))
    titles = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"steady", "1 a minute"} < set(titles)
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 7
