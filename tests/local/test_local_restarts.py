"""Processes that end, hang or are killed: what starts again, and what must not live on."""

import shutil
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from slipway.local.state import LocalError
from tests.local.local_stack import (
    Stack,
    alive,
    container,
    deployment,
    get,
    kill,
    pid_of,
    service,
    stack,
    until,
)


@pytest.fixture
def web(tmp_path: Path) -> Generator[Stack]:
    with stack(tmp_path / "state") as one:
        yield one


def test_when_its_state_is_removed_then_the_supervisor_and_its_pods_end(web: Stack) -> None:
    web.up(deployment())
    everyone = [web.supervisor(), *web.pids()]
    shutil.rmtree(web.state.root, ignore_errors=True)
    until(lambda: not any(map(alive, everyone)))


def test_when_a_process_dies_then_it_is_restarted_in_its_pod(web: Stack) -> None:
    web.up(service(), deployment())
    pod = web.ready()[0]
    kill(pid_of(pod))
    until(lambda: web.ready() and web.ready()[0]["status"]["containerStatuses"][0]["restartCount"] == 1)
    again = web.ready()[0]
    assert again["metadata"]["name"] == pod["metadata"]["name"]
    assert pid_of(again) != pid_of(pod)
    assert again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
    assert get(again, "/ready") == "ok"


def test_when_a_process_hangs_then_its_liveness_probe_restarts_it(web: Stack) -> None:
    obj = deployment()
    probe = {
        "httpGet": {"path": "/", "port": "http"},
        "periodSeconds": 1,
        "timeoutSeconds": 1,
        "failureThreshold": 2,
    }
    container(obj)["livenessProbe"] = probe
    obj["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    web.up(service(), obj)
    pod = web.ready()[0]
    get(pod, "/hang")
    until(lambda: web.routable() == [])
    until(lambda: web.ready() and web.ready()[0]["status"]["containerStatuses"][0]["restartCount"] == 1)
    ended = web.ready()[0]["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert ended["reason"] == "Unhealthy"


def test_until_its_startup_probe_succeeds_nothing_else_counts_and_if_it_fails_it_restarts(web: Stack) -> None:
    obj = deployment(READY_AFTER="0.8")
    startup = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    container(obj)["startupProbe"] = {**startup, "failureThreshold": 30}
    container(obj)["readinessProbe"] = {"tcpSocket": {"port": "http"}}
    began = time.monotonic()
    web.up(obj)
    assert time.monotonic() - began >= 0.8, "its port was open long before"
    container(obj)["startupProbe"] = {**startup, "failureThreshold": 1}
    container(obj)["env"] += [{"name": "AGAIN", "value": "1"}]
    with pytest.raises(LocalError, match="web was restarted before it was ready\na probe failed too often"):
        web.up(obj)


def test_when_the_supervisor_is_killed_then_nothing_it_started_lives_on(web: Stack) -> None:
    web.up(deployment(replicas=2))
    children = [get(pod, "/child") for pod in web.ready()]
    everyone = [*web.pids(), *children]
    assert all(map(alive, everyone))
    kill(web.supervisor())
    until(lambda: not any(map(alive, everyone)))
    web.up(deployment(replicas=2))
    assert len(web.ready()) == 2


def test_when_a_process_ends_then_so_do_its_children(web: Stack) -> None:
    web.up(deployment())
    child = get(web.ready()[0], "/child")
    kill(web.pids()[0])
    until(lambda: not alive(child))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the watchdog alone does it")
def test_when_the_watchdog_is_killed_too_then_the_processes_still_end(web: Stack) -> None:
    web.up(deployment())
    pid, supervisor = web.pids()[0], web.supervisor()
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    (watchdog,) = [int(child) for child in children if int(child) != pid]
    kill(watchdog)
    kill(supervisor)
    until(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="finds the watchdog in /proc")
def test_when_the_watchdog_is_gone_then_another_takes_its_place(web: Stack) -> None:
    web.up(deployment())
    supervisor = web.supervisor()
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    (watchdog,) = [int(child) for child in children if int(child) != web.pids()[0]]
    kill(watchdog)
    web.up(deployment(replicas=2))
    everyone = [get(pod, "/child") for pod in web.ready()]
    kill(supervisor)
    until(lambda: not any(map(alive, everyone)))
