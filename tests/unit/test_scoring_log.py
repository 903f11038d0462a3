import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.scoring import calls
from slipway.scoring.contract import Request
from slipway.scoring.log import configure, log_request


def request(name: str) -> Request:
    return Request("POST", "/score", b"", [], b"", name)


@given(st.lists(st.text("ab\n", max_size=8)))
def test_when_text_is_written_in_any_pieces_then_each_line_is_marked_once_and_nothing_is_lost(
    pieces: list[str],
) -> None:
    target = io.StringIO()
    stream = calls.Marked(target, [])
    calls.enter([request("id")])
    for piece in pieces:
        assert stream.write(piece) == len(piece)
    calls.leave()
    stream.write("outside\n")
    expected = [f"[id] {line}" for line in "".join(pieces).split("\n")]
    if expected[-1] == "[id] ":
        del expected[-1]
    assert target.getvalue().split("\n")[:-1] == [*expected, "outside"]


def test_when_a_line_has_no_end_then_it_is_written_before_it_takes_all_memory() -> None:
    target = io.StringIO()
    stream = calls.Marked(target, [])
    calls.enter([request("id"), request("other"), request("third")])
    for _ in range(20):
        stream.writelines(["x" * 10_000])
    assert len(target.getvalue()) > 100_000
    assert target.getvalue().startswith("[id +2] x")
    calls.leave()


@pytest.mark.parametrize(("level", "number"), [("DEBUG", 1), ("INFO", 1), ("WARNING", 0), ("CRITICAL", 0)])
def test_when_the_log_level_is_above_info_then_no_request_has_a_line(
    monkeypatch: pytest.MonkeyPatch, level: str, number: int
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", written)
    configure(level)
    log_request('"\n', "GET", "/ä", None, milliseconds=1.23456, size=7)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(lines) == number
    for line in lines:
        del line["time"]
        assert line == {
            "request_id": '"\n',
            "method": "GET",
            "path": "/ä",
            "status": 499,
            "ms": 1.235,
            "bytes": 7,
        }
