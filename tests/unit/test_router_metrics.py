"""`/metrics` as the official parser reads it, and counts that go on over HAProxy's worker processes."""

import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from slipway.router.metrics import Facts, Totals, answers, exposition
from slipway.router.scaling.itself import Told
from slipway.router.scaling.sampling import Counted

COUNT = st.integers(0, 2**53)
COUNTS = st.dictionaries(
    st.tuples(st.sampled_from(["", "echo", "a-b"]), st.sampled_from(["2xx", "no_replica"])), COUNT
)
NUMBERS = st.dictionaries(st.sampled_from(["echo", "a-b"]), COUNT)
FACTS = st.builds(
    Facts,
    seen=st.dictionaries(st.just("echo"), st.builds(Counted, COUNT, COUNT, COUNT, COUNT, COUNT, st.none())),
    desired=NUMBERS,
    concurrency=NUMBERS,
    requests=COUNTS,
    refusals=COUNTS,
    reloads=COUNT,
    restarts=COUNT,
    refused=st.booleans(),
    behind_seconds=st.floats(0, 1e9),
    ownership_changes=COUNT,
    own=st.none()
    | st.builds(
        Told,
        threads=st.integers(1, 99),
        full=st.booleans(),
        enabled=st.booleans(),
        routing_seconds=st.none() | st.floats(0, 2),
        cpu=st.none() | st.floats(0, 99),
    ),
)


@given(FACTS)
def test_what_is_told_is_what_the_official_parser_reads(facts: Facts) -> None:
    found = {
        (one.name.removeprefix("slipway_"), *one.labels.values()): one.value
        for family in text_string_to_metric_families(exposition(facts))
        for one in family.samples
    }
    expected: dict[tuple[str, ...], float] = {
        **{("requests_total", *labels): count for labels, count in facts.requests.items()},
        **{("refusals_total", *labels): count for labels, count in facts.refusals.items()},
        **{("queue_length", name): one.queued for name, one in facts.seen.items()},
        **{("requests_running", name): one.busy for name, one in facts.seen.items()},
        **{("replicas_ready", name): one.ready for name, one in facts.seen.items()},
        **{("replicas_desired", name): count for name, count in facts.desired.items()},
        **{("replica_max_concurrent_requests", name): count for name, count in facts.concurrency.items()},
        ("router_reloads_total",): facts.reloads,
        ("router_restarts_total",): facts.restarts,
        ("router_ownership_changes_total",): facts.ownership_changes,
        ("router_config_last_reload_successful",): not facts.refused,
        ("router_behind_seconds",): facts.behind_seconds,
    }
    if (own := facts.own) is not None:
        figures = {"threads": own.threads, "routing_seconds": own.routing_seconds, "cpu_cores": own.cpu}
        expected |= {(f"router_{name}",): value for name, value in figures.items() if value is not None}
    assert found == expected


def test_every_metric_is_documented() -> None:
    told = re.findall(r"^# TYPE (\w+) (\w+)", exposition(Facts()), re.MULTILINE)
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`[^|]* \| (\w+) \|", text, re.MULTILINE) == told


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), max_size=20), st.data())
def test_counts_go_on_over_workers_that_come_go_and_are_silent(
    steps: list[list[int]], data: st.DataObject
) -> None:
    totals, key, sent, unseen = Totals(), ("echo", "2xx"), 0, dict[str, int]()
    counts: dict[str, int] = {}
    for number, added in enumerate(steps):
        if data.draw(st.booleans()):  # a reload: another worker, the others only finish
            counts[str(number)] = 0
        for worker, more in zip(counts, added, strict=False):
            counts[worker] += more
            unseen[worker] = unseen.get(worker, 0) + more
            sent += more
        told = {worker: {key: count} if data.draw(st.booleans()) else {} for worker, count in counts.items()}
        totals.add(told, {"echo"})
        unseen = {worker: 0 if told[worker] else more for worker, more in unseen.items()}
        assert totals.counts.get(key, 0) == sent - sum(unseen.values())


def test_a_service_that_is_gone_is_told_no_more() -> None:
    totals = Totals()
    totals.add({"1": {("echo", "2xx"): 1, ("", "unknown_path"): 2}}, {"echo"})
    totals.add({"1": {("", "unknown_path"): 3}}, {})
    assert totals.counts == {("", "unknown_path"): 3}


def test_answers_are_those_of_services() -> None:
    rows = [
        {
            "pxname": "echo",
            "svname": "BACKEND",
            "hrsp_2xx": "3",
            "hrsp_3xx": "",
            "hrsp_4xx": "1",
            "hrsp_5xx": "0",
            "hrsp_other": "2",
        },
        {"pxname": "echo", "svname": "_hold", "hrsp_2xx": "9"},
        {"pxname": "_detour", "svname": "BACKEND", "hrsp_2xx": "9"},
    ]
    assert {code: count for (_, code), count in answers(rows).items()} == {
        "2xx": 3,
        "3xx": 0,
        "4xx": 1,
        "5xx": 0,
        "other": 2,
    }
