"""The journal holds what a replay needs, is bounded, and does not repeat itself."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipway.router.scaling.journal import Entry, Journal
from slipway.spec import Serving

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)


def entry(second: float = 0, service: str = "echo", **values: Any) -> Entry:
    given: dict[str, Any] = {
        "arrivals": 0,
        "refused": 0,
        "busy": 0,
        "queued": 0,
        "replicas": 1,
        "ready": 1,
        "unschedulable": 0,
        "service_seconds": None,
        "startup_seconds": None,
        "serving": Serving(autoscale_min_replicas=0, max_request_wait_time=900),
        "rule": "keep: needed",
        "needed": 1,
        "load": 0.5,
        "wanted": 1,
        **values,
    }
    return Entry(time=NOW + timedelta(seconds=second), service=service, deployment=f"a/{service}", **given)


def test_a_line_is_json_and_reads_back_as_what_was_decided_with_the_settings_that_matter() -> None:
    journal, written = Journal(), entry(arrivals=3, wanted=2, outcome="scaled")
    assert journal.add(written)
    (line,) = journal.text().splitlines()
    assert Entry.model_validate_json(line) == written
    assert "scoring_timeout_ms" not in json.loads(line)["serving"]


def test_what_stays_the_same_is_written_once_a_minute_and_what_happens_at_once() -> None:
    journal = Journal()
    added = [second for second in range(125) if journal.add(entry(second))]
    assert added == [0, 60, 120]
    assert journal.add(entry(125, busy=1))
    assert journal.add(entry(126)), "the first line after that says that it is quiet again"
    assert not journal.add(entry(127))
    assert journal.add(entry(128, rule="keep: no data"))
    assert journal.add(entry(129, "fraud"))
    journal.forget("fraud")
    assert journal.add(entry(130, "fraud"))


@given(st.integers(1, 9), st.integers(0, 30))
def test_it_is_bounded_and_keeps_the_latest(lines: int, number: int) -> None:
    journal = Journal(lines)
    for second in range(number):
        journal.add(entry(second, "ab"[second % 2], arrivals=second))
    kept = [json.loads(line)["arrivals"] for line in journal.text().splitlines()]
    assert kept == list(range(number))[-lines:]
    own = [json.loads(line)["arrivals"] for line in journal.text("a").splitlines()]
    assert own == [arrivals for arrivals in kept if arrivals % 2 == 0]
