"""Three pods of the router are one router, when one of them ends and when all are replaced.

Counted from outside under steady load; docs/faults.md tells it to users.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import httpx
import pytest

from slipway.spec import ROUTER_NAMESPACE
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, key, new_stack, router_url
from tests.cluster.load import Answers, load
from tests.cluster.processes import until
from tests.cluster.routers import by_ownership, kill, router_pods

NAME, NAMESPACE = "steady", "slipway-pods"
RATE = 15.0
SECONDS = 0.1
"""What a request takes in a replica: three replicas are half busy."""
SCORE = """import json
import os
import threading
import time

lock = threading.Lock()
running = most = 0


def init():
    pass


def run(data):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    time.sleep(json.loads(data).get("seconds", 0))
    with lock:
        running -= 1
    return {"replica": os.uname().nodename, "most": most}
"""
SERVICE = {
    "name": NAME,
    "namespace": NAMESPACE,
    "source_directory": NAME,
    "entry_script": "score.py",
    "num_replicas": 3,
    "cpu_cores": 0.05,
    "memory_gb": 0.25,
    "max_request_wait_time": 10_000,  # a busy machine fails no request
}


@pytest.fixture(name="stack", scope="module")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    made = new_stack(
        cluster,
        tmp_path_factory.mktemp("pods") / "project",
        [SERVICE],
        replicas=3,
        cpu_cores=0.1,
        memory_gb=0.4,
    )
    (made.folder / NAME).mkdir()
    (made.folder / NAME / "score.py").write_text(SCORE)
    with deployed(made):
        router_url(cluster)
        yield made


@dataclass
class Outside:
    """Who sends requests, and what becomes of them."""

    stack: Stack
    headers: dict[str, str]
    say: Callable[[str], None]
    loads: dict[str, Answers] = field(default_factory=dict[str, Answers])

    @property
    def service(self) -> str:
        """Give where requests come in by kube-proxy, which hands each connection to any router."""
        return f"{router_url(self.stack.cluster)}/api/v1/service/{NAME}/score"

    @contextlib.contextmanager
    def load(self, name: str, uris: Sequence[str], kept: int = 0) -> Generator[Answers]:
        """Send requests, which begin well and must end well."""
        with load(uris, self.headers, RATE / 2, kept, SECONDS) as answers:
            self.loads[name] = answers
            answers.wait(15)
            yield answers
            answers.wait(15)

    def tell(self, what: str, since: float) -> None:
        for name, answers in self.loads.items():
            until = (answers.failed_until() or since) - since
            slowest = max(one.seconds for one in answers.all if one.said == "ok")
            self.say(
                f"{what}, {name}: {answers.failed()} of {len(answers.all)} failed, the last after {until:.1f} s; "
                f"the slowest took {slowest:.2f} s"
            )

    def most_at_once(self) -> dict[str, int]:
        """Give the most requests that ever were inside `run()` at once, by replica."""
        found: dict[str, int] = {}

        async def ask(http: httpx.AsyncClient) -> None:
            answer = await http.post(self.service, json={"seconds": SECONDS}, headers=self.headers)
            found[answer.json()["replica"]] = answer.json()["most"]

        async def ask_all() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                while len(found) < SERVICE["num_replicas"]:
                    await asyncio.gather(*(ask(http) for _ in range(6)))

        asyncio.run(asyncio.wait_for(ask_all(), 30))
        return found


@pytest.fixture(name="outside")
def _outside(stack: Stack, say: Callable[[str], None]) -> Generator[Outside]:
    """Give who sends requests; none of them is ever inside `run()` beside another."""
    until(lambda: len(router_pods(stack.cluster)) == 3)
    outside = Outside(stack, {"Authorization": f"Bearer {key(stack.cluster, NAME)}"}, say)
    yield outside
    assert set(outside.most_at_once().values()) == {1}


def test_when_the_owner_is_killed_then_only_what_it_held_fails_and_the_rest_is_served_within_a_second(
    stack: Stack, outside: Outside
) -> None:
    owner, *others = by_ownership(stack.cluster, NAME)
    directly = [pod.uri(NAME) for pod in others]
    with (
        outside.load("by the others", directly) as by_others,
        outside.load("by kube-proxy", [outside.service]) as by_all,
    ):
        began = time.monotonic()
        kill(stack.cluster, owner)
        killed = time.monotonic()
        ready = f"pod/{owner.name}"
        stack.cluster.kubectl("wait", "--for=condition=Ready=false", ready, f"-n={ROUTER_NAMESPACE}")
        noticed = time.monotonic()
        outside.say(f"kill took {killed - began:.2f} s, noticed after {noticed - killed:.2f} s")
        by_all.wait(30)
        by_others.wait(30)
        stack.cluster.kubectl(
            "wait", "--for=condition=Ready", ready, f"-n={ROUTER_NAMESPACE}", "--timeout=60s"
        )
    outside.tell("the owner is killed", began)
    assert set(by_others.failed()) <= {"owner_failed"}
    assert all(began - 1 < one.sent < killed + 0.05 for one in by_others.bad)
    assert max(one.seconds for one in by_others.all) < 1
    assert set(by_all.failed()) <= {"owner_failed", "ConnectError", "ReadError", "RemoteProtocolError"}
    assert (by_all.failed_until() or 0) < noticed + 1, "nobody is sent there any more"


def test_when_all_routers_are_replaced_one_after_the_other_then_no_request_fails(
    stack: Stack, outside: Outside
) -> None:
    before = router_pods(stack.cluster)
    with (
        outside.load("connections of their own", [outside.service]),
        outside.load("10 that are kept", [outside.service], kept=10),
    ):
        began = time.monotonic()
        where = ["deployment/slipway-router", f"-n={ROUTER_NAMESPACE}"]
        stack.cluster.kubectl("rollout", "restart", *where)
        stack.cluster.kubectl("rollout", "status", *where, "--timeout=180s")
        outside.say(f"replaced after {time.monotonic() - began:.0f} s")
    outside.tell("all are replaced", began)
    assert not before.keys() & router_pods(stack.cluster).keys()
    assert {name: answers.failed() for name, answers in outside.loads.items()} == {
        "connections of their own": {},
        "10 that are kept": {},
    }
