"""Three routers, of which one falls silent as a lost node does: run by a test, in a network of its own.

Each has an address of its own on the loopback. From a moment on no packet gets to the owner's or from it, and
nobody tells of that. Requests come to the two others all the while, whatever became of those before; a peak
shortly before leaves connections to the owner that are idle. What became of each is printed as JSON: the
seconds from the loss to its start, the seconds it took, the status, the reason.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.local.router_parts import client, replicas
from tests.local.router_pods import Pods, pods

ADDRESSES = {"a": "127.0.1.1", "b": "127.0.1.2", "c": "127.0.1.3"}
RATE = 50
PEAK = 20
BEFORE, AFTER = 3, 12
"""Seconds."""


async def lose() -> list[tuple[float, float, int, str]]:
    with tempfile.TemporaryDirectory() as folder:
        async with replicas(4) as found, pods(Path(folder), ADDRESSES) as all_of:
            all_of.first.deploy("echo", *found, max_request_wait_time=20_000)
            await all_of.start()
            for router in all_of.routers.values():
                await router.up("echo", len(found))
            return await send(all_of)


async def send(all_of: Pods) -> list[tuple[float, float, int, str]]:
    owner, *others = all_of.order("echo")
    sent: list[tuple[float, float, int, str]] = []
    lost = 0.0

    async def one(http: httpx.AsyncClient, number: int) -> None:
        began = time.monotonic()
        answer = await http.post(others[number % 2].uri("echo"), json={"sleep": 0.02})
        reason = "" if answer.status_code == 200 else answer.json()["reason"]
        sent.append((began, time.monotonic() - began, answer.status_code, reason))

    async with client() as http, asyncio.TaskGroup() as group:
        for number in range((BEFORE + AFTER) * RATE):
            if number == (BEFORE - 1) * RATE:
                for more in range(PEAK):
                    group.create_task(one(http, more))
            if number == BEFORE * RATE:
                await silence(owner.address)
                lost = time.monotonic()
            group.create_task(one(http, number))
            await asyncio.sleep(1 / RATE)
    return [(began - lost, seconds, status, reason) for began, seconds, status, reason in sorted(sent)]


async def silence(address: str) -> None:
    """Let no packet through in either direction; what is sent is lost before what would answer it."""
    for way in ("-d", "-s"):
        rule = await asyncio.create_subprocess_exec("iptables", "-A", "INPUT", way, address, "-j", "DROP")
        assert await rule.wait() == 0


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    json.dump(asyncio.run(lose()), sys.stdout)
