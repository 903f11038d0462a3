"""What a person's command does to a stack: bring it up to a set of objects, or down.

Works on files and signals only: the supervisor does the rest. Callers hold `State.lock`. `up` takes any
Kubernetes objects and the images that they name, and knows nothing of where either came from.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from slipway.kube.folder import Object
from slipway.kube.read import HASH_LABEL, is_ready, items, replicas
from slipway.local import ports
from slipway.local.container import LocalImage
from slipway.local.fields import check
from slipway.local.objects import host_ports, owner
from slipway.local.pod import now
from slipway.local.rollout import template_hash
from slipway.local.state import LocalError, State, Supervisor, read_json, started, version, write_json
from slipway.problems import Problems

Say = Callable[[str], None]
Key = tuple[str, str, str]  # kind, namespace, name

POLL = 0.05  # seconds
SUPERVISOR_SECONDS = 30.0  # to start
CONFIG_SECONDS = 3.0  # for a missing Secret or ConfigMap to appear
CLUSTER_SCOPED = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "PriorityClass",
}


class PortsBusy(LocalError):
    """A port that a pod insists on is in use by somebody else."""


@dataclass(frozen=True)
class Wanted:
    """The pods that a Deployment is to have, and no others."""

    namespace: str
    name: str
    hash: str


def normalise(objects: Collection[Object]) -> list[Object]:
    """Give every namespaced object its namespace, `default` where none is named."""
    return [
        obj
        if obj["kind"] in CLUSTER_SCOPED
        else {
            **obj,
            "metadata": {**obj["metadata"], "namespace": obj["metadata"].get("namespace") or "default"},
        }
        for obj in objects
    ]


def verify(state: State, objects: Collection[Object], images: Collection[str]) -> None:
    """Find out what would fail, before anything is made. Raises Problems, or PortsBusy."""
    objects = normalise(objects)
    lines = check(objects, images)
    if lines:
        raise Problems(lines)
    ours: set[int] = set()
    if state.supervisor() is not None:
        ours = {port for pod in state.objects.list("Pod") for port in host_ports(pod)}
    else:
        state.kill_leftovers()  # they may hold the ports
    wanted: dict[int, ports.Fixed] = {}
    for fixed in ports.fixed(objects):
        other = wanted.setdefault(fixed.port, fixed)
        if (other.namespace, other.deployment) != (fixed.namespace, fixed.deployment):
            lines.append(f"port {fixed.port} is wanted by both {other.deployment} and {fixed.deployment}")
    taken = [fixed for port, fixed in wanted.items() if port not in ours and ports.busy(port)]
    lines += [f"port {f.port}, which {f.namespace}/{f.deployment} listens on, is in use" for f in taken]
    if lines:
        raise PortsBusy("\n".join(lines), "stop what uses it, or give another port")


def up(
    state: State,
    objects: Collection[Object],
    images: Mapping[str, LocalImage],
    *,
    timeout: float = 600,
    say: Say = lambda _: None,
) -> None:
    """Make the stack be `objects`, and return when every pod is ready and no other is left.

    Pods whose template and image are the same go on running. Secrets that exist stay as they are. Raises
    Problems or PortsBusy with nothing done; LocalError if a new pod crashes (its last words are in the
    message) or `timeout` seconds pass, with the pods left as they are.
    """
    objects = normalise(objects)
    verify(state, objects, images)
    began = now()
    running = state.supervisor()
    if running is not None and running.version != version():
        say("replacing the supervisor, which another version started")
        down(state, say)
        running = None
    state.write_images({**state.read_images(), **images})  # old pods' images too, until they are gone
    _apply(state, objects)
    if running is None:
        _start(state)
    else:
        with contextlib.suppress(ProcessLookupError):  # then waiting says so
            os.kill(running.pid, signal.SIGHUP)
    _wait(state, list(_wanted(objects, images)), began, timeout, say)
    state.write_images(images)


def down(state: State, say: Say = lambda _: None) -> bool:
    """Stop every process of the stack; its Secrets stay. Returns whether anything was running."""
    supervisor = state.supervisor()
    if supervisor is not None:
        pods = state.objects.list("Pod")
        grace = max([pod["spec"].get("terminationGracePeriodSeconds", 30) for pod in pods], default=0)
        say(f"stopping {len(pods)} {'pod' if len(pods) == 1 else 'pods'}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGTERM)
        if not _until(lambda: _ended(supervisor), grace + 10):
            os.kill(supervisor.pid, signal.SIGKILL)
            _until(lambda: _ended(supervisor), 10)
    killed = state.kill_leftovers()
    for kind in ("Pod", "EndpointSlice"):
        for obj in state.objects.list(kind):
            state.objects.delete(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
    shutil.rmtree(state.pods, ignore_errors=True)
    return supervisor is not None or killed > 0


def _apply(state: State, objects: Sequence[Object]) -> None:
    """Write what is new or changed, remove what an earlier `up` wrote and this one does not."""
    applied = state.root / "applied.json"
    before = [cast("Key", tuple(key)) for key in read_json(applied).get("objects", [])]
    keys = [_key(obj) for obj in objects]
    write_json(applied, {"objects": list({*before, *keys})})  # an `up` that is killed forgets nothing
    gone = [key for key in before if key not in keys]
    for key in sorted(gone, key=lambda key: key[0] != "Deployment"):
        state.objects.delete(*key)
    # Deployments last: what they refer to is there when the supervisor sees them.
    for obj in sorted(objects, key=lambda obj: obj["kind"] == "Deployment"):
        current = state.objects.get(*_key(obj))
        if obj["kind"] == "Secret" and current is not None:
            continue
        if current is None or obj["kind"] != "Deployment" or "replicas" in obj["spec"]:
            state.objects.put(obj)
        else:  # they are somebody else's to decide, an autoscaler's, also while we write
            state.objects.update(*_key(obj), lambda stored, obj=obj: _scaled(obj, stored))
    write_json(applied, {"objects": keys})


def _scaled(obj: Object, stored: Object) -> Object:
    """Give an object with the replicas of the one that is stored."""
    replicas = {name: value for name, value in stored["spec"].items() if name == "replicas"}
    return {**obj, "spec": {**obj["spec"], **replicas}}


def _start(state: State) -> None:
    """Start the supervisor as a process of its own, and wait until it is there."""
    log = str(state.supervisor_log)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(  # not subprocess: nobody waits for it, it outlives us
        sys.executable,
        [sys.executable, "-P", "-m", "slipway.local", str(state.root)],
        os.environ,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    if not _until(lambda: state.supervisor() is not None or started(pid) is None, SUPERVISOR_SECONDS):
        os.kill(pid, signal.SIGKILL)
    if state.supervisor() is None:
        raise LocalError(f"the supervisor did not start\n{_tail(state.supervisor_log)}".rstrip())


def _wanted(objects: Collection[Object], images: Mapping[str, LocalImage]) -> Iterator[Wanted]:
    known = {name: dataclasses.asdict(image) for name, image in images.items()}
    for obj in objects:
        if obj["kind"] == "Deployment":
            _, namespace, name = _key(obj)
            yield Wanted(namespace, name, template_hash(obj["spec"]["template"], known))


def _wait(state: State, wanted: Sequence[Wanted], began: str, timeout: float, say: Say) -> None:
    """Wait until the pods are as wanted, saying so as they come."""
    deadline = time.monotonic() + timeout
    told: dict[Wanted, str] = {}
    names = {(one.namespace, one.name) for one in wanted}
    while True:
        pods = state.objects.list("Pod")
        waiting = ["pods that are to go"] if any(owner(pod) not in names for pod in pods) else []
        for one in wanted:
            stored = state.objects.get("Deployment", one.namespace, one.name)
            number = replicas(stored["spec"]) if stored else 0  # an autoscaler may change it meanwhile
            own = [pod for pod in pods if owner(pod) == (one.namespace, one.name)]
            new = [pod for pod in own if pod["metadata"]["labels"][HASH_LABEL] == one.hash]
            for pod in new:
                _refuse_crash(pod, began, one.name)
            ready = sum(is_ready(pod) for pod in new)
            text = f"{one.name}: {ready} of {number} ready"
            if told.get(one) != text and number:
                told[one] = text
                say(text)
            if not ready == number == sum("deletionTimestamp" not in pod["metadata"] for pod in own):
                waiting.append(one.name)
        if not waiting:
            return
        if state.supervisor() is None:
            message = f"the supervisor has ended\n{_tail(state.supervisor_log)}"
            raise LocalError(message.rstrip(), "slipway up")
        if time.monotonic() > deadline:
            message = f"not ready after {timeout:g} s: {', '.join(waiting)}"
            raise LocalError(message, "`slipway logs NAME` shows why")
        time.sleep(POLL)


def _refuse_crash(pod: Object, began: str, name: str) -> None:
    """Raise LocalError if a pod that is not ready has crashed since `began`, or cannot be configured."""
    if is_ready(pod):
        return
    kinds = ("initContainerStatuses", "containerStatuses")
    for container in (status for kind in kinds for status in items(pod, "status", kind)):
        waiting: Object = container["state"].get("waiting") or {}
        if waiting.get("reason") == "CreateContainerConfigError" and _seconds_since(began) > CONFIG_SECONDS:
            raise LocalError(
                f"{name} cannot start: {waiting['message']}", "add it to the objects of the stack"
            )
        ended: Object | None = container["lastState"].get("terminated")
        if ended is not None and ended["finishedAt"] >= began:
            last_words = ended["message"].rstrip()
            what = (
                "was restarted" if ended["reason"] == "Unhealthy" else f"exited with code {ended['exitCode']}"
            )
            raise LocalError(
                f"{name} {what} before it was ready\n{last_words}".rstrip(), "correct it, then: slipway up"
            )


def _key(obj: Object) -> Key:
    return obj["kind"], obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


def _seconds_since(time_: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(time_)).total_seconds()


def _ended(supervisor: Supervisor) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(supervisor.pid, os.WNOHANG)  # ours, if this process started it
    return started(supervisor.pid) != supervisor.started


def _until(reached: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _tail(path: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return path.read_text(errors="replace")[-4000:]
    return ""
