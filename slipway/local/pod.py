"""One pod as processes: what a kubelet does. Starts, probes, restarts, stops; decides nothing about others.

Init containers run one after the other until each has succeeded, then all containers together. Those that
stay (`restartPolicy: Always`) run beside what comes after them, and end last. What each is doing is in its
`view`, a frozen value; `changed` is called whenever one changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.kube.folder import Object
from slipway.kube.read import items, port_of
from slipway.local.container import (
    ADDRESS,
    ConfigError,
    LocalImage,
    Lookup,
    Process,
    files,
    process,
)
from slipway.local.logs import Log
from slipway.local.objects import ContainerView, Termination
from slipway.local.probes import STEADY, Health, Probe, backoff, probe, step, wait
from slipway.local.process import Child, Children

CONFIG_RETRY = 1.0  # seconds until a missing Secret or ConfigMap is looked for again
MESSAGE_BYTES = 4096  # of a log's end, as Kubernetes' limit for a termination message
log = logging.getLogger(__name__)


def now() -> str:
    """Give the time as Kubernetes' MicroTime writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Pod:
    """A pod's processes, from start to end."""

    def __init__(
        self,
        pod: Object,
        images: Mapping[str, LocalImage],
        children: Children,
        lookup: Lookup,
        *,
        volumes: Path,
        logs: Path,
        extra: Mapping[str, str],
        changed: Callable[[], None],
    ) -> None:
        self.object = pod
        self.started = now()
        self.stopping = asyncio.Event()
        self.retry = asyncio.Event()
        self.volumes = volumes
        self.changed = changed
        self.lookup = lookup
        grace = pod["spec"].get("terminationGracePeriodSeconds")
        self.grace: float = 30 if grace is None else grace
        name: str = pod["metadata"]["name"]

        def container(spec: Object, *, stays: bool = False) -> Container:
            log = logs / f"{name}.{spec['name']}.log"
            return Container(self, spec, images[spec["image"]], children, log=log, extra=extra, stays=stays)

        self.emptied = asyncio.Event()
        """Set when all containers but those that stay have ended."""
        spec: Object = pod["spec"]
        self.init = [
            container(c, stays=c.get("restartPolicy") == "Always") for c in items(spec, "initContainers")
        ]
        self.containers = [container(c) for c in items(spec, "containers")]

    @property
    def ready(self) -> bool:
        """All of its containers are ready."""
        return all(container.view.ready for container in self.containers)

    async def run(self) -> None:
        """Run until `stopping` is set and every process has ended."""
        try:
            async with asyncio.TaskGroup() as staying:
                try:
                    await self._run(staying)
                finally:
                    self.emptied.set()
        finally:
            shutil.rmtree(self.volumes, ignore_errors=True)

    async def _run(self, staying: asyncio.TaskGroup) -> None:
        for container in self.init:
            if container.view.stays:
                staying.create_task(container.run(until_success=False), name=container.name)
            else:
                await container.run(until_success=True)
        async with asyncio.TaskGroup() as group:
            for container in self.containers:
                group.create_task(container.run(until_success=False), name=container.name)

    def write_volumes(self) -> None:
        """Bring the files of its volumes up to date. Raises ConfigError if something is missing."""
        for name, content in files(self.object, self.lookup).items():
            folder = self.volumes / name
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path, data in content.items():
                target = folder / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not target.exists() or target.read_bytes() != data:
                    temporary = target.with_name(f".{target.name}.new")
                    temporary.touch(mode=0o600)
                    temporary.write_bytes(data)
                    temporary.replace(target)


