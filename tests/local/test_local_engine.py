"""Kubernetes objects that no component of ours wrote, as real processes."""

import base64
import stat
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from slipway.kube.folder import Object
from slipway.local.state import LocalError
from tests.local.local_stack import Stack, alive, container, deployment, get, port_of, service, stack, until


@pytest.fixture
def web(tmp_path: Path) -> Generator[Stack]:
    with stack(tmp_path / "state") as one:
        yield one


def test_when_objects_are_up_then_their_pods_run_with_what_they_name(web: Stack) -> None:
    obj = deployment(replicas=2, GREETING="hello", CACHE="/cache/models", LISTEN="$(POD_IP):$(PORT)")
    obj["spec"]["template"]["metadata"]["annotations"] = {"owner": "team a"}
    pod = obj["spec"]["template"]["spec"]
    pod["volumes"] = [
        {"name": "cache", "emptyDir": {}},
        {"name": "settings", "configMap": {"name": "settings"}},
        {
            "name": "credentials",
            "secret": {"secretName": "credentials", "items": [{"key": "token", "path": "a/t"}]},
        },
        {
            "name": "info",
            "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
    ]
    mounts = {"cache": "/cache", "settings": "/etc/settings", "credentials": "/run/secrets", "info": "/info"}
    server = container(obj)
    server["args"] = ["--name", "$(SERVICE)", "$$(SERVICE)", "$(UNKNOWN)"]
    server["volumeMounts"] = [{"name": name, "mountPath": path} for name, path in mounts.items()]
    server["envFrom"] = [{"configMapRef": {"name": "settings"}, "prefix": "SET_"}]
    server["env"] += [
        {"name": "SERVICE", "value": "web"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "token"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "TIER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tier']"}}},
        {"name": "OWNER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['owner']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        *({"name": name.upper(), "value": path} for name, path in mounts.items() if name != "cache"),
    ]
    metadata = {"name": "settings", "namespace": "shop"}
    secret = {**metadata, "name": "credentials"}
    web.up(
        {"kind": "ConfigMap", "metadata": metadata, "data": {"colour": "red"}},
        {"kind": "Secret", "metadata": secret, "stringData": {"token": "s3cret", "other": "x"}},
        service(),
        obj,
    )
    first, second = web.ready()
    assert port_of(first) != port_of(second)
    for running in (first, second):
        env = get(running, "/env")
        assert env["PORT"] == str(port_of(running))
        assert env["LISTEN"] == f"127.0.0.1:{port_of(running)}"
        assert (env["GREETING"], env["TOKEN"], env["SET_colour"]) == ("hello", "s3cret", "red")
        assert (env["NAME"], env["TIER"]) == (running["metadata"]["name"], "front")
        assert (env["OWNER"], env["NODE"]) == ("team a", "local")
        assert get(running, "/me")["argv"] == ["--name", "web", "$(SERVICE)", "$(UNKNOWN)"]
        assert Path(env["CACHE"]).parent.is_dir()
        assert env["CACHE"].endswith("/models")
        assert get(running, f"/file?path={env['SETTINGS']}/colour") == "red"
        assert get(running, f"/file?path={env['CREDENTIALS']}/a/t") == "s3cret"
        assert 'tier="front"' in get(running, f"/file?path={env['INFO']}/l")
        own = {"PATH", "HOSTNAME", "HOME", "SLIPWAY_OBJECTS", "LC_CTYPE"}
        names = {variable["name"] for variable in server["env"]} | own | {"SET_colour"}
        assert set(env) - names == set(), "nothing of the caller's"
    assert {s["metadata"]["labels"]["kubernetes.io/service-name"] for s in web.slices()} == {"web"}
    assert {s["metadata"]["labels"]["team"] for s in web.slices()} == {"a"}
    assert sorted(web.routable()) == sorted(map(port_of, (first, second)))
    stored = web.state.objects.get("Deployment", "shop", "web")
    assert stored is not None
    assert (stored["status"]["readyReplicas"], stored["status"]["updatedReplicas"]) == (2, 2)
    assert {c["type"]: c["status"] for c in stored["status"]["conditions"]}["Available"] == "True"
    assert "web: 2 of 2 ready" in web.said
    for path in [web.state.root, *web.state.root.rglob("*")]:
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_when_up_runs_again_then_nothing_changes(web: Stack) -> None:
    objects = (service(), deployment(replicas=2))
    web.up(*objects)
    before = web.pids(), web.supervisor(), web.state.objects.fingerprint()
    web.up(*objects)
    assert (web.pids(), web.supervisor(), web.state.objects.fingerprint()) == before


def test_when_one_service_changes_then_the_others_keep_their_processes(web: Stack) -> None:
    web.up(deployment("web"), deployment("other"), deployment("third"))
    before = web.pids("web"), web.pids("other"), web.pids("third")
    web.up(deployment("web"), deployment("other", GREETING="new"))
    assert web.pids("web") == before[0]
    assert web.pids("other") != before[1]
    until(lambda: not alive(before[1][0]))
    assert not alive(before[2][0]), "a service that was taken out is gone"
    assert web.pods("third") == []
    assert web.state.objects.get("Deployment", "shop", "third") is None


