"""A router through which everything changes all the time, under load: what it keeps, and what fails.

Services come and go (which are reloads), keys are regenerated, replicas come and go, certificates are
renewed. Half of the clients keep their connections, half open one for each request. When all is as it was
in the beginning comes a look at what the router's processes have: memory, files, workers.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.processes import tree
from tests.certificates import certificate
from tests.local.router_parts import KEY, Replica, RouterProcess, replicas, running, until
from tests.local.test_router_https import of
from tests.local.test_router_tls import put

CLIENTS = 8
SECONDS = 120.0
"""The longest wait for a change: an hour is not given up because the machine was busy for a while."""


@dataclass(frozen=True)
class Look:
    """What the router and all that it started have, so many seconds after the beginning."""

    seconds: float
    control_plane: float
    """Megabytes, as the next."""
    haproxy: float
    files: int
    processes: int


@dataclass
class Soaked:
    """What was seen when all was as in the beginning, and how many answers came, by what they were."""

    looks: list[Look] = field(default_factory=list[Look])
    answers: Counter[str] = field(default_factory=Counter[str])

    @property
    def failures(self) -> dict[str, int]:
        return {answer: number for answer, number in self.answers.items() if answer != "200"}


async def soak(root: Path, seconds: float, tell: Callable[[Look], None] = lambda _: None) -> Soaked:
    """Change all that may change, round by round, for so long; look after each round, and tell it."""
    soaked, began = Soaked(), time.monotonic()
    public, key = certificate()
    async with running(root, **of("tls")) as router, replicas(3) as three:
        put(router, public, key, name="tls")
        router.deploy("echo", *three, replica_max_concurrent_requests=CLIENTS, max_request_wait_time=10_000)
        router.start()
        await router.up("echo", 3, SECONDS)
        ended = asyncio.Event()
        clients = [
            asyncio.create_task(_ask(router, soaked, ended, number % 2 == 0)) for number in range(CLIENTS)
        ]
        while True:
            await _change(router, three)
            soaked.looks.append(await _look(router, began))
            tell(soaked.looks[-1])
            if time.monotonic() - began > seconds and len(soaked.looks) > 2:
                break
        ended.set()
        await asyncio.gather(*clients)
    return soaked


async def _change(router: RouterProcess, three: list[Replica]) -> None:
    """Let each thing change once and be as before; the key that the clients have stays valid."""
    one, *others = three
    router.scale("echo", *others)
    await router.up("echo", 2, SECONDS)
    router.scale("echo", one, *others)
    await router.up("echo", 3, SECONDS)
    for number in range(10):
        router.keys("echo", KEY, str(number) * 32)
        await asyncio.sleep(0.1)
    put(router, *certificate(), name="tls")
    router.deploy("passing", one)  # which is a reload, as its end is
    await router.up("passing", 1, SECONDS)
    router.folder.delete("Deployment", "slipway-services", "passing")
    await router.until(lambda status: "passing" not in status["services"], SECONDS)


async def _look(router: RouterProcess, began: float) -> Look:
    """Wait until workers that are replaced are gone, and look."""
    assert router.process is not None
    pid = router.process.pid

    async def alone() -> list[int] | None:
        found = tree(pid)
        return found if len(found) <= 3 else None  # the control plane, HAProxy's master and one worker

    found = await until(alone, SECONDS, lambda: f"{tree(pid)}\n{router.log}")
    control_plane, *haproxy = map(_megabytes, found)
    return Look(time.monotonic() - began, control_plane, sum(haproxy), sum(map(_files, found)), len(found))


def _megabytes(pid: int) -> float:
    """Give a process's own memory: what it shares counts by who else runs."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1024


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def _ask(router: RouterProcess, soaked: Soaked, ended: asyncio.Event, keep: bool) -> None:
    """Ask all the time, on a connection that is kept or on a new one each time; count each answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    uri = f"https://127.0.0.1:{router.environment['TLS_PORT']}/api/v1/service/echo/score"
    headers = {"authorization": f"Bearer {KEY}"} | ({} if keep else {"connection": "close"})
    async with httpx.AsyncClient(verify=context, headers=headers, timeout=30, trust_env=False) as http:
        while not ended.is_set():
            try:
                answer = await http.post(uri, json={"sleep": 0.01})
                soaked.answers[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                soaked.answers[type(error).__name__] += 1
            await asyncio.sleep(0.02)