class Container:
    """One container: a process, and another one when it ends."""

    def __init__(
        self,
        pod: Pod,
        spec: Object,
        image: LocalImage,
        children: Children,
        *,
        log: Path,
        extra: Mapping[str, str],
        stays: bool,
    ) -> None:
        self.name: str = spec["name"]
        self.view = ContainerView(self.name, spec["image"], stays=stays)
        self._pod = pod
        self._stopping = pod.emptied if self.view.stays else pod.stopping
        self._spec = spec
        self._image = image
        self._children = children
        self._log = log
        self._extra = extra

    async def run(self, *, until_success: bool) -> None:
        """Run it again and again, with back-off, until the pod stops (or until it succeeds)."""
        crashes = 0
        loop = asyncio.get_running_loop()
        log = Log(self._log)
        try:
            while not self._stopping.is_set():
                began = loop.time()
                try:
                    ended = await self._once(log)
                except ConfigError as error:
                    self._show(waiting=("CreateContainerConfigError", str(error)))
                    await self._pause(CONFIG_RETRY)
                    continue
                done = until_success and ended.exit_code == 0
                if done or self._stopping.is_set():
                    self._show(pid=None, waiting=None, last=ended, ready=False, done=done)
                    return
                crashes = 1 if loop.time() - began > STEADY else crashes + 1
                delay = backoff(crashes)
                reason = (
                    ("CrashLoopBackOff", f"next start in {delay:g} s") if delay else ("ContainerCreating", "")
                )
                self._show(pid=None, waiting=reason, last=ended, ready=False)
                if await self._pause(delay):
                    crashes = 0
                self.view = replace(self.view, restarts=self.view.restarts + 1)
        finally:
            log.close()

    async def _once(self, log: Log) -> Termination:
        """Run one process to its end."""
        pod = self._pod
        program = self._program()
        started = now()
        try:
            child = self._children.start(program, log)
        except (OSError, ValueError) as error:
            log.write(f"{program.argv[0]} cannot be started: {error}\n".encode())
            return Termination(127, "ContainerCannotRun", str(error), started, now())
        self._show(pid=child.pid, started=started, waiting=None)
        ill = asyncio.Event()
        probes = asyncio.create_task(self._probe(ill), name=f"probes of {self.name}")
        waits = [asyncio.create_task(self._stopping.wait()), asyncio.create_task(ill.wait())]
        try:
            await asyncio.wait({child.exited, probes, *waits}, return_when=asyncio.FIRST_COMPLETED)
            if probes.done() and not child.exited.done():
                await asyncio.wait({child.exited, *waits}, return_when=asyncio.FIRST_COMPLETED)
            await child.stop(pod.grace)
        finally:
            child.kill()
            await _cancel(probes, *waits)
        return _termination(child, log, started, ill=ill.is_set())

    def _program(self) -> Process:
        """Write its files and say what to start. Raises ConfigError for whatever stands in the way.

        Anything else would end the pod, and its Deployment would make another one at once, again and again.
        """
        pod = self._pod
        try:
            pod.write_volumes()
            return process(
                pod.object,
                self._spec,
                self._image,
                volumes=pod.volumes,
                lookup=pod.lookup,
                extra=self._extra,
            )
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"{type(error).__name__}: {error}") from error

    async def _probe(self, ill: asyncio.Event) -> None:
        """Follow its probes; a failed startup or liveness probe sets `ill`."""
        spec = self._spec
        startup, liveness, readiness = (
            probe(spec, kind) for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        )
        if startup is not None and not await self._started_up(startup):
            ill.set()
            return
        if readiness is None:
            self._show(ready=True)
        async with asyncio.TaskGroup() as group:
            if liveness is not None:
                group.create_task(self._follow(liveness, lambda ok: ill.set() if ok is False else None))
            if readiness is not None:
                group.create_task(self._follow(readiness, lambda ok: self._show(ready=ok is True)))

    async def _started_up(self, startup: Probe) -> bool:
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def seen(ok: bool | None) -> None:
            if ok is not None and not outcome.done():
                outcome.set_result(ok)

        follow = asyncio.create_task(self._follow(startup, seen))
        try:
            return await outcome
        finally:
            await _cancel(follow)

    async def _follow(self, probe: Probe, seen: Callable[[bool | None], None]) -> None:
        loop = asyncio.get_running_loop()
        health = Health()
        port = port_of(self._pod.object, probe.port)
        await asyncio.sleep(probe.initial_delay)
        while True:
            began = loop.time()
            health = step(probe, health, success=port is not None and await attempt(probe, port))
            seen(health.ok)
            await asyncio.sleep(began + wait(probe, health) - loop.time())

    def _show(self, **changes: object) -> None:
        view = replace(self.view, **changes)  # pyright: ignore[reportArgumentType]  # fields of the view
        if view != self.view:
            self.view = view
            self._pod.changed()

    async def _pause(self, seconds: float) -> bool:
        """Wait, unless the pod stops or somebody asks for another try now. Says whether it was the latter."""
        self._pod.retry.clear()
        waits = [asyncio.create_task(event.wait()) for event in (self._stopping, self._pod.retry)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        await _cancel(*waits)
        return self._pod.retry.is_set()


async def attempt(probe: Probe, port: int) -> bool:
    """Make one attempt: connect, and with a path ask for it; 200 to 399 is a success."""
    own = (("Host", f"{ADDRESS}:{port}"), ("User-Agent", "kube-probe"), ("Connection", "close"))
    lines = [f"GET {probe.path} HTTP/1.1", *(f"{name}: {value}" for name, value in (*own, *probe.headers))]
    try:
        async with asyncio.timeout(probe.timeout):
            reader, writer = await asyncio.open_connection(ADDRESS, port)
            try:
                if probe.path is None:
                    return True
                writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
                words = (await reader.readline()).split()
                await reader.read(10240)  # let a small answer be sent whole
                return len(words) > 1 and words[1].isdigit() and 200 <= int(words[1]) < 400
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, ValueError):  # TimeoutError is an OSError
        return False


def _termination(child: Child, log: Log, started: str, *, ill: bool) -> Termination:
    code = child.exited.result()
    reason = "Completed" if code == 0 else "Error"
    message = "" if code == 0 else log.tail[-MESSAGE_BYTES:].decode(errors="replace")
    if ill:
        reason, message = "Unhealthy", f"a probe failed too often\n{message}"
    return Termination(code, reason, message, started, now())


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    results: list[object] = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            log.error("a task ended unexpectedly", exc_info=result)
