"""A stack that runs as processes of this machine: the folder of its objects, its logs, its router."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import cast

from slipway.kube.folder import Object
from slipway.kube.read import is_router, part, port_of, replicas
from slipway.kube.rollout import Rollout
from slipway.local.container import ADDRESS
from slipway.local.logs import Place, last_lines, read_on
from slipway.local.objects import owner
from slipway.local.rollout import template_hash
from slipway.local.state import LocalError, State
from slipway.running.backend import (
    Lines,
    LogOptions,
    Look,
    keys,
    loads,
    opener,
    routed,
    sorted_deployments,
)
from slipway.spec import ROUTER_NAMESPACE, SERVING, Served

LOOK_SECONDS = 0.1
READ_SECONDS = 0.2
STATUS_SECONDS = 2.0


class Local:
    """A stack of the local engine."""

    def __init__(self, state: State, elsewhere: str = "") -> None:
        """Take the stack's files; `elsewhere` says why it is not asked in the cluster that its file names."""
        self._state = state
        self._elsewhere = elsewhere

    @property
    def place(self) -> str:
        supervisor = self._state.supervisor()
        return "supervisor: " + (f"running, process {supervisor.pid}" if supervisor else "not running")

    async def looks(self) -> AsyncGenerator[Look]:
        while True:
            if self._state.supervisor() is None:
                raise self._nothing_runs()
            yield self._look()
            await asyncio.sleep(LOOK_SECONDS)

    async def deployments(self) -> list[Object]:
        return sorted_deployments(self._state.objects.list("Deployment"))

    async def url(self) -> str | None:
        port = self._router_port("http")
        return None if port is None or self._state.supervisor() is None else f"http://{ADDRESS}:{port}"

    def no_address(self, name: str) -> LocalError:
        return self._nothing_runs()

    async def secret(self, name: str) -> Object | None:
        return self._state.objects.get("Secret", ROUTER_NAMESPACE, name)

    async def write(self, secret: Object, values: Mapping[str, str]) -> Object:
        metadata = secret["metadata"]
        written = self._state.objects.update(
            "Secret", metadata["namespace"], metadata["name"], lambda obj: {**obj, "stringData": dict(values)}
        )
        if written is None:
            raise LocalError(f"the Secret {metadata['name']} is gone", "slipway up")
        return written

    async def login(self, name: str) -> str:
        secret = await self.secret(f"{name}-keys")
        if secret is None:
            raise LocalError(f"there is no key to get a token of `{name}` with", "slipway up")
        return keys(secret)["primary"]

    async def journal(self) -> str | None:
        return self._asked("/journal")

    async def logs(self, deployment: Object, options: LogOptions) -> AsyncGenerator[Lines]:
        """Read the files; each holds what earlier processes of its container wrote, too."""
        folder = self._state.logs / deployment["metadata"]["namespace"] / deployment["metadata"]["name"]
        places: dict[Path, Place] = {}
        rest: dict[Path, bytes] = {}
        for path in sorted(folder.glob("*.log")):
            yield Lines(path.stem, b"")  # so that it is known how many there are
        while True:
            for path in sorted(folder.glob("*.log"), key=_changed):
                with contextlib.suppress(FileNotFoundError):  # an old one may be removed at any time
                    place = places.get(path)
                    data, places[path] = read_on(path, place) if place else last_lines(path, options.tail)
                    whole, end, begun = (rest.pop(path, b"") + data).rpartition(b"\n")
                    if begun and options.follow:
                        rest[path] = begun
                        begun = b""
                    if data := whole + end + begun:
                        yield Lines(path.stem, data)
            if not options.follow:
                return
            await asyncio.sleep(READ_SECONDS)

    def _nothing_runs(self) -> LocalError:
        why = f" here; {self._elsewhere}" if self._elsewhere else ""
        return LocalError(f"nothing runs on stack `{self._state.root.name}`{why}", "slipway up")

    def _look(self) -> Look:
        objects, images = self._state.objects, self._state.read_images()
        known = {name: dataclasses.asdict(image) for name, image in images.items()}
        pods, events = objects.list("Pod"), objects.list("Event")
        deployments = sorted_deployments(objects.list("Deployment"))
        seen = loads(self._reports()) if any(map(is_router, deployments)) else None
        rollouts = [
            Rollout(
                obj,
                template_hash(obj["spec"]["template"], known),
                [
                    pod
                    for pod in pods
                    if owner(pod) == (obj["metadata"]["namespace"], obj["metadata"]["name"])
                ],
                events,
                routed=None if seen is None or is_router(obj) else routed(seen, obj["metadata"]["name"]),
            )
            for obj in deployments
        ]
        return Look(rollouts, seen or {})

    def _reports(self) -> list[Object]:
        """Ask the router how it sees each web service; empty if there is no answer."""
        with contextlib.suppress(ValueError):
            return [cast("Object", json.loads(self._asked("/status") or ""))]
        return []

    def _asked(self, path: str) -> str | None:
        """Fetch a page of the router's admin port."""
        port = self._router_port("admin")
        if port is None:
            return None
        url = f"http://{ADDRESS}:{port}{path}"
        try:
            with opener(url).open(url, timeout=STATUS_SECONDS) as answer:
                return answer.read().decode()
        except (OSError, ValueError):
            return None

    def _router_port(self, port: str) -> int | None:
        """Find a local port of the router; of its oldest pod, which keeps its own."""
        pods = sorted(
            filter(is_router, self._state.objects.list("Pod")),
            key=lambda pod: part(pod, "status").get("startTime", "9"),  # one just made has no status yet
        )
        return next((found for pod in pods if (found := port_of(pod, port))), None)


def scaled(wanted: Object, state: State) -> Object:
    """Leave out the replicas of a Deployment that the router scales; out of its bounds, the nearest ones."""
    metadata = wanted["metadata"]
    if wanted["kind"] != "Deployment" or SERVING not in metadata.get("annotations", {}):
        return wanted
    serving = Served.model_validate_json(metadata["annotations"][SERVING])
    current = state.objects.get("Deployment", metadata["namespace"], metadata["name"])
    if current is None or not serving.autoscale_enabled:
        return wanted
    runs = replicas(current["spec"])
    bounded = min(max(runs, serving.autoscale_min_replicas), serving.autoscale_max_replicas)
    others = {name: value for name, value in wanted["spec"].items() if name != "replicas"}
    return {**wanted, "spec": others if bounded == runs else {**others, "replicas": bounded}}


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0
