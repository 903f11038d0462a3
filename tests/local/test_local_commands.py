"""`up` and `down` as a person meets them: locks, ports, versions, what stays on disk."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from slipway.kube.folder import Object
from slipway.local.state import LocalError, State, started
from slipway.local.up import PortsBusy
from slipway.problems import Problems
from tests.local.local_stack import (
    IMAGE,
    Stack,
    alive,
    container,
    deployment,
    get,
    image,
    pid_of,
    port_of,
    service,
    stack,
    until,
)
from tests.ports import free_port, free_ports


@pytest.fixture
def web(tmp_path: Path) -> Generator[Stack]:
    with stack(tmp_path / ".slipway" / "local") as one:
        yield one


def with_port(obj: Object, port: int, name: str) -> Object:
    container(obj)["ports"].append({"name": name, "containerPort": port})
    return obj


def test_when_another_command_is_at_work_then_up_is_refused_with_the_reason(web: Stack) -> None:
    with web.state.lock("slipway up"):
        with pytest.raises(LocalError) as caught:
            web.up(deployment())
        assert f"`slipway up (process {os.getpid()})` is at work" in str(caught.value)
        assert caught.value.hint == "wait until it has ended; nothing was changed"
        with pytest.raises(LocalError):
            web.down()
    web.up(deployment())


def test_when_the_command_that_held_the_lock_was_killed_then_the_next_one_goes_on(web: Stack) -> None:
    code = (
        "import pathlib, sys, time; from slipway.local.state import State\n"
        "with State(pathlib.Path(sys.argv[1])).lock('slipway up'): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(web.state.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LocalError, match=f"process {other.pid}"):
            web.up(deployment())
        other.kill()
    web.up(deployment())


def test_when_objects_cannot_run_here_then_all_mistakes_come_before_anything_is_made(web: Stack) -> None:
    obj = deployment()
    container(obj)["lifecycle"] = {}
    obj["spec"]["paused"] = True
    with pytest.raises(Problems) as caught:
        web.up(obj, deployment("other"), images={"another:1": image()})
    assert len(caught.value.lines) == 4
    assert web.state.objects.list("Deployment") == []
    assert web.state.supervisor() is None


def test_behind_a_load_balancer_the_first_pod_keeps_its_ports_and_others_get_free_ones(web: Stack) -> None:
    port, admin = free_ports(2)
    obj = with_port(deployment(replicas=2, port=port), admin, "admin")
    with socket.create_server(("127.0.0.1", admin)):  # no load balancer leads here, so another will do
        web.up(service(kind="LoadBalancer"), obj)
    first = [pod for pod in web.ready() if port_of(pod) == port]
    assert len(first) == 1
    assert get(port, "/me")["pid"] == pid_of(first[0])
    assert first[0]["spec"]["containers"][0]["ports"][1]["hostPort"] != admin
    web.up(
        service(kind="LoadBalancer"), with_port(deployment(replicas=2, port=port, NEW="1"), admin, "admin")
    )
    assert get(port, "/env")["NEW"] == "1", "its successor has the ports"
    assert len(web.ready()) == 2


def test_when_a_port_is_busy_then_it_is_found_before_anything_starts(web: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortsBusy, match=f"port {port}, which shop/web listens on, is in use"):
            web.up(service(kind="LoadBalancer"), deployment(port=port))
    assert web.state.supervisor() is None
    assert web.state.objects.list("Deployment") == []
    web.up(service(kind="LoadBalancer"), deployment(port=port))
    web.up(service(kind="LoadBalancer"), deployment(port=port))  # that it is busy with ourselves is no matter


def test_when_two_deployments_want_one_port_then_both_are_named(web: Stack) -> None:
    port = free_port()
    services = [service(name, "LoadBalancer") for name in ("web", "other")]
    with pytest.raises(PortsBusy, match=f"port {port} is wanted by both web and other"):
        web.up(*services, deployment(port=port), deployment("other", port=port))


def test_when_a_supervisor_of_another_version_runs_then_it_is_replaced(web: Stack) -> None:
    keys: Object = {"kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"primary": "first"}}
    web.up(keys, deployment())
    before = [web.supervisor(), *web.pids()]
    stored = web.state.objects.get("Secret", "default", "keys")
    record = json.loads((web.state.root / "supervisor.json").read_text())
    (web.state.root / "supervisor.json").write_text(json.dumps({**record, "version": "0.0.1+older"}))
    web.up({**keys, "stringData": {"primary": "second"}}, deployment())
    assert "replacing the supervisor, which another version started" in web.said
    assert not any(map(alive, before))
    assert len(web.ready()) == 1
    assert web.state.objects.get("Secret", "default", "keys") == stored


def test_when_an_image_becomes_another_then_its_pods_are_replaced(web: Stack) -> None:
    web.up(deployment(), images={IMAGE: image(BUILD="1")})
    before = web.pids()
    web.up(deployment(), images={IMAGE: image(BUILD="2")})
    assert get(web.ready()[0], "/env")["BUILD"] == "2"
    assert web.pids() != before


def test_when_replicas_are_left_out_then_those_of_the_autoscaler_stay(web: Stack) -> None:
    web.up(deployment(replicas=1))
    changed = web.state.objects.update("Deployment", "shop", "web", _with_replicas)
    assert changed is not None
    obj = deployment()
    del obj["spec"]["replicas"]
    web.up(obj)
    assert len(web.ready()) == 2


def _with_replicas(obj: Object) -> Object:
    return {**obj, "spec": {**obj["spec"], "replicas": 2}}


def test_when_a_command_is_not_there_then_up_says_so(web: Stack) -> None:
    obj = deployment()
    container(obj)["command"] = ["no-such-program"]
    with pytest.raises(LocalError, match="no-such-program"):
        web.up(obj)


def test_when_the_supervisor_cannot_start_then_its_words_are_shown(
    web: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(LocalError, match=r"the supervisor did not start\n(.|\n)*encodings"):
        web.up(deployment())


def test_when_a_pid_was_given_to_another_process_then_it_is_left_alone(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.make()
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    ) as other:
        state.write_processes({other.pid: "another start"})
        assert state.kill_leftovers() == 0
        assert other.poll() is None
        start = started(other.pid)
        assert start is not None
        state.write_processes({other.pid: start})
        assert state.kill_leftovers() == 1
    assert started(other.pid) is None


def test_when_two_ups_start_at_once_then_one_wins_and_one_is_refused(web: Stack) -> None:
    outcomes: list[str] = []

    def one() -> None:
        try:
            web.up(deployment(READY_AFTER="0.5"))
            outcomes.append("up")
        except LocalError:
            outcomes.append("refused")

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "up"]
    assert len(web.ready()) == 1


def test_state_belongs_to_its_user_alone(web: Stack) -> None:
    web.up(service(), deployment())
    until(lambda: "starting" in web.log())
    assert stat.S_IMODE((web.state.root.parent).stat().st_mode) == 0o700
    assert (web.state.root.parent / ".gitignore").read_text() == "*\n"
    for path in web.state.root.rglob("*"):
        assert path.lstat().st_mode & 0o077 == 0, path
