"""The logs of a Deployment's pods in a cluster, followed across restarts and from pod to pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import NamedTuple

from slipway.kube.client import Client, ClusterError
from slipway.kube.folder import Object
from slipway.kube.mirror import Mirror
from slipway.kube.read import items, part
from slipway.kube.watch import Source
from slipway.local.state import LocalError
from slipway.running.backend import Lines, LogOptions

WAITING = 1000
"""Lines that wait to be printed; who writes faster is read more slowly."""
NOT_THERE = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)
"""The answers for a container that has not started, or a pod that is gone."""


class Process(NamedTuple):
    """One process of a container; `id` tells it from the one before."""

    id: str
    pod: Object
    container: str
    previous: bool = False

    @property
    def source(self) -> str:
        """Name it by its pod, and its container if there are several."""
        pod = self.pod["metadata"]["name"]
        containers = [*items(self.pod, "spec", "initContainers"), *items(self.pod, "spec", "containers")]
        return pod if len(containers) == 1 else f"{pod}/{self.container}"


def processes(pod: Object, *, previous: bool) -> list[Process]:
    """Give the processes of a pod whose log is there: those before (`previous`), or the latest ones. Pure."""
    found: list[Process] = []
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in items(pod, "status", kind):
            before = part(status, "lastState", "terminated")
            id_ = before.get("containerID") if previous else status.get("containerID")
            if id_:
                found.append(Process(id_, pod, status["name"], previous))
    return found


class Follower:
    """Reads logs of the pods that a source gives."""

    def __init__(self, client: Client, source: Source, options: LogOptions) -> None:
        self._client = client
        self._source = source
        self._options = options

    def lines(self) -> AsyncGenerator[Lines]:
        """Give the lines; a source comes once without any before its first ones. Raises ClusterError."""
        return self._follow() if self._options.follow else self._once()

    async def _once(self) -> AsyncGenerator[Lines]:
        source = self._source
        pods = (await self._client.list(source.kind, source.namespace, labels=source.labels)).items
        previous = self._options.previous
        found = [one for pod in pods for one in processes(pod, previous=previous)]
        if previous and not found:
            raise LocalError("no process came before the one that runs", "leave --previous away")
        for one in found:
            yield Lines(one.source, b"")
        for one in found:
            async for lines in self._read(one, self._options.tail, follow=False):
                yield lines

    async def _follow(self) -> AsyncGenerator[Lines]:
        """Follow each process to its end, and the next one of its container or Deployment from its start."""
        queue: asyncio.Queue[Lines | Exception] = asyncio.Queue(WAITING)
        async with Mirror(self._client, [self._source]) as mirror:
            watching = asyncio.create_task(self._watch(mirror, queue))
            try:
                while True:
                    one = await queue.get()
                    if isinstance(one, Exception):
                        raise one
                    yield one
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self, mirror: Mirror, queue: asyncio.Queue[Lines | Exception]) -> None:
        """Read what starts, each process by a task of its own; errors go the way of lines."""
        seen: set[str] = set()
        tail: int | None = self._options.tail
        async with asyncio.TaskGroup() as readers:
            while True:
                mirror.changed.clear()
                pods = mirror.objects("Pod")
                before = [one for pod in pods for one in processes(pod, previous=True)]
                if tail is not None and not self._options.previous:
                    seen.update(one.id for one in before)  # that is the past, but for what ended last
                    seen.difference_update(one.id for pod in pods for one in processes(pod, previous=False))
                for one in (*before, *(one for pod in pods for one in processes(pod, previous=False))):
                    if one.id not in seen:
                        seen.add(one.id)
                        readers.create_task(self._copy(one, tail, queue))
                tail = None
                await mirror.changed.wait()

    async def _copy(self, one: Process, tail: int | None, queue: asyncio.Queue[Lines | Exception]) -> None:
        await queue.put(Lines(one.source, b""))
        try:
            async for lines in self._read(one, tail, follow=not one.previous):
                await queue.put(lines)
        except Exception as error:
            await queue.put(error)

    async def _read(self, one: Process, tail: int | None, *, follow: bool) -> AsyncGenerator[Lines]:
        metadata = one.pod["metadata"]
        try:
            async for line in self._client.logs(
                metadata["namespace"],
                metadata["name"],
                one.container,
                follow=follow,
                previous=one.previous,
                tail=tail,
            ):
                yield Lines(one.source, f"{line}\n".encode())
        except ClusterError as error:
            if error.status not in NOT_THERE:
                raise
