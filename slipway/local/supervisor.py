"""The controllers of one stack: Deployments -> Pods -> EndpointSlices and status, over the folder of objects.

`reconcile` compares what is there with what is wanted and does what is missing. It runs whenever a file or a
pod has changed and is safe to run at any time. Decisions are in `rollout.py`, objects in `objects.py`.
Only this process writes Pods, slices and the status of Deployments.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import signal
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slipway.kube.folder import Object
from slipway.kube.read import HASH_LABEL, items, replicas
from slipway.local.container import ConfigError, LocalImage
from slipway.local.objects import (
    container_ports,
    endpoint_slice,
    host_ports,
    pod,
    pod_status,
    selected,
)
from slipway.local.pod import Pod, now
from slipway.local.ports import behind_load_balancer, busy, free
from slipway.local.process import Children, Watchdog
from slipway.local.rollout import PodView, limits, plan, status, template_hash
from slipway.local.state import State, Supervisor, held, started, version

POLL = 0.1  # seconds between looks at the folder
RETRY = 1.0  # seconds after a failure
OLD_LOGS = 5  # of pods that are gone, kept for each Deployment
log = logging.getLogger(__name__)
Key = tuple[str, str]  # namespace, name


@dataclasses.dataclass
class Running:
    """A pod of ours and what was last written about it."""

    owner: Key
    pod: Pod
    age: int
    task: asyncio.Task[None]
    fixed_ports: bool
    stopping: bool = False

    @property
    def view(self) -> PodView:
        """What the rollout needs to know of it."""
        metadata = self.pod.object["metadata"]
        return PodView(
            metadata["name"], metadata["labels"][HASH_LABEL], self.age, self.pod.ready, self.stopping
        )


class Controller:
    """All of a stack's pods."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._folder = state.objects
        self._wake = asyncio.Event()
        self._stop = False
        self._age = 0
        self._pods: dict[Key, Running] = {}
        self._slices: set[Key] = set()
        self._watchdog = Watchdog()
        self._children = Children(self._guard)

    async def run(self) -> None:
        """Reconcile until a signal or the loss of its state says to stop, then stop every pod."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_retry)
        self._forget()
        me = Supervisor(os.getpid(), started(os.getpid()) or "", version())
        self._state.write_supervisor(me)
        seen: object = None
        while not (self._stop and not self._pods):
            if not self._stop and self._state.supervisor() is None:
                log.error("the record of this supervisor is gone: no command finds it any more, so it ends")
                self._on_stop()
            fingerprint = (self._folder.fingerprint(), _stamp(self._state.images))
            if fingerprint != seen or self._wake.is_set():
                self._wake.clear()
                seen = fingerprint
                try:
                    self._reconcile()
                except Exception:  # a full disk, say: what runs goes on, and we try again
                    log.exception("reconcile")
                    await asyncio.sleep(RETRY)
                    seen = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL)
        self._reconcile()
        self._watchdog.close()

    def _on_stop(self) -> None:
        self._stop = True
        self._wake.set()

    def _on_retry(self) -> None:
        for running in self._pods.values():
            running.pod.retry.set()
        self._wake.set()

    def _guard(self, groups: Mapping[int, str]) -> None:
        self._watchdog.guard(sorted(groups))
        try:
            self._state.write_processes(groups)
        except OSError:  # the watchdog knows; the record is for when it is killed too
            log.exception("processes")

    def _forget(self) -> None:
        """Remove what an earlier supervisor wrote of pods that are gone."""
        for kind in ("Pod", "EndpointSlice"):
            for obj in self._folder.list(kind):
                self._folder.delete(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
        shutil.rmtree(self._state.pods, ignore_errors=True)

    def _reconcile(self) -> None:
        services = self._folder.list("Service")
        deployments = {_key(obj): obj for obj in self._folder.list("Deployment")}
        images = self._state.read_images()
        for key, running in self._pods.items():
            running.stopping |= self._stop or running.owner not in deployments
            if not running.stopping:
                try:
                    running.pod.write_volumes()
                except ConfigError:
                    pass  # its container says so when it starts
                except Exception:  # one pod's files must not stop the others
                    log.exception("volumes of pod %s/%s", *key)
        for key, deployment in deployments.items():
            try:
                self._roll(key, deployment, services, images)
            except Exception:  # one Deployment that cannot be read must not stop the others
                log.exception("Deployment %s/%s", *key)
        for key, running in self._pods.items():
            self._write_pod(key, running)
        self._write_slices(services)
        # Only now, when every router can know, is a pod asked to stop.
        for running in self._pods.values():
            if running.stopping:
                running.pod.stopping.set()

    def _roll(
        self, key: Key, deployment: Object, services: Sequence[Object], images: Mapping[str, LocalImage]
    ) -> None:
        spec: Object = deployment["spec"]
        template: Object = spec["template"]
        pod_spec: Object = template["spec"]
        used = [c["image"] for kind in ("initContainers", "containers") for c in items(pod_spec, kind)]
        missing = set(used) - set(images)
        if missing:
            raise LookupError(f"no such image here: {', '.join(sorted(missing))}")
        current = template_hash(template, {name: dataclasses.asdict(image) for name, image in images.items()})
        fixed = behind_load_balancer(deployment, services)
        allowed = limits(spec, fixed_ports=bool(fixed))
        wanted = 0 if self._stop else replicas(spec)
        while True:
            views = [running.view for running in self._pods.values() if running.owner == key]
            step = plan(wanted, current, allowed, views)
            for name in step.stop:
                self._pods[key[0], name].stopping = True
            for _ in range(step.create):
                self._create(key, deployment, current, images, fixed=fixed)
            if not step.stop and not step.create:
                break
        new = status(deployment, current, allowed, views, now())
        if new != deployment.get("status"):
            self._folder.update("Deployment", *key, _set("status", new))

    def _create(
        self,
        owner: Key,
        deployment: Object,
        current: str,
        images: Mapping[str, LocalImage],
        *,
        fixed: set[int],
    ) -> None:
        name = f"{owner[1]}-{current}-{_random(5)}"
        first = bool(fixed) and not any(r.fixed_ports and r.owner == owner for r in self._pods.values())
        declared = container_ports(deployment["spec"]["template"])
        ports = dict(zip(declared, free(self._taken()), strict=False))
        if first:  # it keeps its other ports too, unless somebody has them
            ports |= {port: port for port in declared if port in fixed or not busy(port)}
        obj = self._folder.put(pod(deployment, name, current, ports))
        logs = self._state.logs / owner[0] / owner[1]
        self._drop_old_logs(logs)
        new = Pod(
            obj,
            images,
            self._children,
            self._folder.get,
            volumes=self._state.pods / name,
            logs=logs,
            extra={"SLIPWAY_OBJECTS": str(self._folder.root)},
            changed=self._wake.set,
        )
        key = (owner[0], name)
        task = asyncio.create_task(new.run(), name=f"pod {owner[0]}/{name}")
        task.add_done_callback(lambda ended: self._gone(key, ended))
        self._age += 1
        self._pods[key] = Running(owner, new, self._age, task, first)

    def _gone(self, key: Key, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.error("pod %s/%s ended unexpectedly", *key, exc_info=task.exception())
        del self._pods[key]
        self._folder.delete("Pod", *key)
        self._wake.set()

    def _write_pod(self, key: Key, running: Running) -> None:
        current = running.pod
        before: Object = current.object.get("status") or {}
        new = pod_status(
            [container.view for container in current.init],
            [container.view for container in current.containers],
            started=current.started,
            now=now(),
            before=before,
        )
        marked = "deletionTimestamp" in current.object["metadata"]
        if new == before and marked == running.stopping:
            return
        current.object["status"] = new
        if running.stopping and not marked:
            current.object["metadata"]["deletionTimestamp"] = now()
        current.object = self._folder.put(current.object)
        log.info("pod %s/%s: %s", *key, _summary(running))

    def _write_slices(self, services: Sequence[Object]) -> None:
        wanted: set[Key] = set()
        for service in services:
            for running in self._pods.values():
                if selected(service, running.pod.object):
                    view = running.view
                    obj = endpoint_slice(
                        service, running.pod.object, ready=view.ready, stopping=view.stopping
                    )
                    wanted.add(_key(obj))
                    self._folder.put(obj)
        for key in self._slices - wanted:
            self._folder.delete("EndpointSlice", *key)
        self._slices = wanted

    def _taken(self) -> set[int]:
        """Ports that pods have or insist on."""
        taken = {
            port
            for obj in self._folder.list("Deployment")
            for port in container_ports(obj["spec"]["template"])
        }
        for running in self._pods.values():
            taken |= set(host_ports(running.pod.object))
        return taken

    def _drop_old_logs(self, folder: Path) -> None:
        living = tuple(f"{name}." for _, name in self._pods)
        old = [path for path in folder.glob("*.log*") if not path.name.startswith(living)]
        for path in sorted(old, key=lambda path: path.stat().st_mtime)[:-OLD_LOGS]:
            path.unlink()


async def supervise(state: State) -> None:
    """Run the stack in `state` until SIGTERM. Raises SystemExit if somebody else does already."""
    with held(state.root / "supervisor.lock", str(os.getpid())) as holder:
        if holder is not None:
            raise SystemExit(f"process {holder} supervises {state.root} already")
        await Controller(state).run()


def _key(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _stamp(path: Path) -> object:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _set(field: str, value: Object) -> Callable[[Object], Object]:
    return lambda obj: {**obj, field: value}


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length))


def _summary(running: Running) -> str:
    views = [container.view for container in (*running.pod.init, *running.pod.containers)]
    states = [f"{v.name} {v.waiting[0] if v.waiting else v.pid or 'done'}" for v in views]
    return ", ".join(
        [*states, "ready" if running.pod.ready else "not ready", *["stopping"] * running.stopping]
    )
