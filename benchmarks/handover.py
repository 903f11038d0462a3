"""For how long a web service has two queues when its owner goes or comes: three routers, open loop.

Requests come to one router after the other, one every few milliseconds. The owner of their service leaves the
routers that are ready, though it goes on, and later comes back. Each router hears of that for itself: here it
looks at a folder ten times a second, in a cluster it is told. Whose queue a request stood in says the access
log, which the owner alone writes. From the first request at the new owner to the last at the old one there
are two queues: then order may be lost, but no request, and N holds by the replica's own gate.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import httpx

from benchmarks.report import Figure, arguments, finish
from tests.local.router_parts import client, replicas
from tests.local.router_pods import Pods, pods

GAP = 0.008
SERVICE_SECONDS = 0.004
BEFORE, AFTER = 0.3, 1.5
"""Seconds of requests around a change."""


class Sender:
    """Sends a request to one router after the other, whatever became of those before."""

    def __init__(self, all_of: Pods, http: httpx.AsyncClient) -> None:
        self._routers = itertools.cycle(all_of.routers.values())
        self._http = http
        self.sent: dict[str, float] = {}
        """When each was sent, by its id."""
        self.failures: list[str] = []

    async def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < ends:
                group.create_task(self._send())
                await asyncio.sleep(GAP)

    async def _send(self) -> None:
        began = time.monotonic()
        answer = await self._http.post(next(self._routers).uri("echo"), json={"sleep": SERVICE_SECONDS})
        self.sent[answer.headers["x-ms-request-id"]] = began
        if answer.status_code != 200:
            self.failures.append(answer.text)


async def change(all_of: Pods, http: httpx.AsyncClient, ready: Collection[str]) -> tuple[float, list[str]]:
    """Let these be the routers that are ready; give the ms with two queues, and what failed."""
    sender = Sender(all_of, http)
    sending = asyncio.create_task(sender.run(BEFORE + AFTER))
    await asyncio.sleep(BEFORE)
    all_of.know(*ready)
    await sending
    logs = ([line["request_id"] for line in router.access_log()] for router in all_of.routers.values())
    queued = [[sender.sent[one] for one in log if one in sender.sent] for log in logs]
    firsts, lasts = ([at(one) for one in queued if one] for at in (min, max))
    assert len(firsts) == 2, "the owner did not change"
    return max(0.0, min(lasts) - max(firsts)) * 1000, sender.failures


async def run(times: int) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {
        "goes: two queues": [],
        "comes: two queues": [],
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
            seen["offered to the replica at most, N = 1"] = [found[0].offered_most]
    return seen


def main() -> int:
    options = arguments(__doc__, pairs=10).parse_args()
    seen = asyncio.run(run(options.pairs))
    most = {"failed": 0}
    figures = [
        Figure(name, tuple(values), "ms" if name.endswith("queues") else "", at_most=most.get(name))
        for name, values in seen.items()
    ]
    return finish("When the owner of a web service changes", figures, options)


if __name__ == "__main__":
    sys.exit(main())
