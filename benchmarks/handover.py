"""For how long a web service has two queues when its owner goes or comes: three routers, open loop.

Requests come to one router after the other, one every few milliseconds. The owner of their service leaves the
routers that are ready, though it goes on, and later comes back. Each router hears of that for itself: here it
looks at a folder ten times a second, in a cluster it is told. Whose queue a request stood in says the access
log, which the owner alone writes. From the first request at the new owner to the last at the old one there
are two queues: then order may be lost, but no request, and N holds by the replica's own gate.

A new web service, too, each router hears of for itself, and makes HAProxy reload. Where the owner is the
last, half a second after the router that is asked, requests wait there: until their first answer from when
the owner can hear of it. Where it is the first: the first answer once the other has heard of it.
"""

import asyncio
import itertools
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterable
from pathlib import Path

import httpx

from benchmarks.report import Figure, arguments, finish
from tests.local.router_parts import Replica, RouterProcess, client, replicas
from tests.local.router_pods import Pods, pods

GAP = 0.008
SERVICE_SECONDS = 0.004
BEFORE, AFTER = 0.3, 1.5
"""Seconds of requests around a change."""
LATER = 0.5
"""Seconds after which the last router hears of a new web service."""


class Sender:
    """Sends a request to one router after the other, whatever became of those before."""

    def __init__(self, routers: Iterable[RouterProcess], http: httpx.AsyncClient, service: str) -> None:
        self._uris = itertools.cycle([router.uri(service) for router in routers])
        self._http = http
        self.sent: dict[str, float] = {}
        """When each was sent, by its id."""
        self.first: float | None = None
        """When the first one was answered."""
        self.failures: list[str] = []

    async def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < ends:
                group.create_task(self._send())
                await asyncio.sleep(GAP)

    async def _send(self) -> None:
        began = time.monotonic()
        answer = await self._http.post(next(self._uris), json={"sleep": SERVICE_SECONDS})
        self.sent[answer.headers["x-ms-request-id"]] = began
        if answer.status_code != 200:
            self.failures.append(answer.text)
        elif self.first is None:
            self.first = time.monotonic()


async def change(all_of: Pods, http: httpx.AsyncClient, ready: Collection[str]) -> tuple[float, list[str]]:
    """Let these be the routers that are ready; give the ms with two queues, and what failed."""
    sender = Sender(all_of.routers.values(), http, "echo")
    sending = asyncio.create_task(sender.run(BEFORE + AFTER))
    await asyncio.sleep(BEFORE)
    all_of.know(*ready)
    await sending
    logs = ([line["request_id"] for line in router.access_log()] for router in all_of.routers.values())
    queued = [[sender.sent[one] for one in log if one in sender.sent] for log in logs]
    firsts, lasts = ([at(one) for one in queued if one] for at in (min, max))
    assert len(firsts) == 2, "the owner did not change"
    return max(0.0, min(lasts) - max(firsts)) * 1000, sender.failures


async def appear(
    all_of: Pods, replica: Replica, service: str, *, owner_last: bool
) -> tuple[float, list[str]]:
    """Let a web service be new, and its owner or the router that is asked hear of it last.

    Give the ms until its first answer, and what failed of what came by connections that are new, too.
    """
    owner, asked, _ = all_of.order(service)
    first, last = (asked, owner) if owner_last else (owner, asked)
    async with client() as http, asyncio.TaskGroup() as group:
        sender = Sender([asked], http, service)
        assert last.process is not None
        last.process.send_signal(signal.SIGSTOP)  # its HAProxy goes on
        try:
            all_of.first.deploy(service, replica, max_request_wait_time=20_000)
            await first.up(service, 1)
            if owner_last:
                group.create_task(sender.run(LATER))
            await asyncio.sleep(LATER)
        finally:
            last.process.send_signal(signal.SIGCONT)
        began = time.monotonic()
        if not owner_last:
            await last.up(service, 1)
            began = time.monotonic()
            await sender.run(LATER)
    assert sender.first is not None
    return (sender.first - began) * 1000, sender.failures


async def run(times: int) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {
        "goes: two queues": [],
        "comes: two queues": [],
        "new, its owner hears of it last: first answer": [],
        "new, its owner hears of it first: first answer": [],
        "failed": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        async with replicas(1) as found, pods(Path(folder)) as all_of, client() as http:
            all_of.first.deploy("echo", *found, max_request_wait_time=20_000)
            await all_of.start()
            for router in all_of.routers.values():
                await router.up("echo", 1)
            others = {one.pod for one in all_of.order("echo")[1:]}
            for number in range(times):
                print(f"run {number + 1} of {times}", file=sys.stderr)
                for what, ready in (("goes", others), ("comes", all_of.routers.keys())):
                    milliseconds, failures = await change(all_of, http, ready)
                    seen[f"{what}: two queues"].append(milliseconds)
                    seen["failed"].append(len(failures))
                for which in ("last", "first"):
                    milliseconds, failures = await appear(
                        all_of, found[0], f"{which}-{number}", owner_last=which == "last"
                    )
                    seen[f"new, its owner hears of it {which}: first answer"].append(milliseconds)
                    seen["failed"].append(len(failures))
            seen["offered to the replica at most, N = 1"] = [found[0].offered_most]
    return seen


def main() -> int:
    options = arguments(__doc__, pairs=10).parse_args()
    seen = asyncio.run(run(options.pairs))
    most = {"failed": 0}
    figures = [
        Figure(
            name, tuple(values), "ms" if name.endswith(("queues", "answer")) else "", at_most=most.get(name)
        )
        for name, values in seen.items()
    ]
    return finish("When the owner of a web service changes", figures, options)


if __name__ == "__main__":
    sys.exit(main())