def test_when_a_service_is_scaled_then_the_pods_there_are_stay(web: Stack) -> None:
    web.up(deployment(replicas=1))
    before = web.pids()
    web.up(deployment(replicas=3))
    assert len(web.pids()) == 3
    assert set(before) <= set(web.pids())
    assert web.state.objects.update("Deployment", "shop", "web", _replicas(2)) is not None
    until(lambda: len(web.pids()) == 2)


def _replicas(number: int) -> Callable[[Object], Object]:
    return lambda obj: {**obj, "spec": {**obj["spec"], "replicas": number}}


def test_when_a_service_changes_under_load_then_no_request_is_lost(web: Stack) -> None:
    web.up(service(), deployment(replicas=2, GREETING="one", DRAIN="1"))
    stop = False
    greetings: list[str] = []

    def client() -> int:
        """A router that looks at the slices before each request, as ours does."""
        count = 0
        while not stop:
            for port in web.routable()[:1]:
                greetings.append(get(port, "/env")["GREETING"])
                get(port, "/slow?seconds=0.05")
                count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(client) for _ in range(2)]
        until(lambda: "one" in greetings)
        web.up(service(), deployment(replicas=2, GREETING="two", DRAIN="1"))
        until(lambda: greetings[-1] == "two")
        stop = True
        assert sum(client.result() for client in clients) > 10
    assert set(greetings) == {"one", "two"}


def test_when_the_new_version_never_gets_ready_then_the_old_one_goes_on(web: Stack) -> None:
    web.up(service(), deployment())
    before = web.ready()[0]
    with pytest.raises(LocalError, match="not ready after 1 s: web"):
        web.up(service(), deployment(READY_AFTER="100"), timeout=1)
    assert [pod["metadata"]["name"] for pod in web.ready()] == [before["metadata"]["name"]]
    assert web.routable() == [port_of(before)]


def test_when_a_process_crashes_at_start_then_up_shows_its_traceback_at_once(web: Stack) -> None:
    began = time.monotonic()
    with pytest.raises(LocalError) as caught:
        web.up(deployment(CRASH="no such model"))
    assert time.monotonic() - began < 30, "it waits for nothing more"
    assert "web exited with code 1 before it was ready" in str(caught.value)
    assert "Traceback (most recent call last)" in str(caught.value)
    assert "RuntimeError: no such model" in str(caught.value)
    until(lambda: "CrashLoopBackOff" in str(web.pods()))
    assert web.pods()[0]["status"]["containerStatuses"][0]["restartCount"] >= 1
    web.up(deployment())
    assert len(web.ready()) == 1, "corrected, it comes up, and the broken pod is gone"


def test_when_a_secret_is_missing_then_up_names_it(web: Stack) -> None:
    obj = deployment()
    reference = {"secretKeyRef": {"name": "absent", "key": "k"}}
    container(obj)["env"].append({"name": "TOKEN", "valueFrom": reference})
    with pytest.raises(LocalError, match="Secret shop/absent does not exist"):
        web.up(obj)
    secret = {"kind": "Secret", "metadata": {"name": "absent", "namespace": "shop"}, "stringData": {"k": "v"}}
    web.up(obj, secret)
    assert get(web.ready()[0], "/env")["TOKEN"] == "v"


