"""Every refusal is JSON with its reason, and what a replica says itself comes through untouched."""

import asyncio
from pathlib import Path

import httpx
import pytest

from slipway.router.auth import FAILURE_SECONDS, FAILURES
from tests.local.router_parts import (
    KEY,
    SECONDS,
    Replica,
    RouterProcess,
    assert_refusal,
    client,
    replicas,
    running,
    scenario,
    statuses,
    until,
)


@scenario
async def test_when_a_request_is_sent_then_the_replica_gets_it_without_the_key(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        for method in ("POST", "GET"):
            given = {"x-ms-request-id": "mine", "x-ms-client-request-id": "7"}
            response = await http.request(method, router.uri("echo"), content=b"{}", headers=given)
            assert response.status_code == 200
            seen = response.json()
            assert (seen["method"], seen["path"], seen["size"]) == (method, "/score", 2)
            assert "authorization" not in seen["headers"]
            assert seen["headers"]["x-ms-client-request-id"] == "7"
            assert seen["headers"]["x-ms-request-id"] == response.headers["x-ms-request-id"].lower() != "mine"
        response = await http.get(router.uri("echo", "swagger.json"), params={"version": 3})
        assert response.json()["path"] == "/swagger.json?version=3"


@pytest.mark.parametrize(
    ("path", "reason", "service"),
    [
        ("/api/v1/service/nobody/score", "unknown_service", "nobody"),
        ("/api/v1/service/nobody/swagger.json", "unknown_service", "nobody"),
        ("/api/v1/service/_hold/score", "unknown_service", "_hold"),
        ("/api/v1/service/a%22b/score", "unknown_service", None),
        ("/api/v1/service/echo/score/", "unknown_path", None),
        ("/api/v1/service/echo", "unknown_path", None),
        ("/hold/echo", "unknown_path", None),
        ("/metrics", "unknown_path", None),
        ("/", "unknown_path", None),
    ],
)
def test_when_a_path_leads_nowhere_then_the_refusal_says_whether_the_service_is_missing(
    tmp_path: Path, path: str, reason: str, service: str | None
) -> None:
    @scenario
    async def look() -> None:
        async with running(tmp_path) as router, replicas() as [replica], client() as http:
            await router.serve("echo", replica)
            response = await http.get(f"http://127.0.0.1:{router.port}{path}")
            assert_refusal(response, 404, reason, service=service)

    look()


@scenario
async def test_when_the_key_is_missing_or_wrong_then_401_says_which(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        router.deploy("echo", replica, keys=(KEY, "second"))
        router.deploy("other", replica, keys=("other's", "other's second"))
        router.start()
        await router.up("echo", 1)

        async def ask(authorization: str | None) -> httpx.Response:
            headers = {} if authorization is None else {"authorization": authorization}
            async with httpx.AsyncClient(trust_env=False) as bare:
                return await bare.post(router.uri("echo"), headers=headers)

        response = await ask(None)
        assert_refusal(response, 401, "key_missing", service="echo")
        assert response.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer", "Bearer x", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer other's"):
            assert_refusal(await ask(wrong), 401, "key_wrong", service="echo")
        for right in (f"Bearer {KEY}", "bearer second"):
            assert (await ask(right)).status_code == 200
        assert (await http.post(router.uri("other"))).status_code == 401
        assert replica.seen == [None, None]


@scenario
async def test_what_a_connection_brought_before_lets_nothing_in(tmp_path: Path) -> None:
    one = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=1))
    async with running(tmp_path) as router, replicas() as [replica], one as http:
        router.deploy("echo", replica, keys=("first", "second"))
        router.deploy("other", replica, keys=("third", "fourth"))
        router.start()
        await router.up("echo", 1)
        await router.up("other", 1)
        for service, key, status in [
            ("echo", "first", 200),
            ("other", "first", 401),
            ("echo", "firs", 401),
            ("echo", "x", 401),
            ("other", "third", 200),
            ("echo", "third", 401),
            ("echo", "first", 200),
            ("echo", "second", 200),
            ("echo", f"second,{'x' * 1_000}", 200),
            ("echo", f"second,{'x' * 10_000}", 401),  # a connection remembers no more
        ]:
            headers = {"authorization": f"Bearer {key}"}
            answer = await http.post(router.uri(service), headers=headers)
            assert answer.status_code == status, (service, key[:20])
        assert (await http.post(router.uri("echo"))).status_code == 401


async def knock(
    router: RouterProcess, key: str, number: int, source: str = "127.0.0.1"
) -> list[httpx.Response]:
    # To read whom to trust by TLS, which is not spoken here, takes long where failures are counted by time.
    transport = httpx.AsyncHTTPTransport(local_address=source, verify=False)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, headers=headers, timeout=SECONDS) as http:
        return [await http.post(router.uri("echo")) for _ in range(number)]


@scenario
async def test_when_an_address_fails_often_then_429_until_it_stops_but_a_right_key_is_always_let_in(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica)
        failed = await knock(router, "guess", FAILURES + 5)
        assert statuses(failed) == [401] * FAILURES + [429] * 5
        assert_refusal(failed[-1], 429, "too_many_failures", service="echo", retry=True)
        assert failed[-1].headers["retry-after"] == str(FAILURE_SECONDS)
        assert statuses(await knock(router, KEY, 3)) == [200] * 3
        assert statuses(await knock(router, "guess", 1, "127.0.0.2")) == [401]
        # The large body takes a detour, and is still this address's.
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.post(router.uri("echo"), content=b"x" * 3_000_000)
            assert_refusal(response, 429, "too_many_failures", service="echo", retry=True)
            forged = {"x-slipway-handed": "echo/127.0.0.9"}
            for content in (b"", b"x" * 3_000_000):
                response = await http.post(router.uri("echo"), headers=forged, content=content)
                assert_refusal(response, 429, "too_many_failures", service="echo", retry=True)
        await router.until_metrics({("slipway_refusals_total", "echo", "too_many_failures"): 8})

        async def calmed() -> bool | None:
            await asyncio.sleep(1)
            return statuses(await knock(router, "guess", 1)) == [401] or None

        await until(calmed, SECONDS, lambda: router.log)
        assert replica.seen == [None] * 3


