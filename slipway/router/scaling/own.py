"""The router scales itself: each second it looks at its HAProxy and its pods, and `itself` decides.

What is refused for want of capacity, or finds no node, is not asked for again for a while; what could not be
written is, soon. The configured pods wait for nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from datetime import UTC, datetime

from slipway.router.control import Router
from slipway.router.feed import WriteError
from slipway.router.haproxy import HAProxy, HAProxyError
from slipway.router.options import Size
from slipway.router.scaling.capacity import unplaced
from slipway.router.scaling.itself import (
    Decision,
    History,
    Sample,
    Told,
    decide_pods,
    decide_threads,
    remember,
    tell,
)
from slipway.router.scaling.journal import SCALED, OwnEntry
from slipway.router.scaling.loop import Scaler
from slipway.router.scaling.steps import NAME, Refused, Steps

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
ASK_SECONDS = 15.0
"""Between two looks at the other pods."""
REFUSED_SECONDS = 600.0
"""For so long what was refused is not asked for again."""
AGAIN_SECONDS = 10.0
"""The same of what could not be written: an API server that begins again answers soon."""
ROOM, SETTLE = "room", "settle"


class OwnScaler:
    """Scales the router of a pod."""

    def __init__(self, router: Router, haproxy: HAProxy, scaler: Scaler, steps: Steps, size: Size) -> None:
        self._router = router
        self._haproxy = haproxy
        self._scaler = scaler
        self._peers = scaler.peers
        self._steps = steps
        self._size = size
        self._history = History()
        self._enabled = False
        self._asked_at = -math.inf
        self._changes, self._changed_at = 0, time.monotonic()
        """Of the pods that are ready."""
        self._settled = False
        """Whether the pod asks for no more CPU than its threads need, after the latest step."""
        self._again: dict[str, float] = {}
        """When a step that failed may be tried again; so may `SETTLE`, and growth without `ROOM`."""

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            began = time.monotonic()
            try:
                if self._router.ready:
                    await self._settle()
                    await self._look()
            except HAProxyError as error:
                log.debug("no sample: %s", error)
            await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.monotonic()))

    async def _settle(self) -> None:
        """Let the pod ask for no more than it needs after a step, or an earlier process in it."""
        if self._settled or self._waits(SETTLE):
            return
        why = await self._steps.settle()
        if why is None:
            self._settled = True
        else:
            self._wait(SETTLE, why)

    async def _look(self) -> None:
        threads = self._router.threads
        sample = Sample(time.monotonic(), await self._haproxy.routing_seconds(), await self._haproxy.cores())
        self._history = remember(self._history, sample, threads)
        full = threads >= self._size.most_threads or self._waits("up")
        told = tell(self._history, threads, full=full, enabled=self._enabled)
        self._scaler.tell(told)
        decision = decide_threads(told) or await self._decide_pods(told)
        if decision is not None:
            self._scaler.tell(None)  # what it knows says nothing of what comes
            await self._take(decision, told)

    async def _decide_pods(self, told: Told) -> Decision | None:
        """Decide for all pods, if that is this one's to do, but not what failed lately."""
        decision = await self._wanted_pods(told)
        return None if decision is None or self._waits(decision.step) else decision

    async def _wanted_pods(self, told: Told) -> Decision | None:
        now, replicas, least = time.monotonic(), self._steps.replicas, self._size.replicas
        if self._changes != self._peers.changes:
            self._changes, self._changed_at = self._peers.changes, now
        if replicas is None or self._peers.owner(NAME) != self._peers.pod:
            return None
        why = unplaced(self._router.objects.own_pods, replicas)
        if why is not None and replicas > least:
            self._again[ROOM] = now + REFUSED_SECONDS
            return Decision("in", f"a pod finds no node: {why}")
        if replicas < least:
            return Decision("out", f"{least} pods are configured")
        if now - self._asked_at < ASK_SECONDS:
            return None
        self._asked_at = now
        answers = await self._peers.ask()
        others = [answer.own for answer in answers.values() if answer is not None and answer.own is not None]
        if len(others) < len(answers):
            return None  # one does not answer, or is about to change
        decision = decide_pods([told, *others], replicas, least, now - self._changed_at)
        grows = decision is not None and decision.step == "out"
        return None if grows and self._waits(ROOM) else decision

    def _waits(self, what: str) -> bool:
        return time.monotonic() < self._again.get(what, -math.inf)

    def _wait(self, what: str, error: Refused | WriteError) -> None:
        pause = REFUSED_SECONDS if isinstance(error, Refused) else AGAIN_SECONDS
        self._again[what] = time.monotonic() + pause

    async def _take(self, decision: Decision, told: Told) -> None:
        """Take a step, and write it into the journal."""
        replicas = self._steps.replicas
        why = await self._steps.take(decision)
        self._settled = False
        if why is None:
            self._enabled |= decision.step == "enable"
            self._history = History()
        else:
            self._wait(decision.step, why)
            if isinstance(why, WriteError):
                self._wait(SETTLE, why)  # it may have been written, and be seen only later
        self._scaler.journal.add_own(
            OwnEntry(
                time=datetime.now(UTC),
                router=self._peers.pod,
                step=decision.step,
                rule=decision.rule,
                threads=told.threads,
                replicas=replicas,
                routing_seconds=told.routing_seconds,
                cpu=told.cpu,
                outcome=SCALED if why is None else str(why),
            )
        )
