"""What a router tells of web services, by Events on their Deployments: what is new between two looks.

`facts` and `news` are pure. There is no condition beside them on a Deployment's status: each router's pod
would need the right to write every such status of the cluster, and they would overwrite one another.
"""

import asyncio
import logging
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from slipway.kube.folder import Object
from slipway.kube.read import part, place
from slipway.kube.read import replicas as asked_for
from slipway.router.certificates import Complaint
from slipway.router.control import Router
from slipway.router.feed import EventType, Objects, WriteError, Writer
from slipway.router.state import Reason, State
from slipway.spec import ROUTER_NAMESPACE, WEBSERVICE

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
REMIND_SECONDS = 3600.0
"""How long an Event lasts by default, and so what lasts is told again."""
ROUTER: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"namespace": ROUTER_NAMESPACE, "name": "slipway-router"},
}

Place = tuple[str, str]
"""Namespace and name of a Deployment."""


class Problem(NamedTuple):
    """Why a Deployment is not served, or not as it should be."""

    reason: Reason
    note: str


@dataclass(frozen=True)
class Fact:
    """How a router sees a Deployment."""

    service: str
    problems: frozenset[Problem] = frozenset()
    replicas: int | None = None
    """To so many go requests; None: the service is not routed."""
    wanted: int = 1
    wait_ms: int = 0


class Told(NamedTuple):
    """An Event on a Deployment."""

    deployment: Place
    type: EventType
    reason: Reason
    note: str


def facts(objects: Objects, wanted: State, running: State, refusal: str | None) -> dict[Place, Fact]:
    """Sum up by Deployment; `refusal` is why HAProxy does not take what is wanted."""
    ignored = {one.place: Problem(one.reason, one.why) for one in wanted.ignored}
    found: dict[Place, Fact] = {}
    for obj in objects.deployments:
        here = place(obj)
        service: str | None = part(obj, "metadata", "labels").get(WEBSERVICE)
        if service is None:
            continue
        if (problem := ignored.get(f"Deployment {'/'.join(here)}")) is not None:
            found[here] = Fact(service, frozenset({problem}))
            continue
        problems: set[Problem] = set()
        if service in wanted.errors:
            problems.add(Problem("Misconfigured", wanted.errors[service]))
        new, old = wanted.services.get(service), running.services.get(service)
        if refusal is not None and new is not None and (old is None or old.fixed != new.fixed):
            problems.add(Problem("ReloadRefused", refusal))
        replicas = len(old.replicas) if old is not None else None
        wait = old.limits.wait_ms if old is not None else 0
        found[here] = Fact(service, frozenset(problems), replicas, asked_for(part(obj, "spec")), wait)
    return found


def news(before: Mapping[Place, Fact], now: Mapping[Place, Fact]) -> Iterator[Told]:
    """Give what is to be told."""
    for deployment, fact in now.items():
        old = before.get(deployment) or Fact(fact.service)
        for reason, note in sorted(fact.problems - old.problems):
            yield Told(deployment, "Warning", reason, note)
        if fact.replicas and not old.replicas:
            yield Told(
                deployment, "Normal", "Routable", f"Requests for {fact.service} have a replica to go to"
            )
        elif old.replicas and fact.replicas == 0:
            kind = "Warning" if fact.wanted else "Normal"
            note = f"No replica is ready: requests for {fact.service} wait for one, at most {fact.wait_ms} ms"
            yield Told(deployment, kind, "NoReadyReplica", note)


class Trouble:
    """What cannot be done, though tried again and again: told at first, when it changes, and each hour."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, float]] = {}

    def news(self, what: str, why: object | None) -> bool:
        """Tell whether it is to be told why `what` could not be done just now; None: it was, which is."""
        said, at = self._told.pop(what, ("", -math.inf))
        if why is None:
            return True
        now, again = time.monotonic(), str(why) != said
        again |= now - at >= REMIND_SECONDS
        self._told[what] = str(why), now if again else at
        return again


class Reporter:
    """Tells what a router does."""

    def __init__(self, router: Router, writer: Writer) -> None:
        self._router = router
        self._writer = writer
        self._reminded: dict[Complaint, float] = {}

    async def run(self) -> None:
        """Look and tell, until cancelled."""
        seen: tuple[object, ...] = ()
        before: dict[Place, Fact] | None = None  # what a router finds first is no news, but for its problems
        while True:
            router = self._router
            look = (router.objects, router.state, router.serving, router.refusal)
            if router.ready and any(one is not other for one, other in zip_longest(look, seen)):
                seen = look
                try:
                    now = facts(*look)
                    if before is None:
                        before = facts(router.objects, State(), router.first, None)
                    for told in news(before, now):
                        await self._tell(told, router.objects)
                    before = now
                except Exception:  # one look must not be the last
                    log.exception("Events")
            await self._remind()
            await asyncio.sleep(TICK_SECONDS)

    async def _tell(self, told: Told, objects: Objects) -> None:
        log.log(
            logging.WARNING if told.type == "Warning" else logging.INFO,
            "%s/%s: %s: %s",
            *told.deployment,
            *told[2:],
        )
        regarding = next((one for one in objects.deployments if place(one) == told.deployment), None)
        if regarding is not None:
            await self._write(regarding, told.type, told.reason, told.note)

    async def _remind(self) -> None:
        """Tell what is wrong with certificates, again and again while it is."""
        now, before = time.monotonic(), self._reminded
        self._reminded = {one: before.get(one, -math.inf) for one in self._router.complaints}
        for one, at in self._reminded.items():
            if now - at < REMIND_SECONDS:
                continue
            self._reminded[one] = now
            log.warning("%s: %s", one.reason, one)
            secrets = self._router.objects.secrets
            of = (secret for secret in secrets if one.place == f"Secret {'/'.join(place(secret))}")
            await self._write(next(of, ROUTER), "Warning", one.reason, str(one))

    async def _write(self, regarding: Object, type_: EventType, reason: Reason, note: str) -> None:
        try:
            await self._writer.event(regarding, type_, reason, note)
        except WriteError as error:
            log.warning("no Event %s: %s", reason, error)
