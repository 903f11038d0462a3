"""A journal played again: the same requests under other settings, as numbers, blocks and a picture."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.cli import main
from slipway.cli.chart import BLOCKS, blocks, sample, svg
from slipway.local.state import State
from slipway.problems import Problems
from slipway.router.scaling.journal import Entry, Journal
from slipway.router.scaling.replay import read, recorded, replay
from slipway.spec import Serving
from tests.unit.test_router_journal import entry

SERVING = Serving(autoscale_max_replicas=8, max_request_wait_time=500)


def journal(arrivals: list[int], replicas: list[int] | None = None, service: str = "echo") -> list[Entry]:
    """A line a second."""
    counts = replicas or [1] * len(arrivals)
    return [
        entry(
            second,
            service,
            arrivals=arriving,
            replicas=count,
            wanted=count,
            serving=SERVING,
            service_seconds=0.2,
            startup_seconds=4.0,
        )
        for second, (arriving, count) in enumerate(zip(arrivals, counts, strict=True))
    ]


BURST = journal([2] * 60 + [20] * 60 + [2] * 60)


def test_what_was_done_is_summed_up_over_the_time_between_the_lines() -> None:
    run = recorded(journal([9, 1, 2], [1, 1, 4]))
    assert (run.requests, run.missed, run.replica_seconds) == (3, 0, 5)
    assert run.replicas == [(0, 1), (1, 1), (2, 4)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=2, max_size=40), st.integers(1, 100))
def test_every_request_is_played_again_and_the_same_journal_gives_the_same(
    arrivals: list[int], target: int
) -> None:
    entries = journal(arrivals)
    serving = SERVING.model_copy(update={"autoscale_target_utilization": target})
    run = replay(entries, serving)
    assert run.requests == sum(arrivals[1:])
    assert 0 <= run.missed <= run.requests
    assert run == replay(entries, serving)
    assert all(1 <= count <= 8 for _, count in run.replicas)


def test_more_replicas_from_the_start_miss_fewer_requests_and_cost_more() -> None:
    least = SERVING.model_copy(update={"autoscale_min_replicas": 8})
    few, many = replay(BURST, SERVING), replay(BURST, least)
    assert few.missed > 10 * many.missed
    assert few.replica_seconds < many.replica_seconds <= 8 * 179


def test_lines_that_cannot_be_read_are_named_by_their_number() -> None:
    lines = ["", *('{"time": 1}' for _ in range(9)), "nonsense"]
    with pytest.raises(Problems) as caught:
        read(lines)
    assert len(caught.value.lines) == 6
    assert caught.value.lines[0].startswith("line 2: ")
    assert caught.value.lines[-1] == "and 5 lines more"


def test_a_curve_is_drawn_by_the_highest_value_of_each_part() -> None:
    assert sample([(0, 1), (2, 3), (2.5, 1)], 4, 4) == [1, 1, 3, 1]
    assert blocks([0, 0.01, 4, 8], 8) == f" {BLOCKS[1]}{BLOCKS[4]}{BLOCKS[8]}"
    assert blocks([0, 0], 0) == "  "


def test_a_picture_is_well_formed_and_names_each_curve() -> None:
    picture = svg("a < b", {"one & two": [(0, 1), (5, 3)], "none": []}, 10)
    texts = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    assert {"a < b", "one & two", "none", "3", "10 s"} <= set(texts)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = Journal()
    for one in (*BURST, *journal([0, 5, 5], service="other"), entry(0, "single")):
        written.add(one)
    path = tmp_path / "journal.jsonl"
    path.write_text(written.text(), encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def test_the_command_shows_each_service_and_each_value(file: Path) -> None:
    result = run("--journal", file, "--set", "autoscale_target_utilization=30,90")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith("echo: 2026-11-30 08:00:00 to 08:02:59 UTC, ")
    assert lines[0].endswith(" requests, a replica starts in 4.0 s")
    assert [line.split("  ")[0] for line in lines[1:6]] == [
        "settings",
        "as recorded",
        "the same settings, simulated",
        "autoscale_target_utilization=30",
        "autoscale_target_utilization=90",
    ]
    costs = [int(line.split()[-2]) for line in lines[4:6]]
    assert costs[0] > costs[1], "a lower target costs more"
    assert any(line.startswith("requests a second") and BLOCKS[8] in line for line in lines)
    assert any(line.startswith("other: ") for line in lines)


def test_the_command_draws_one_service_into_a_file(file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "replicas.svg"
    assert run("--journal", file, "--service", "echo", "--svg", picture).exit_code == 0
    assert ElementTree.fromstring(picture.read_text(encoding="utf-8")).tag.endswith("svg")
    result = run("--journal", file, "--svg", tmp_path / "other.svg")
    assert result.exit_code == 1
    assert "name one with --service" in result.stderr
    assert not (tmp_path / "other.svg").exists()


def test_lines_of_one_moment_are_too_few(tmp_path: Path) -> None:
    path = tmp_path / "twice.jsonl"
    path.write_text(2 * (entry(0).model_dump_json() + "\n"), encoding="utf-8")
    assert "too few lines" in run("--journal", path).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "spam=1"], "--set spam=1: no such setting"),
        (["--set", "autoscale_min_replicas=x"], "a value is no whole number"),
        (["--set", "autoscale_target_utilization=101"], "--set autoscale_target_utilization = 101"),
        (["--set", "autoscale_min_replicas=9"], "is above autoscale_max_replicas = 8"),
        (["--service", "none"], "too few lines of `none`; services in it: `echo`, `other`, `single`"),
        (["--service", "single"], "too few lines of `single`"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(file: Path, arguments: list[str], said: str) -> None:
    result = run("--journal", file, *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a project whose stack runs nowhere."""
    (tmp_path / "Pulumi.yaml").write_text("name: a\nruntime: python\n")
    (tmp_path / "Pulumi.local.yaml").write_text("config:\n  slipway:kubernetes: {context: nowhere}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    return tmp_path


@pytest.mark.usefixtures("project")
def test_without_a_journal_and_a_router_the_error_says_how_to_get_one_from_a_cluster() -> None:
    result = run()
    assert result.exit_code == 1
    assert "port-forward deployment/slipway-router 8081" in result.stderr


class Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_when_the_router_scales_nothing_then_the_error_says_which_services_it_would_scale(
    project: Path,
) -> None:
    with HTTPServer(("127.0.0.1", 0), Nothing) as server:
        ports = [{"name": "admin", "containerPort": 8081, "hostPort": server.server_port}]
        labels = {"app.kubernetes.io/component": "router"}
        router = {
            "kind": "Pod",
            "metadata": {"name": "router", "namespace": "slipway", "labels": labels},
            "spec": {"containers": [{"ports": ports}]},
        }
        State(project / ".slipway/local").objects.put(router)
        Thread(target=server.handle_request).start()
        result = run()
    assert result.exit_code == 1
    assert "error: the journal has too few lines; services in it: none\n" in result.stderr
    assert "hint: only services without num_replicas have any" in result.stderr
