"""The scaling loop: once a second HAProxy's statistics and the objects, as samples, to `decide`.

A service without statistics has no sample: no data is not zero load. Nothing is scaled that has a fixed
number of replicas, is in error, or has another autoscaler.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime

from slipway.router.autoscaler import Decision, History, Sample, decide, remember
from slipway.router.control import Router
from slipway.router.feed import EventType, Objects, WriteError, Writer
from slipway.router.haproxy import HAProxy, HAProxyError
from slipway.router.journal import SCALED, Entry, Journal
from slipway.router.sampling import Sampler, Seen
from slipway.router.state import Reason, Service
from slipway.router.targets import Target, targets

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
EARLY_SECONDS = 0.1
"""By so much may a decision come early: a tick is never quite on time."""
WRITE_SECONDS = 10.0
RETRY_SECONDS = 5.0
"""After a write that failed."""
CATCH_UP_SECONDS = 5.0
"""For the objects to show what was written."""


@dataclass
class _Memory:
    """What is remembered of a service that is scaled."""

    history: History | None = None
    decision: Decision | None = None
    fresh: Decision | None = None
    """The same, until the history knows of it."""
    arrivals: int = 0
    refused: int = 0
    """Both since its line in the journal."""
    decided_at: float = -TICK_SECONDS
    asked: tuple[int, float] | None = None
    """What was written, and until when the objects may not show it."""
    startup_seconds: float | None = None
    writing: asyncio.Task[None] | None = None


class Scaler:
    """Scales the services that a router serves."""

    def __init__(self, router: Router, haproxy: HAProxy, writer: Writer) -> None:
        self._router = router
        self._haproxy = haproxy
        self._writer = writer
        self._sampler = Sampler()
        self._memories: dict[str, _Memory] = {}
        self._off: dict[str, str] = {}
        self._stuck: set[str] = set()
        self._objects: Objects | None = None
        self._targets: dict[str, Target] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.journal = Journal()

    async def run(self) -> None:
        """Look and decide every second, until cancelled."""
        try:
            while True:
                began = time.monotonic()
                try:
                    if self._has_work:
                        self._look(self._sampler.look(await self._haproxy.workers()), time.monotonic())
                except HAProxyError as error:
                    log.debug("no sample: %s", error)
                except Exception:  # one look must not be the last
                    log.exception("scaling")
                await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.monotonic()))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _has_work(self) -> bool:
        """Whether anything is scaled; not by a router that is told to stop, whose load goes elsewhere."""
        services = self._router.state.services.values()
        return self._router.ready and any(one.serving.autoscale_enabled for one in services)

    def report(self, service: str) -> dict[str, object] | None:
        """Say how a service is scaled; None where its number is fixed, or nothing is known yet."""
        if service in self._off:
            return {"off": self._off[service]}
        memory = self._memories.get(service)
        if memory is None or memory.history is None or memory.decision is None:
            return None
        return {
            "replicas": memory.decision.replicas,
            "needed": memory.decision.needed,
            "rule": memory.decision.rule,
            "unschedulable": list(self._targets[service].unschedulable) if service in self._targets else [],
            "startup_seconds": memory.startup_seconds,
        }

    def _look(self, seen: dict[str, Seen], now: float) -> None:
        services = self._router.state.services
        if self._objects is not self._router.objects:
            self._objects = self._router.objects
            self._targets = targets(services.values(), self._objects)
        for name in self._memories.keys() - services.keys():
            self.journal.forget(name)
            del self._memories[name]
        for name, service in services.items():
            target = self._targets.get(name)
            if name in seen and target is not None and self._scales(service, target):
                self._decide(service, target, seen[name], now)

    def _scales(self, service: Service, target: Target) -> bool:
        """Whether a service is ours to scale; tell when that changes."""
        name = service.name
        off: str | None = None
        if name in self._router.state.errors:
            off = "the service is in error"
        elif target.rival is not None:
            off = f"{target.rival} scales this Deployment, so the router does not"
        if not service.serving.autoscale_enabled or off is not None:
            self._memories.pop(name, None)
        if not service.serving.autoscale_enabled:
            self._off.pop(name, None)
            return False
        if off is None:
            if self._off.pop(name, None) is not None:
                log.info("%s: is scaled again", name)
            return True
        if self._off.get(name) != off:
            self._off[name] = off
            log.warning("%s: %s", name, off)
            if target.rival is not None:
                self._start(self._tell(target, "Warning", "AutoscalerConflict", off))
        return False

    def _decide(self, service: Service, target: Target, seen: Seen, now: float) -> None:
        memory = self._memories.setdefault(service.name, _Memory())
        memory.arrivals += seen.arrivals
        memory.refused += seen.refused
        memory.startup_seconds = target.startup_seconds or memory.startup_seconds
        if memory.asked is not None and (target.replicas == memory.asked[0] or now > memory.asked[1]):
            memory.asked = None
        sample = Sample(
            now,
            seen.arrivals,
            seen.refused,
            seen.busy,
            seen.queued,
            replicas=memory.asked[0] if memory.asked is not None else target.replicas,
            ready=seen.ready,
            unschedulable=len(target.unschedulable),
            service_seconds=seen.service_seconds,
            startup_seconds=memory.startup_seconds,
        )
        memory.history = remember(memory.history, sample, memory.fresh)
        memory.fresh = None
        self._tell_unschedulable(service, target, sample.replicas)
        due = now - memory.decided_at >= service.serving.autoscale_refresh_seconds - EARLY_SECONDS
        if not due or memory.writing is not None:
            return
        decision = decide(memory.history, service.serving, now)
        memory.decided_at, memory.decision, memory.fresh = now, decision, decision
        entry = _entry(service, sample, decision, memory)
        if decision.replicas == sample.replicas:
            if self.journal.add(entry):
                memory.arrivals = memory.refused = 0
        else:
            memory.arrivals = memory.refused = 0
            memory.writing = self._start(self._write(service, target, memory, entry))

    async def _write(self, service: Service, target: Target, memory: _Memory, entry: Entry) -> None:
        """Carry out a decision, and tell of it."""
        change = f"from {entry.replicas} to {entry.wanted} replicas; {entry.rule}"
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.scale(*service.deployment, entry.wanted)
        except (WriteError, TimeoutError) as error:
            why = str(error) or f"no reply within {WRITE_SECONDS:g} s"
            memory.decided_at = time.monotonic() + RETRY_SECONDS - service.serving.autoscale_refresh_seconds
            log.error("%s: not scaled %s: %s", service.name, change, why)  # noqa: TRY400 - its text says it all
            self.journal.add(entry.model_copy(update={"outcome": why}))
            await self._tell(target, "Warning", "FailedRescale", f"Not scaled {change}: {why}")
        else:
            memory.asked = entry.wanted, time.monotonic() + CATCH_UP_SECONDS
            log.info("%s: scaled %s", service.name, change)
            self.journal.add(entry.model_copy(update={"outcome": SCALED}))
            await self._tell(target, "Normal", "SuccessfulRescale", f"Scaled {change}")
        finally:
            memory.writing = None

    def _tell_unschedulable(self, service: Service, target: Target, replicas: int) -> None:
        if not target.unschedulable:
            self._stuck.discard(service.name)
        elif service.name not in self._stuck:
            self._stuck.add(service.name)
            note = (
                f"{len(target.unschedulable)} of {replicas} replicas find no node, and no more are asked for "
                f"until they do: {target.unschedulable[0]}"
            )
            log.warning("%s: %s", service.name, note)
            self._start(self._tell(target, "Warning", "FailedScheduling", note))

    async def _tell(self, target: Target, kind: EventType, reason: Reason, note: str) -> None:
        """Write an Event of a Deployment; that it could not be is only logged."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.event(target.deployment, kind, reason, note)
        except (WriteError, TimeoutError) as error:
            log.warning("no Event %s: %s", reason, error or "no reply")

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _entry(service: Service, sample: Sample, decision: Decision, memory: _Memory) -> Entry:
    return Entry(
        time=datetime.now(UTC),
        service=service.name,
        deployment="/".join(service.deployment),
        arrivals=memory.arrivals,
        refused=memory.refused,
        busy=sample.busy,
        queued=sample.queued,
        replicas=sample.replicas,
        ready=sample.ready,
        unschedulable=sample.unschedulable,
        service_seconds=sample.service_seconds,
        startup_seconds=sample.startup_seconds,
        serving=service.serving,
        rule=decision.rule,
        needed=decision.needed,
        load=decision.load,
        wanted=decision.replicas,
    )
