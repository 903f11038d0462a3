"""The scaling loop: once a second HAProxy's statistics and the objects, as samples, to `decide`.

What is not scaled only `/metrics` needs, which looks itself; then the loop looks rarely, so that what a
worker has counted outlives it.

A service without statistics has no sample: no data is not zero load. Nothing is scaled that has a fixed
number of replicas, is in error, has another autoscaler, or belongs to another router.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from slipway.router.control import Router
from slipway.router.events import Trouble
from slipway.router.feed import EventType, Objects, WriteError, Writer
from slipway.router.haproxy import HAProxy, HAProxyError, Refusals
from slipway.router.load import Row
from slipway.router.metrics import Facts, Totals, answers
from slipway.router.peers import Loads, Peers, Services, since, total
from slipway.router.scaling.autoscaler import Decision, History, Sample, decide, remember
from slipway.router.scaling.itself import Told
from slipway.router.scaling.journal import SCALED, Entry, Journal
from slipway.router.scaling.sampling import Counted, Sampler
from slipway.router.scaling.targets import Target, targets
from slipway.router.scaling.writing import event, in_time
from slipway.router.state import Reason, Service

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
COUNTED_A_SECOND = 100
"""Services whose answers are counted, at most, while there is one worker: 1,000 take 0.1 s of a core.