@scenario
async def test_when_a_service_is_open_then_no_key_is_needed_and_its_own_authorization_arrives(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica]:
        await router.serve("echo", replica, keys=None, auth_enabled=False)
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(router.uri("echo"))).status_code == 200
            own = await http.post(router.uri("echo"), headers={"authorization": "Basic own"})
            assert own.json()["headers"]["authorization"] == "basic own"


@scenario
async def test_when_a_method_is_not_for_scoring_then_405_names_those_that_are(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        for method in ("PUT", "DELETE", "PATCH", "SPAM"):
            response = await http.request(method, router.uri("echo"))
            assert_refusal(response, 405, "method_not_allowed", service="echo")
            assert response.headers["allow"] == "GET, POST, OPTIONS"


@scenario
async def test_when_every_replica_stays_busy_then_the_wait_is_bounded_and_explained(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, max_request_wait_time=300)
        busy = asyncio.create_task(http.post(router.uri("echo"), json={"hold": True}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        refused = await asyncio.gather(*(http.post(router.uri("echo"), json={}) for _ in range(3)))
        for response in refused:
            body = assert_refusal(response, 503, "queue_timeout", service="echo", retry=True)
            assert body["replicas"] == 1
            assert body["queued"] < 3
            assert 0.28 < response.elapsed.total_seconds() < 3
        replica.release()
        assert (await busy).status_code == 200


@scenario
async def test_when_no_replica_comes_in_time_then_503_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as router, client() as http:
        await router.serve("echo", max_request_wait_time=300)
        response = await http.post(router.uri("echo"))
        body = assert_refusal(response, 503, "no_replica", service="echo", retry=True)
        assert body["replicas"] == 0
        assert response.elapsed.total_seconds() > 0.28


@scenario
async def test_when_run_fails_then_502_keeps_the_replicas_own_body(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica)
        response = await http.post(router.uri("echo"), json={"raise": True})
        assert (response.status_code, response.json()) == (502, {"traceback": "ValueError"})
        assert response.headers["x-ms-run-function-failed"] == "true"
        assert "x-ms-request-id" in response.headers


@scenario
async def test_when_a_replica_dies_on_a_request_then_502_says_so_and_it_is_not_sent_again(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas(2) as both, client() as http:
        await router.serve("echo", *both)
        for number in range(5):  # on a connection that has served before, too
            assert (await http.post(router.uri("echo"), json={"id": "fine"})).status_code == 200
            crashed = await http.post(router.uri("echo"), json={"crash": True, "id": number})
            assert_refusal(crashed, 502, "replica_failed", service="echo")
        seen = [one for replica in both for one in replica.seen if one != "fine"]
        assert sorted(map(str, seen)) == ["0", "1", "2", "3", "4"]


@scenario
async def test_when_a_replica_does_not_answer_then_504_comes_5_seconds_after_the_timeout(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [replica], client() as http:
        await router.serve("echo", replica, scoring_timeout_ms=100)
        response = await http.post(router.uri("echo"), json={"sleep": 6})
        assert_refusal(response, 504, "scoring_timeout", service="echo")
        assert 5 < response.elapsed.total_seconds() < 8


@scenario
async def test_when_a_replica_is_gone_unnoticed_then_another_one_takes_the_request(tmp_path: Path) -> None:
    async with running(tmp_path) as router, replicas(2) as [dead, alive], client() as http:
        await router.serve("echo", dead, alive, max_request_wait_time=10_000)
        await dead.stop()
        responses = await asyncio.gather(*(http.post(router.uri("echo"), json={}) for _ in range(20)))
        assert {response.status_code for response in responses} == {200}


@scenario
async def test_when_the_only_replica_is_gone_unnoticed_then_the_request_waits_for_another(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as router, replicas() as [dead], client() as http:
        await router.serve("echo", dead, max_request_wait_time=8000)
        await dead.stop()
        waiting = asyncio.create_task(http.post(router.uri("echo"), json={}))
        await router.until(lambda status: status["services"]["echo"]["queued"] == 1)
        async with replicas() as [alive]:
            router.scale("echo", alive)
            assert (await waiting).json()["port"] == alive.port


@scenario
async def test_when_the_admin_port_is_asked_anything_else_then_it_says_what_there_is(tmp_path: Path) -> None:
    async with running(tmp_path) as router:
        router.start()
        await router.until(lambda status: status["services"] == {})
        assert (await router.admin.get("/")).text == "Healthy\n"
        assert (await router.admin.get("/spam")).status_code == 404
        assert (await router.admin.post("/status")).status_code == 400


@scenario
async def test_when_a_replica_is_not_ready_then_it_gets_nothing_until_it_is(tmp_path: Path) -> None:
    replica = await Replica().start()
    async with running(tmp_path) as router, client() as http:
        await router.serve("echo", replica, max_request_wait_time=5000)
        replica.ready = False
        await router.until(lambda status: status["services"]["echo"]["up"] == 0)
        waiting = asyncio.create_task(http.post(router.uri("echo"), json={}))
        await router.until(lambda status: status["services"]["echo"]["queued"] == 1)
        replica.ready = True
        assert (await waiting).status_code == 200
    await replica.stop()
