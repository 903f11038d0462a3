"""A node that goes without a word takes a router along: what the others do until TCP notices."""

import json
import subprocess
import sys

LONGEST = 8.0
"""Seconds: six until TCP gives up, and what a loaded machine adds."""
CONNECT = 2.0


def test_when_the_owners_node_is_lost_then_what_it_had_fails_within_seconds_and_all_else_is_served() -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.cluster.node_loss"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    sent: list[tuple[float, float, int, str]] = json.loads(done.stdout)
    failed = [one for one in sent if one[2] != 200]
    assert {(status, reason) for _, _, status, reason in failed} <= {(502, "owner_failed")}
    assert all(seconds < LONGEST for _, seconds, _, _ in sent)
    # On connections that were idle a request is sent, and may have run; on a new one none is until it stands.
    assert all(began < CONNECT + 1 for began, *_ in failed), "what came later was lost"
    later = [seconds for began, seconds, *_ in sent if began > LONGEST]
    assert len(later) > 100
    assert sorted(later)[len(later) // 2] < 1