When it is killed, what it counted since is lost; when it reloads, it stays for over a second.
"""
EARLY_SECONDS = 0.1
"""By so much may a decision come early: a tick is never quite on time."""
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
    decided_at: float = -math.inf
    asked: tuple[int, float] | None = None
    """What was written, and until when the objects may not show it."""
    startup_seconds: float | None = None
    complete: bool = True
    """Whether all routers were heard."""
    writing: asyncio.Task[None] | None = None
    trouble: Trouble = field(default_factory=Trouble)
    stuck: bool = False
    """Whether it was told that pods find no node."""


class Scaler:
    """Scales the services that a router serves."""

    def __init__(self, router: Router, haproxy: HAProxy, writer: Writer, peers: Peers) -> None:
        self._router = router
        self._haproxy = haproxy
        self._writer = writer
        self.peers = peers
        self._sampler = Sampler()
        self._workers: Mapping[str, Sequence[Row]] = {}
        """Their statistics at the last look; none while HAProxy does not answer."""
        self._refused: Mapping[str, Refusals] = {}
        self._requests, self._refusals = Totals(), Totals()
        self._looking = asyncio.Lock()
        self._looked_at = self._counted_at = -math.inf
        self._counted_reloads = 0
        self._loads = self._before = Loads(pod=peers.pod, run=peers.run, services={})
        self._memories: dict[str, _Memory] = {}
        self._off: dict[str, str] = {}
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
                    self._take_objects()
                    scales, counts = self._has_work, self._must_count
                    if counts:
                        await self._count()
                    elif scales:
                        await self.loads()
                    if scales:
                        await self._tick(self._loads)
                except HAProxyError as error:
                    log.debug("no sample: %s", error)
                except Exception:  # one look must not be the last
                    log.exception("scaling")
                await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.monotonic()))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, own: Told | None) -> None:
        """Let the other routers know, and `/metrics` and `/status`, how this one is."""
        self._loads = self._loads.model_copy(update={"own": own})

    @property
    def own(self) -> Told | None:
        """How this router is, where it scales itself and is not about to."""
        return self._loads.own

    async def loads(self) -> Loads:
        """Look now, and tell what was seen since this process began. Raises HAProxyError."""
        async with self._looking:  # else a later look might be taken for an earlier one
            try:
                self._workers, self._refused = await self._haproxy.counts()
            except HAProxyError:
                self._workers = {}
                raise
            seen = self._sampler.look(self._workers)
            self._loads = self._loads.model_copy(update={"services": total(self._loads.services, seen)})
            self._looked_at = time.monotonic()
            return self._loads

    async def told(self) -> Loads:
        """Give what another router asks for: the last look, unless it is old. Raises HAProxyError.

        A look at thousands of replicas takes its time; and of what the asker owns, next to nothing is here.
        """
        late = time.monotonic() - self._looked_at > 2 * TICK_SECONDS
        return await self.loads() if late else self._loads

    @property
    def _has_work(self) -> bool:
        """Whether anything is scaled; not by a router that is told to stop, whose load goes elsewhere."""
        services = self._router.state.services.values()
        return self._router.ready and any(one.serving.autoscale_enabled for one in services)

    @property
    def _must_count(self) -> bool:
        """Whether it is time to count: each second while there is an old worker, which may end."""
        router = self._router
        if self._counted_reloads != router.reloads or len(self._workers) != 1:
            return True
        period = max(TICK_SECONDS, len(router.state.services) / COUNTED_A_SECOND)
        return time.monotonic() - self._counted_at >= period - EARLY_SECONDS

    def _take_objects(self) -> None:
        if self._objects is not self._router.objects:
            self._objects = self._router.objects
            services = self._router.state.services
            self._targets = targets(services.values(), self._objects)
            for name in (self._memories.keys() | self._off.keys()) - services.keys():
                self._forget(name)
            self.peers.find(self._objects.routers)

    async def _count(self) -> None:
        """Look now, and count answers and refusals, for `/metrics`. Raises HAProxyError."""
        reloads = self._router.reloads
        await self.loads()
        services = self._router.state.services
        endpoints = {one.endpoint for one in services.values()}
        self._requests.add({one: answers(rows) for one, rows in self._workers.items()}, services)
        self._refusals.add(self._refused, services.keys() | endpoints)
        self._counted_at, self._counted_reloads = time.monotonic(), reloads

    async def facts(self) -> Facts:
        """Give what `/metrics` tells; without what only HAProxy knows while it does not answer."""
        self._take_objects()
        if time.monotonic() - self._counted_at > 2 * TICK_SECONDS:
            with contextlib.suppress(HAProxyError, TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._count()
        router, services = self._router, self._router.state.services
        behind = router.behind
        return Facts(
            seen={name: one for name, one in self._loads.services.items() if self._workers},
            desired={name: one.replicas for name, one in self._targets.items()},
            concurrency={name: one.limits.concurrency for name, one in services.items()},
            requests=self._requests.counts,
            refusals=self._refusals.counts,
            reloads=router.reloads,
            restarts=router.restarts,
            refused=router.refusal is not None,
            behind_seconds=(datetime.now(UTC) - behind.since).total_seconds() if behind is not None else 0,
            ownership_changes=self.peers.changes,
            own=self.own,
            certificates={place: one.ends.timestamp() for place, one in router.certificates.items()},
        )

    async def _tick(self, loads: Loads) -> None:
        own, self._before = since(self._before.services, loads.services), loads
        now = time.monotonic()
        self._look(*await self.peers.look(own, now), now)

    def report(self, service: str) -> dict[str, object] | None:
        """Say how a service is scaled; None where its number is fixed, or nothing is known yet."""
        known = self._router.state.services.get(service)
        if known is None or not known.serving.autoscale_enabled:
            return None
        if self.peers.owner(service) != self.peers.pod:
            return {"owner": self.peers.owner(service)}
        if service in self._off:
            return {"off": self._off[service]}
        memory = self._memories.get(service)
        if memory is None or memory.history is None or memory.decision is None:
            return None
        return {
            "replicas": memory.decision.replicas,
            "needed": memory.decision.needed,
            "rule": memory.decision.rule,
            "complete": memory.complete,
            "unschedulable": list(self._targets[service].unschedulable) if service in self._targets else [],
            "startup_seconds": memory.startup_seconds,
        }

    def _look(self, seen: Services, complete: bool, now: float) -> None:
        services = self._router.state.services
        for name, service in services.items():
            target = self._targets.get(name)
            if self.peers.owner(name) != self.peers.pod:
                self._forget(name)
            elif name in seen and target is not None and self._scales(service, target):
                self._decide(service, target, seen[name], complete, now)

    def _forget(self, name: str) -> None:
        self._memories.pop(name, None)
        self._off.pop(name, None)
        self.journal.forget(name)

    def _scales(self, service: Service, target: Target) -> bool:
        """Whether a service is ours to scale; tell when that changes."""
        name = service.name
        if not service.serving.autoscale_enabled:
            self._forget(name)
            return False
        if name in self._router.state.errors:
            off = "the service is in error"
        elif target.rival is not None:
            off = f"{target.rival} scales this Deployment, so the router does not"
        else:
            self._off.pop(name, None)
            return True
        self._memories.pop(name, None)
        self.journal.forget(name)
        if self._off.get(name) != off:
            self._off[name] = off
            log.warning("%s: %s", name, off)
            if name not in self._router.state.errors:  # which has an Event of its own
                self._start(self._tell(target, "Warning", "AutoscalerConflict", off))
        return False

    def _decide(self, service: Service, target: Target, seen: Counted, complete: bool, now: float) -> None:
        if (memory := self._memories.get(service.name)) is None:
            memory = self._memories[service.name] = _Memory()
        if complete and not memory.complete:
            memory.history = None  # it was too small a load, by which nothing may go
        memory.complete = complete
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
        if target.unschedulable and not memory.stuck:
            self._tell_unschedulable(service, target, sample.replicas)
        memory.stuck = bool(target.unschedulable)
        due = now - memory.decided_at >= service.serving.autoscale_refresh_seconds - EARLY_SECONDS
        if not due or memory.writing is not None:
            return
        decision = decide(memory.history, service.serving, now)
        if decision.replicas < sample.replicas and not complete:
            decision = replace(decision, replicas=sample.replicas, rule="keep: a router does not answer")
        memory.decided_at, memory.decision, memory.fresh = now, decision, decision
        moved = memory.arrivals or memory.refused or sample.busy or sample.queued
        if not moved and decision.replicas == sample.replicas:
            said = sample.replicas, sample.ready, decision.rule
            if self.journal.repeats(service.name, datetime.now(UTC), *said):
                return  # to make a line takes longer than to see that it would be left out
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
            async with in_time():
                await self._writer.scale(*service.deployment, entry.wanted)
        except WriteError as error:
            why = str(error)
            memory.decided_at = time.monotonic() + RETRY_SECONDS - service.serving.autoscale_refresh_seconds
            self.journal.add(entry.model_copy(update={"outcome": why}))
            note = f"Not scaled {change}: {why}"
            if memory.trouble.news("scale", why):
                log.error("%s: %s", service.name, note)  # noqa: TRY400 - its text says it all
                await self._tell(target, "Warning", "FailedRescale", note)
        else:
            memory.trouble.news("scale", None)
            memory.asked = entry.wanted, time.monotonic() + CATCH_UP_SECONDS
            log.info("%s: scaled %s", service.name, change)
            self.journal.add(entry.model_copy(update={"outcome": SCALED}))
            await self._tell(target, "Normal", "SuccessfulRescale", f"Scaled {change}")
        finally:
            memory.writing = None

    def _tell_unschedulable(self, service: Service, target: Target, replicas: int) -> None:
        note = (
            f"{len(target.unschedulable)} of {replicas} replicas find no node, and no more are asked for "
            f"until they do: {target.unschedulable[0]}"
        )
        log.warning("%s: %s", service.name, note)
        self._start(self._tell(target, "Warning", "FailedScheduling", note))

    async def _tell(self, target: Target, kind: EventType, reason: Reason, note: str) -> None:
        await event(self._writer, target.deployment, kind, reason, note)

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
