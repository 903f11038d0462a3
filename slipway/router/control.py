"""The control loop: what the feed says becomes what HAProxy does.

One task does everything that changes HAProxy, one thing after the other: a new snapshot, the end of the
process, servers that can be deleted by now. So there is nothing to lock, and the files on disk always
equal what runs, from which a killed HAProxy is started again.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from slipway.certificates import Certificate
from slipway.kube.watch import Behind
from slipway.router.authority import Member
from slipway.router.certificates import Complaint, complaints, fingerprint, secured, served
from slipway.router.config import longest_ms, render
from slipway.router.discovery import discover
from slipway.router.feed import Feed, Objects
from slipway.router.haproxy import HAProxy, HAProxyError, NoReply
from slipway.router.hold import Holds
from slipway.router.load import Load, loads, requests
from slipway.router.options import Options
from slipway.router.plan import (
    Command,
    Commands,
    Noop,
    Reload,
    Running,
    after_commands,
    forget,
    plan,
    without_reload,
)
from slipway.router.renewals import Renewals
from slipway.router.state import State

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0
BUSY_SECONDS = 0.1
PATIENCE_SECONDS = 10.0
"""How long a reload waits for requests that only commands can bring to a new replica."""
RELOAD_SECONDS = 1.0
"""The shortest time between two reloads: each leaves a process that stays until its last client goes."""
NOTICE_SECONDS = 4.0
"""How long a router that is told to stop still takes requests, so that others notice that it is not ready.
Where its pod stays, because its liveness probe failed, the readiness probe takes three seconds for that."""
KEPT_SECONDS = 5.0
"""How long clients that keep their connections have then to learn with an answer that these end."""
LONGEST_PAUSE_SECONDS = 5.0


class Router:
    """HAProxy, kept equal to what a feed says."""

    def __init__(self, options: Options, haproxy: HAProxy, feed: Feed) -> None:
        self._options = options
        self._haproxy = haproxy
        self._feed = feed
        self._holds = Holds()
        self._member = Member(options.pod)
        self._objects = Objects()
        self._wanted = State()
        self._installed = State()  # what the files say; differs from what runs only while a command is sent
        self._running = Running()
        self._refused: State | None = None
        self._unwritten: str | None = None  # why there was no room for a file or a process
        self._renewals = Renewals(haproxy)
        self._files: Hashable = None  # of a folder of certificates, as they were read
        self._stranded_since: float | None = None
        self._started_at = 0.0
        self._reloaded_at = -math.inf
        self._waits = False
        self._in_doubt = False  # whether HAProxy took the files of a reload
        self._pause = BUSY_SECONDS
        self._stopping = False
        self.first = State()
        """What HAProxy did first."""
        self.threads = options.threads
        """How many HAProxy should have."""
        self.error: str | None = None
        self.reloads = 0
        self.commands = 0
        self.restarts = 0

    @property
    def ready(self) -> bool:
        """Whether HAProxy serves what was found first, or something newer, and takes requests."""
        return self._started_at > 0 and not self._stopping and self.pid is not None

    @property
    def state(self) -> State:
        """What is wanted, with what is wrong with it."""
        return self._wanted

    @property
    def objects(self) -> Objects:
        """What `state` was made of."""
        return self._objects

    @property
    def serving(self) -> State:
        """What HAProxy does."""
        return self._running.state

    @property
    def refusal(self) -> str | None:
        """Why HAProxy does not take what is wanted, or does not get it; None if it does."""
        return self._unwritten or (self.error if self._refused is not None else None)

    @property
    def behind(self) -> Behind | None:
        """Since when, and why, the objects may be old."""
        return self._feed.behind

    @property
    def certificate_error(self) -> str | None:
        """Why HAProxy does not take a new certificate, and goes on with the one before."""
        return self._renewals.error

    @property
    def certificates(self) -> Mapping[str, Certificate]:
        """What HAProxy serves, by the place that it comes from."""
        tls = self._options.tls
        return served(self._running.state, tls, self._options.namespace) if tls is not None else {}

    @property
    def complaints(self) -> list[Complaint]:
        """What is wrong with the certificates by now."""
        tls = self._options.tls
        if tls is None:
            return []
        return complaints(self._wanted, self.certificates, tls.domains, datetime.now(UTC))

    @property
    def pid(self) -> int | None:
        """HAProxy's process id."""
        return self._haproxy.pid

    async def load(self) -> Mapping[str, Load]:
        """Ask HAProxy for the load of each service; nothing while it is not there."""
        try:
            return loads(await self._haproxy.statistics())
        except HAProxyError:
            return {}

    async def run(self, stop: asyncio.Event, now: asyncio.Event) -> None:
        """Serve until `stop`, then let all requests finish, or end at once if `now`.

        Raises `HAProxyError` if HAProxy does not start with what is found first.
        """
        try:
            await self._holds.open()
            if await self._first(stop):
                await self._install(self._wanted, check=True)
                await self._start()
                self.first = self._running.state
                await self._serve(stop, now)
                await self._finish(now)
        finally:
            await self._haproxy.kill()
            await self._holds.close()

    async def _first(self, stop: asyncio.Event) -> bool:
        """Wait for objects to serve, with the certificate if there must be one; False: told to stop."""
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            while True:
                snapshot = asyncio.create_task(self._feed.next(), name="feed")
                await asyncio.wait([snapshot, stopped], return_when=asyncio.FIRST_COMPLETED)
                if not snapshot.done():
                    snapshot.cancel()
                    return False
                self._discover(snapshot.result())
                tls = self._options.tls
                if tls is None or tls.account or self._wanted.certificates:
                    return True
        finally:
            stopped.cancel()

    def _discover(self, objects: Objects) -> None:
        found, options = discover(objects, self._options.pod), self._options
        if (tls := options.tls) is not None:
            self._files = fingerprint(tls.folder) if tls.folder is not None else None
            found = secured(objects, found, tls, options.namespace, self._wanted.certificates)
        self._objects, self._wanted = objects, replace(found, threads=self.threads)
        self._identify()

    def _identify(self) -> None:
        """Take the certificate by which other routers know this one; who has no name is alone."""
        if self._options.pod:
            identity = self._member.look(self._objects.secrets, datetime.now(UTC))
            if identity is not self._wanted.identity:
                self._wanted = replace(self._wanted, identity=identity)

    async def _serve(self, stop: asyncio.Event, now: asyncio.Event) -> None:
        """Keep HAProxy equal to the feed until told to stop, and a little longer."""
        snapshot = asyncio.create_task(self._feed.next(), name="feed")
        ended = asyncio.create_task(self._haproxy.ended(), name="HAProxy")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        hurried = asyncio.create_task(now.wait(), name="stop now")
        until = math.inf
        try:
            while (left := until - time.monotonic()) > 0 and not hurried.done():
                await asyncio.wait(
                    [snapshot, ended, hurried if self._stopping else stopped],
                    timeout=min(left, self._period()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if stopped.done() and not self._stopping:
                    self._stopping = True
                    until = time.monotonic() + NOTICE_SECONDS
                if ended.done():
                    await self._restart()
                    ended = asyncio.create_task(self._haproxy.ended(), name="HAProxy")
                if snapshot.done():
                    self._discover(snapshot.result())
                    snapshot = asyncio.create_task(self._feed.next(), name="feed")
                else:
                    self._identify()  # its time may be up
                try:
                    await self._converge()
                    self._unwritten = None
                except (
                    HAProxyError
                ):  # it has ended, or did not answer: the next turn starts it again, or goes on
                    self._unwritten = None
                except OSError as error:  # the next turn tries again
                    if (why := f"HAProxy cannot be given what it needs: {error}") != self._unwritten:
                        self._unwritten = why
                        log.error("%s", why)  # noqa: TRY400 - its text says it all
        finally:
            tasks = (snapshot, ended, stopped, hurried)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _period(self) -> float:
        busy = self._running.leaving or self._waits
        return BUSY_SECONDS if busy else IDLE_SECONDS

    async def _start(self) -> None:
        await self._haproxy.start()
        self._running = Running(self._installed)
        self._refused = None
        self._in_doubt = False
        await self._hold()
        self._started_at = time.monotonic()

    async def _restart(self) -> None:
        """Start HAProxy again from its files: at once, but not over and over."""
        self.restarts += 1
        lived = time.monotonic() - self._started_at
        log.error("HAProxy ended after %.1f s: %s", lived, self._haproxy.last_words)
        if lived < LONGEST_PAUSE_SECONDS:
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        else:
            self._pause = BUSY_SECONDS
        try:
            await self._start()
            self.error = None
        except (HAProxyError, OSError) as error:
            self._started_at = time.monotonic()  # it did not live at all
            self.error = str(error)
            log.error("%s", error)  # noqa: TRY400 - its text says it all

    async def _converge(self) -> None:
        if self.pid is None:
            return  # it did not start; the next turn tries again
        tls = self._options.tls
        if tls is not None and tls.folder is not None and fingerprint(tls.folder) != self._files:
            self._discover(self._objects)
        await self._renew()
        certificates = {**self._wanted.certificates, **self._running.state.certificates}
        target = replace(self._wanted, certificates=certificates, threads=self.threads)
        action = plan(self._running, target)
        self._waits = isinstance(action, Reload) and await self._must_wait()
        if self._waits or (isinstance(action, Reload) and target == self._refused):
            target = without_reload(self._running.state, target)
            action = plan(replace(self._running, added=frozenset()), target)
        if self._in_doubt and not await self._must_wait():
            action = Reload(("HAProxy did not say whether it took a configuration",))
        match action:
            case Noop():
                pass
            case Commands(commands):
                await self._command(commands, target)
            case Reload(reasons):
                await self._reload(reasons, target, patient=True)
        for name, replica in self._running.leaving:
            with contextlib.suppress(HAProxyError):  # it still has requests
                await self._haproxy.tell(forget(name, replica))
                self._running = replace(self._running, leaving=self._running.leaving - {(name, replica)})
        await self._hold()

    async def _renew(self) -> None:
        """Hand new certificates over."""
        state = await self._renewals.apply(self._running.state, self._wanted.certificates)
        if state != self._running.state:
            self._running = replace(self._running, state=state)
            await self._install(state, check=False)

    async def _command(self, commands: Sequence[Command], target: State) -> None:
        await self._install(target, check=False)
        try:
            for command in commands:
                await self._haproxy.tell(command)
                self.commands += 1
        except HAProxyError as error:
            await self._reload((f"a command failed: {error}",), target)
        else:
            self._running = after_commands(self._running, target)

    async def _reload(self, reasons: Sequence[str], target: State, *, patient: bool = False) -> None:
        """Let a new worker serve `target`; if `patient`, not while requests would be stranded by it."""
        log.info("reload: %s", "; ".join(reasons))
        before = self._running.state
        try:
            await self._install(target, check=True)
            await self._holds.say(held=False)
            self._waits = patient and await self._strands()  # since it was looked at before the check
            if not self._waits:
                await self._haproxy.reload()
        except NoReply as error:
            self.error, self._in_doubt = str(error), True
            log.error("%s", error)  # noqa: TRY400 - its text says it all
            raise  # the next turn tries again
        except HAProxyError as error:
            if self.pid is None:
                raise
            self.error, self._refused = str(error), target
            self._waits = True  # for the part of it that commands can do
            log.error("%s", error)  # noqa: TRY400 - its text says it all
        if self._waits:
            await self._install(before, check=False)
            await self._holds.say(held=True)
            return
        self.reloads += 1
        self._reloaded_at = time.monotonic()
        self._in_doubt = False
        self.error = self._refused = self._stranded_since = None
        self._running = Running(target)
        self._holds.retire(_queues_end(before))
        await self._hold()

    async def _install(self, target: State, *, check: bool) -> None:
        await self._haproxy.install(render(target, self._options), check=check)
        self._installed = target

    async def _must_wait(self) -> bool:
        """Whether a reload must wait, while commands go on."""
        return time.monotonic() - self._reloaded_at < RELOAD_SECONDS or await self._strands()

    async def _strands(self) -> bool:
        """Whether requests wait for a replica to come: the worker that they are in would not learn of it."""
        if not any(one.queued and not one.up for one in (await self.load()).values()):
            self._stranded_since = None
            return False
        now = time.monotonic()
        self._stranded_since = self._stranded_since or now
        return now - self._stranded_since < PATIENCE_SECONDS

    async def _hold(self) -> None:
        services = self._running.state.services
        await self._holds.place(sorted(services, key=lambda name: len(services[name].replicas)))

    async def _finish(self, now: asyncio.Event) -> None:
        """Take no more connections, and end when all are answered and nobody is about to ask more."""
        await self._haproxy.finish()
        self._holds.retire(_queues_end(self._running.state))
        begin = time.monotonic()
        deadline = begin + longest_ms(self._running.state.services.values()) / 1000
        idle = 0
        while self.pid is not None and idle < 2 and not now.is_set() and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(now.wait(), BUSY_SECONDS)
            with contextlib.suppress(HAProxyError):
                busy = requests(await self._haproxy.all_statistics())
                kept = time.monotonic() < begin + KEPT_SECONDS and await self._haproxy.clients()
                idle = 0 if busy or kept else idle + 1


def _queues_end(state: State) -> float:
    """Give the seconds after which no request of a worker that is told to stop can still be waiting."""
    return 1 + max((one.limits.wait_ms for one in state.services.values()), default=0) / 1000
