"""Our engine against the real one: every program registers the same things with both."""

from __future__ import annotations

import json

import pytest

from slipway.engine import Graph, run
from tests.engine import recording
from tests.engine.recording import NAMES, PROGRAMS, STACK


def graph_of(name: str) -> Graph:
    return run(PROGRAMS / name, STACK, invoke=recording.invoke, stacks=recording.STACKS.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_when_a_program_runs_then_its_graph_equals_the_real_engines_preview(name: str) -> None:
    recorded = json.loads(recording.path_of(name).read_text())
    ours, real = recording.of_graph(graph_of(name)), recording.of_recording(recorded)
    assert sorted(ours) == sorted(real)
    for urn, facts in real.items():
        assert ours[urn] == facts, urn
    was = {
        step["urn"]: step["oldUrn"] for step in recorded["steps"] if step["oldUrn"] not in {"", step["urn"]}
    }
    aliases = {found.urn: found.aliases for found in graph_of(name).registrations} if was else {}
    assert {urn: old for urn, old in was.items() if old not in aliases[urn]} == {}


def test_when_kubeconfig_is_set_then_the_graph_does_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    without = recording.of_graph(graph_of("providers"))
    monkeypatch.setenv("KUBECONFIG", "of-a-machine")
    assert recording.of_graph(graph_of("providers")) == without


@pytest.mark.parametrize("name", NAMES)
def test_when_a_preview_was_recorded_then_no_path_of_a_machine_is_in_it(name: str) -> None:
    text = recording.path_of(name).read_text()
    assert not any(place in text for place in ("/tmp", "/home", "/root", "/work", "/opt", ".venv"))
