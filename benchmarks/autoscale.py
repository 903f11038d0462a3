"""The router's way to scale against Knative's and a HorizontalPodAutoscaler's, over the same requests.

One simulated service (`slipway.router.scaling.simulation`, held against queueing theory by its test) meets
traffic that is steady, steps tenfold, ramps, goes up and down with bursts, or is one request a minute;
replicas take 1 or 8 requests at once and 5 or 60 s to start. Each way runs with each target utilization,
and loses some requests (no replica took them within `max_request_wait_time`) for some replica-seconds.

ours / peers: the replica-seconds of one of our targets, divided by the least with which a peer, at any of its
targets, lost no more requests. Above 1 a peer dominates: ours is not on the Pareto front. Each line has the
worst of our targets, without those that ours itself dominates; its values leave out one seed each, so their
spread says what chance decides. The rule was tuned on other seeds (`--tuning`) than those that count.

Targets are 5 apart and seeds many, because which peer lost no more is a cliff: with targets 10 apart, one
lost request in ten thousand moved a ratio by up to a tenth, and of 7 seeds a single one could decide.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product, repeat
from pathlib import Path

from benchmarks.autoscale_chart import chart
from benchmarks.autoscalers import Hpa, Knative
from benchmarks.report import Figure, arguments, finish
from slipway.router.scaling.replay import Policy
from slipway.router.scaling.simulation import Outcome, Request, Scale, simulate
from slipway.spec import Serving

SERVICE_SECONDS = 0.5
"""The mean; exponentially distributed."""
TARGETS = range(40, 101, 5)
TUNING_SEED, TEST_SEED = 1, 1001
"""The first of each; the rule was only ever tried on the former."""
STEP_SECONDS = 1.0
"""How often the router looks at a service."""
TOLERANCE = 0.02
"""Replica-seconds that count as no more."""

Rate = Callable[[float], float]
"""Requests at once, if replicas were enough, by time."""
Point = tuple[float, float]
"""Requests lost, of all, and replica-seconds."""
WAYS = ("ours", "Knative", "HPA")


@dataclass(frozen=True)
class Case:
    """One traffic on one kind of replicas."""

    traffic: str
    slots: int
    startup_seconds: int

    def __str__(self) -> str:
        return f"{self.traffic}, N={self.slots}, {self.startup_seconds} s to start"


def rate(traffic: str, calm: float, rng: random.Random) -> tuple[Rate, float, float]:
    """Give the traffic's rate, the most that it reaches, and its length in seconds."""
    match traffic:
        case "steady":
            return lambda at: 5 * calm, 5 * calm, 900
        case "step x10":
            return lambda at: calm * (10 if 200 <= at < 600 else 1), 10 * calm, 1000
        case "ramp x10":
            return (
                lambda at: calm * (1 + 9 * min(1, max(0, at - 120) / 480) if at < 780 else 1),
                10 * calm,
                1100,
            )
        case "diurnal":
            bursts = [(rng.uniform(0, 1700), rng.uniform(20, 60), rng.uniform(2, 6)) for _ in range(6)]

            def waves(at: float) -> float:
                extra = sum(size for begin, length, size in bursts if begin <= at < begin + length)
                return calm * (3 + 2 * math.sin(2 * math.pi * at / 900) + extra)

            return waves, 41 * calm, 1800
        case _:
            return lambda at: SERVICE_SECONDS / 60, SERVICE_SECONDS / 60, 1800


CALM = {1: 2.0, 8: 8.0}
"""Requests at once when nothing happens, by how many a replica takes."""
TRAFFICS = ("steady", "step x10", "ramp x10", "diurnal", "1 a minute")


@dataclass(frozen=True)
class Traffic:
    """The requests of one seed."""

    requests: Sequence[Request]
    seconds: float
    load: float
    """At the start, in requests at once."""


def traffic(name: str, slots: int, seed: int) -> Traffic:
    """Draw the requests: their times by thinning the highest rate, and how long each takes."""
    rng = random.Random(f"{name} {slots} {seed}")
    load, most, seconds = rate(name, CALM[slots], rng)
    requests: list[Request] = []
    at = 0.0
    while (at := at + rng.expovariate(most / SERVICE_SECONDS)) < seconds:
        if rng.random() * most < load(at):
            requests.append((at, rng.expovariate(1 / SERVICE_SECONDS)))
    return Traffic(requests, seconds, load(0))


