"""Three pods of the router are one router, when one of them ends and when all are replaced.

Counted from outside under steady load; docs/faults.md tells it to users.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection

import httpx
import pytest
from cryptography import x509

from components.router import ADMIN_PORT, PEER_PORT
from slipway.router.authority import AUTHORITY_DAYS, CURRENT, NEXT, OVERLAP, renewed
from slipway.spec import AUTHORITY_SECRET, ROUTER_NAMESPACE
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, key, router_url
from tests.cluster.load import Answers, load
from tests.cluster.processes import until
from tests.cluster.routers import PORT, RouterPod, by_ownership, kill, router_pods, three_routers

NAME, NAMESPACE = "steady", "slipway-pods"
REPLICAS = 3
RATE = 15.0
SECONDS = 0.1
"""What a request takes in a replica: half of all replicas are busy."""
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
    "num_replicas": REPLICAS,
    "cpu_cores": 0.05,
    "memory_gb": 0.25,
    "max_request_wait_time": 10_000,  # a busy machine fails no request
}


@pytest.fixture(name="stack", scope="module")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    made = three_routers(cluster, tmp_path_factory.mktemp("pods") / "project", SERVICE)
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
                f"{what}, {name}: {answers.failed()} of {len(answers.all)} failed, "
                f"the last after {until:.1f} s; the slowest took {slowest:.2f} s"
            )

    def most_at_once(self) -> dict[str, int]:
        """Give the most requests that ever were inside `run()` at once, by replica."""
        found: dict[str, int] = {}

        async def ask(http: httpx.AsyncClient) -> None:
            answer = await http.post(self.service, json={"seconds": SECONDS}, headers=self.headers)
            found[answer.json()["replica"]] = answer.json()["most"]

        async def ask_all() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
                while len(found) < REPLICAS:
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


def test_a_service_that_is_new_is_served_by_each_router(stack: Stack, outside: Outside) -> None:
    stack.webservices = [SERVICE, SERVICE | {"name": "fresh", "num_replicas": 1}]
    stack.write()
    stack.apply()
    stack.wait()
    ready = time.monotonic()
    headers = {"Authorization": f"Bearer {key(stack.cluster, 'fresh')}"}
    for pod in router_pods(stack.cluster).values():

        def routes(uri: str = pod.uri("fresh")) -> bool:
            return httpx.post(uri, json={}, headers=headers, trust_env=False).status_code == HTTPStatus.OK

        until(routes)
    outside.say(f"each router served it {time.monotonic() - ready:.1f} s after its pod was ready")
    assert time.monotonic() - ready < 5


def stalls(outside: Outside, pod: RouterPod, sent: int) -> tuple[int, str, float]:
    """Send a body but its last byte; give the answer's status and reason, and its seconds."""
    upload = HTTPConnection(pod.address, PORT, timeout=90)  # longer than the router waits
    with contextlib.closing(upload):
        began = time.monotonic()
        upload.putrequest("POST", f"/api/v1/service/{NAME}/score")
        for name, value in {**outside.headers, "content-length": str(sent + 1)}.items():
            upload.putheader(name, value)
        upload.endheaders(b" " * sent)
        answer = upload.getresponse()
        return answer.status, json.load(answer)["reason"], time.monotonic() - began


def test_an_upload_that_stalls_at_another_router_than_the_owner_is_refused_and_holds_no_replica(
    stack: Stack, outside: Outside
) -> None:
    owner, other, _ = by_ownership(stack.cluster, NAME)
    with outside.load("meanwhile", [other.uri(NAME), owner.uri(NAME)]), ThreadPoolExecutor() as threads:
        began = time.monotonic()
        small = threads.submit(stalls, outside, other, 500_000)
        large = threads.submit(stalls, outside, other, 3_000_000)
        assert large.result()[:2] == (408, "upload_too_slow")
        assert large.result()[2] < 10, "a replica waits for it no longer"
        assert small.result()[:2] == (408, "upload_too_slow")
    outside.tell(f"uploads stalled for {large.result()[2]:.1f} s and {small.result()[2]:.1f} s", began)
    assert outside.loads["meanwhile"].failed() == {}
    said = httpx.get(f"http://{owner.address}:{ADMIN_PORT}/status", trust_env=False).json()
    assert said["services"][NAME]["busy"] == 0


def authority_of(pod: RouterPod) -> str:
    """Give the key, by its identifier, that a router's certificate on the port `peer` was signed with."""
    certificate = x509.load_pem_x509_certificate(
        ssl.get_server_certificate((pod.address, PEER_PORT)).encode()
    )
    found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return (found or b"").hex()


def identifier(data: Mapping[str, str], name: str) -> str:
    """Give the identifier of an authority's key in what the routers' Secret holds."""
    certificate = x509.load_pem_x509_certificate(data[f"{name}.crt"].encode())
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def test_while_the_routers_authority_is_lost_and_while_it_is_renewed_no_request_fails(
    stack: Stack, outside: Outside
) -> None:
    pods, secret = by_ownership(stack.cluster, NAME), (AUTHORITY_SECRET, f"--namespace={ROUTER_NAMESPACE}")

    def authorities() -> set[str]:
        return {authority_of(pod) for pod in pods}

    (before,) = authorities()
    uris = [pod.uri(NAME) for pod in pods]
    with outside.load("connections of their own", uris), outside.load("that are kept", uris, kept=9):
        began = time.monotonic()
        stack.cluster.kubectl("delete", "secret", *secret)
        until(lambda: len(found := authorities()) == 1 and before not in found)
        outside.say(f"another one after {time.monotonic() - began:.1f} s")

        now = datetime.now(UTC)
        aged = renewed({}, now - AUTHORITY_DAYS + timedelta(days=80)) or {}
        aged = renewed(aged, now - OVERLAP + timedelta(seconds=8)) or {}
        data = {name: base64.b64encode(text.encode()).decode() for name, text in aged.items()}
        patch = json.dumps({"data": data})
        stack.cluster.kubectl("patch", "secret", *secret, "--type=merge", f"--patch={patch}")
        until(lambda: authorities() == {identifier(aged, CURRENT)})
        outside.say(f"the one that is old is in use after {time.monotonic() - began:.1f} s")
        until(lambda: authorities() == {identifier(aged, NEXT)})
        outside.say(f"the next one is in use after {time.monotonic() - began:.1f} s")
    outside.tell("the authority is lost and renewed", began)
    assert {name: answers.failed() for name, answers in outside.loads.items()} == {
        "connections of their own": {},
        "that are kept": {},
    }


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
    # Its HAProxy ends a moment after the process that was killed.
    assert all(began - 1 < one.sent < killed + 0.3 for one in by_others.bad)
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
