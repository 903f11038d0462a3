"""The steps by which the router scales itself: HAProxy's threads and the CPU for them, and how many pods.

Only into free capacity: a pod gets another thread when its node has given it the CPU; `settle` takes back
what is not given, or needed no more. Where pods cannot be resized, the request stays as it is: up to the
pod's limit, CPU that nobody asked for is free.
"""

from __future__ import annotations

import asyncio
import logging
import time

from slipway.kube.folder import Object
from slipway.kube.read import named, part
from slipway.kube.read import replicas as asked_for
from slipway.router.control import Router
from slipway.router.events import ROUTER, Trouble
from slipway.router.feed import EventType, WriteError, Writer
from slipway.router.options import Size
from slipway.router.scaling.capacity import CONTAINER, asked, refused, requested
from slipway.router.scaling.itself import Decision
from slipway.router.scaling.writing import WRITE_SECONDS, event, in_time
from slipway.router.state import Reason

log = logging.getLogger(__name__)

GRANT_SECONDS = 30.0
"""For a node to give CPU, and for HAProxy to have its threads."""
LOOK_SECONDS = 0.1
NAME: str = ROUTER["metadata"]["name"]
NAMESPACE: str = ROUTER["metadata"]["namespace"]


class Refused(Exception):
    """A step was not taken; the text says why."""


class Steps:
    """Takes steps for the router in `pod`."""

    def __init__(self, router: Router, writer: Writer, pod: str, size: Size) -> None:
        self._router = router
        self._writer = writer
        self._size = size
        self._trouble = Trouble()
        self.pod = pod

    @property
    def replicas(self) -> int | None:
        """How many pods the Deployment asks for; None while that is not known."""
        found = self._deployment
        return asked_for(part(found, "spec")) if found is not None else None

    @property
    def _deployment(self) -> Object | None:
        return named(self._router.objects.own_deployments, NAME)

    async def take(self, decision: Decision) -> Refused | WriteError | None:
        """Take a step and tell of it; give why it was not taken, if so."""
        threads, replicas, why = self._router.threads, self.replicas or 0, None
        try:
            match decision.step:
                case "enable":
                    pass
                case "up":
                    await self.request(threads + 1)
                    await self._run(threads + 1)
                case "down":
                    await self._run(threads - 1)
                case "out" | "in":
                    await self._scale(replicas + (1 if decision.step == "out" else -1))
        except (Refused, WriteError) as error:
            why = error
        if self._trouble.news(decision.step, why):
            await self._tell(decision, threads, replicas, why)
        return why

    async def _scale(self, replicas: int) -> None:
        """Let the Deployment ask for so many pods, and give the objects time to show it."""
        async with in_time():
            await self._writer.scale(NAMESPACE, NAME, replicas)
        deadline = time.monotonic() + WRITE_SECONDS
        while self.replicas != replicas and time.monotonic() < deadline:  # noqa: ASYNC110 - the feed tells
            await asyncio.sleep(LOOK_SECONDS)

    async def settle(self) -> Refused | WriteError | None:
        """Take back what the node did not give, and give back what no thread needs; give why not, if so."""
        pod, threads, why = self._own_pod, self._router.threads, None
        try:
            if max(requested(pod) or 0, asked(pod) or 0) > self._cpu(threads):
                await self.request(threads)
        except (Refused, WriteError) as error:
            why = error
        if self._trouble.news("settle", why) and why is not None:
            log.warning("the pod asks for more CPU than it needs: %s", why)
        return why

    async def request(self, threads: int) -> None:
        """Let the pod ask for the CPU of so many threads, and wait until it has it."""
        before, wanted = self._own_pod, self._cpu(threads)
        if (had := requested(before)) is None or had == asked(before) == wanted:
            return
        async with in_time():
            if not await self._writer.resize(NAMESPACE, self.pod, CONTAINER, wanted):
                return
        why: str | None = None
        deadline = time.monotonic() + GRANT_SECONDS
        while why is None and time.monotonic() < deadline:
            if requested(self._own_pod) == wanted:
                return
            await asyncio.sleep(LOOK_SECONDS)
            why = refused(self._own_pod, before)
        raise Refused(f"{wanted}m of CPU: {why or f'the node did not answer within {GRANT_SECONDS:g} s'}")

    @property
    def _own_pod(self) -> Object:
        return named(self._router.objects.own_pods, self.pod) or {}

    def _cpu(self, threads: int) -> int:
        # Less than its limit, with which it might become a pod of another class; no pod may.
        return max(self._size.cpu, min(threads * self._size.cpu, self._size.most_cpu - 1))

    async def _run(self, threads: int) -> None:
        """Let HAProxy have so many threads, by a reload that loses nothing."""
        before, self._router.threads = self._router.threads, threads
        deadline = time.monotonic() + GRANT_SECONDS
        while self._router.serving.threads != threads:
            if time.monotonic() > deadline:
                self._router.threads = before
                raise Refused(self._router.error or f"HAProxy was not reloaded within {GRANT_SECONDS:g} s")
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self, decision: Decision, threads: int, replicas: int, why: Exception | None) -> None:
        """Write a line to the log, and an Event of the router's Deployment."""
        own = decision.step in ("up", "down")
        number, what = (threads, f"threads of {self.pod}") if own else (replicas, "pods of the router")
        change = f"from {number} to {number + (1 if decision.step in ('up', 'out') else -1)} {what}"
        kind: EventType = "Normal" if why is None else "Warning"
        reason: Reason = "SuccessfulRescale" if why is None else "FailedRescale"
        note = f"Scaled {change}; {decision.rule}" if why is None else f"Not scaled {change}: {why}"
        if decision.step == "enable":
            reason, note = "SelfScalingEnabled", f"{self.pod}: {decision.rule}"
        log.log(logging.INFO if why is None else logging.WARNING, "the router itself: %s", note)
        await event(self._writer, self._deployment or ROUTER, kind, reason, note)