def test_when_a_pod_cannot_be_configured_then_up_says_why_and_the_others_go_on(web: Stack) -> None:
    web.up(service(), deployment())
    binary = base64.b64encode(b"\xff").decode()
    secret = {"kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}, "data": {"k": binary}}
    obj = deployment("other")
    container(obj)["envFrom"] = [{"secretRef": {"name": "s"}}]
    obj["spec"]["template"]["spec"]["volumes"] = [{"name": "m", "configMap": {"name": "m"}}]
    settings: Object = {"kind": "ConfigMap", "metadata": {"name": "m", "namespace": "shop"}}
    with pytest.raises(LocalError, match="Secret shop/s: the value of `k` is no text"):
        web.up(service(), deployment(), secret, settings, obj)
    (broken,) = web.pods("other")
    with pytest.raises(LocalError, match="ConfigMap shop/m: the value of `k` is no base64"):
        web.up(service(), deployment(GREETING="new"), secret, {**settings, "binaryData": {"k": "?"}}, obj)
    assert [pod["metadata"]["name"] for pod in web.pods("other")] == [broken["metadata"]["name"]], "no loop"
    until(lambda: any("GREETING" in str(pod["spec"]) for pod in web.ready()))


def test_when_it_is_taken_down_then_nothing_runs_and_the_keys_stay(web: Stack) -> None:
    keys = {
        "kind": "Secret",
        "metadata": {"name": "keys", "namespace": "shop"},
        "stringData": {"primary": "first"},
    }
    web.up(keys, service(), deployment(replicas=2))
    everyone = [*web.pids(), web.supervisor()]
    assert web.down() is True
    assert not any(map(alive, everyone))
    assert web.pods() == []
    assert web.slices() == []
    assert web.down() is False
    keys["stringData"] = {"primary": "second"}
    web.up(keys, service(), deployment())
    stored = web.state.objects.get("Secret", "shop", "keys")
    assert stored is not None
    assert base64.b64decode(stored["data"]["primary"]) == b"first"


def test_when_a_process_ignores_sigterm_then_it_is_killed_after_its_grace(web: Stack) -> None:
    obj = deployment(IGNORE_TERM="1")
    obj["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
    web.up(obj)
    pid, began = web.pids()[0], time.monotonic()
    web.down()
    assert not alive(pid)
    assert 1 <= time.monotonic() - began < 30, "that of a pod which names none"
    assert "SIGTERM" in web.log()


def test_when_it_is_taken_down_then_requests_under_way_are_answered(web: Stack) -> None:
    web.up(service(), deployment())
    port = port_of(web.ready()[0])
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(get, port, "/slow?seconds=1.5")
        late = pool.submit(web.down)
        until(lambda: web.slices() and web.slices()[0]["endpoints"][0]["conditions"]["terminating"])
        assert web.routable() == []
        assert slow.result() == "ok"
        assert late.result() is True


def test_when_init_containers_are_given_then_they_run_first_one_by_one(web: Stack) -> None:
    obj = deployment()
    pod = obj["spec"]["template"]["spec"]
    write = "import os, pathlib, sys; f = pathlib.Path(os.environ['OUT']); f.open('a').write(sys.argv[1])"
    mount = [{"name": "models", "mountPath": "/models"}]
    out = [{"name": "OUT", "value": "/models/file"}]
    init = {"image": container(obj)["image"], "volumeMounts": mount, "env": out}
    command = [sys.executable, "-c", write]
    pod["initContainers"] = [{**init, "name": n, "command": command, "args": [n]} for n in ("a", "b")]
    pod["volumes"] = [{"name": "models", "emptyDir": {}}]
    container(obj)["volumeMounts"] = mount
    container(obj)["env"] += out
    web.up(obj)
    running = web.ready()[0]
    assert get(running, f"/file?path={get(running, '/env')['OUT']}") == "ab"


def test_when_an_init_container_stays_then_it_begins_first_and_ends_last(web: Stack) -> None:
    obj = deployment()
    pod = obj["spec"]["template"]["spec"]
    beside = (
        "import signal, time\n"
        "def end(*_):\n    print('ended', time.time_ns(), flush=True); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('began', time.time_ns(), flush=True)\n"
        "while True: signal.pause()\n"
    )
    command = [sys.executable, "-c", beside]
    pod["initContainers"] = [
        {"name": "beside", "image": container(obj)["image"], "command": command, "restartPolicy": "Always"}
    ]
    web.up(service(), obj)
    port = port_of(web.ready()[0])
    said = next((web.state.logs / "shop/web").glob("*.beside.log"))
    until(lambda: "began" in said.read_text())
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(get, port, "/slow?seconds=1")
        until(lambda: get(port, "/ready") == "ok")
        web.down()
        answered = time.time_ns()
        assert slow.result() == "ok"
    began, ended = (int(line.split()[-1]) for line in said.read_text().splitlines() if line.split())
    assert ended - began > 500_000_000
    assert answered - ended < 500_000_000, "it ended when the other container had"


def test_when_a_mounted_config_map_changes_then_so_does_its_file(web: Stack) -> None:
    obj = deployment(SETTINGS="/etc/settings")
    obj["spec"]["template"]["spec"]["volumes"] = [{"name": "s", "configMap": {"name": "s"}}]
    container(obj)["volumeMounts"] = [{"name": "s", "mountPath": "/etc/settings"}]
    settings = {
        "kind": "ConfigMap",
        "metadata": {"name": "s", "namespace": "shop"},
        "data": {"colour": "red"},
    }
    web.up(settings, obj)
    pod, pids = web.ready()[0], web.pids()
    path = get(pod, "/env")["SETTINGS"]
    web.up({**settings, "data": {"colour": "blue"}}, obj)
    until(lambda: get(pod, f"/file?path={path}/colour") == "blue")
    assert web.pids() == pids


def test_when_a_process_prints_megabytes_then_the_log_stays_bounded(web: Stack) -> None:
    web.up(deployment())
    pod = web.ready()[0]
    get(pod, "/print?lines=400000", timeout=30)  # 32 MB
    logs = list((web.state.logs / "shop/web").glob("*.log*"))
    assert len(logs) == 2
    assert sum(path.stat().st_size for path in logs) <= 21 * 1024 * 1024
    assert get(pod, "/ready") == "ok"