def run(way: str, case: Case, target: int, given: Traffic) -> Outcome:
    """Serve one seed's requests."""
    serving = Serving(
        replica_max_concurrent_requests=case.slots,
        autoscale_target_utilization=target,
        autoscale_max_replicas=200,
    )
    replicas = max(1, math.ceil(given.load / case.slots / (target / 100)))
    scales: Mapping[str, Callable[[], Scale]] = {
        "ours": lambda: Policy(serving, case.startup_seconds),
        "Knative": lambda: Knative(serving, replicas),
        "HPA": lambda: Hpa(serving, replicas),
    }
    return simulate(
        given.requests,
        scales[way](),
        seconds=given.seconds,
        slots=case.slots,
        wait_seconds=serving.max_request_wait_time / 1000,
        startup_seconds=case.startup_seconds,
        replicas=replicas,
        step_seconds=STEP_SECONDS,
    )


Curves = Mapping[str, Mapping[int, Sequence[Outcome]]]
"""By way and target: what became of each seed."""


def outcomes(case: Case, seed: int) -> Mapping[tuple[str, int], Outcome]:
    """Serve one seed's requests in each way, with each target."""
    given = traffic(case.traffic, case.slots, seed)
    return {(way, target): run(way, case, target, given) for way, target in product(WAYS, TARGETS)}


def curves(found: Iterable[Mapping[tuple[str, int], Outcome]]) -> Curves:
    kept = list(found)
    return {way: {target: [one[way, target] for one in kept] for target in TARGETS} for way in WAYS}


def points(outcomes: Mapping[int, Sequence[Outcome]], leave_out: int | None = None) -> list[Point]:
    """Give the mean over seeds for each target; less than 1 lost request in 10,000 is chance."""
    kept = [[one for seed, one in enumerate(all_) if seed != leave_out] for all_ in outcomes.values()]
    return [
        (
            round(sum(one.missed for one in some) / max(1, sum(one.requests for one in some)), 4),
            sum(one.replica_seconds for one in some) / len(some),
        )
        for some in kept
    ]


def ratios(case_curves: Curves, leave_out: int | None = None) -> dict[int, float]:
    """Give ours / peers by target, of those that ours itself does not dominate; 0: no peer lost so few."""
    ours = points(case_curves["ours"], leave_out)
    peers = [point for way in WAYS[1:] for point in points(case_curves[way], leave_out)]

    def least(some: Sequence[Point], most_lost: float) -> float:
        return min((cost for lost, cost in some if lost <= most_lost), default=math.inf)

    return {
        target: cost / least(peers, lost)
        for target, (lost, cost) in zip(case_curves["ours"], ours, strict=True)
        if cost <= least(ours, lost)
    }


def table(case: Case, case_curves: Curves) -> str:
    """Show what each way loses, and its replica-seconds, by target; then ours / peers."""
    columns = [[f"{lost:9.2%} {cost:7.0f}" for lost, cost in points(case_curves[way])] for way in WAYS]
    found = ratios(case_curves)
    last = [f"{found[target]:14.3f}" if target in found else "" for target in TARGETS]
    lines = [f"{case}", "target" + "".join(f"{way:>17}" for way in WAYS) + f"{'ours / peers':>14}"]
    for target, *cells in zip(TARGETS, *columns, last, strict=True):
        lines.append(f"{target:4} %" + "".join(cells))
    return "\n".join([*lines, ""])


def main() -> int:
    parser = arguments(__doc__, pairs=14)
    parser.add_argument("--tuning", action="store_true", help="take the seeds that the rule was tuned on")
    parser.add_argument(
        "--chart", type=Path, metavar="FILE", help="draw lost requests over replica-seconds, as SVG"
    )
    options = parser.parse_args()
    if options.pairs < 2:
        parser.error("--pairs: one seed is left out in turn, so give at least 2")
    first = TUNING_SEED if options.tuning else TEST_SEED
    found: dict[Case, Curves] = {}
    with ProcessPoolExecutor() as pool:
        for case in (Case(*one) for one in product(TRAFFICS, CALM, (5, 60))):
            print(f"{case}", file=sys.stderr)
            found[case] = curves(pool.map(outcomes, repeat(case), range(first, first + options.pairs)))
    print("Requests lost and replica-seconds, by target utilization\n")
    for case, case_curves in found.items():
        print(table(case, case_curves))
    if options.chart:
        panels = {
            f"{case}": {way: points(case_curves[way]) for way in WAYS} for case, case_curves in found.items()
        }
        options.chart.write_text(chart(panels), encoding="utf-8")
    figures = [
        Figure(
            f"{case}: ours / peers",
            tuple(max(ratios(case_curves, seed).values()) for seed in range(options.pairs)),
            at_most=1 + TOLERANCE,
        )
        for case, case_curves in found.items()
    ]
    return finish("Replica-seconds for as few lost requests, worst target", figures, options)


if __name__ == "__main__":
    sys.exit(main())
