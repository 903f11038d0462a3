"""Tokens: who gets one, and that nobody without a right one reaches a model."""

import asyncio
import base64
import contextlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, Callable
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from slipway.kube.client import Client, connect
from slipway.router import binary, token_keys, tokens
from slipway.router.auth import FAILURES
from slipway.router.callers import ClusterCallers
from slipway.router.control import Router
from slipway.router.haproxy import HAProxy
from slipway.router.options import Options
from slipway.router.token_keys import TokenKey
from slipway.router.tokens import Tokens
from slipway.router.watches import ClusterFeed
from slipway.router.writes import ClusterWriter
from slipway.spec import TOKEN_KEYS_SECRET
from tests.local.router_parts import (
    KEY,
    SECONDS,
    Json,
    Replica,
    RouterProcess,
    assert_refusal,
    replicas,
    running,
    scenario,
    until,
)
from tests.unit.api_server import api_server, kubeconfig

NOW = int(time.time())
MINE, OTHERS, NEXT = token_keys.make(NOW - 100), token_keys.make(NOW - 50), token_keys.make(NOW + 9_999)
Make = Callable[..., str]


def keep(router: RouterProcess, *keys: TokenKey) -> None:
    """Let the routers' Secret hold these keys."""
    found = router.folder.get("Secret", "slipway", TOKEN_KEYS_SECRET)
    router.folder.put(token_keys.write(keys, "slipway", found))


def made(key: TokenKey = MINE, service: str = "echo", at: float = 0) -> str:
    """Sign a token, `at` seconds from now."""
    return str(tokens.token(key, service, "me", int(time.time() + at))["token"])


async def ask(
    router: RouterProcess,
    bearer: str | None,
    service: str = "echo",
    path: str = "score",
    method: str = "POST",
) -> httpx.Response:
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.request(method, router.uri(service, path), headers=headers)


@contextlib.asynccontextmanager
async def serving(root: Path, *keys: TokenKey) -> AsyncGenerator[tuple[RouterProcess, Replica]]:
    """Give a router with the services `echo` and `other`, both by token, and their one replica."""
    async with running(root) as router, replicas() as [replica]:
        if keys:
            keep(router, *keys)
        for name in ("echo", "other"):
            router.deploy(name, replica, auth_enabled=False, token_auth_enabled=True)
        router.start()
        for name in ("echo", "other"):
            await router.up(name, 1)
        yield router, replica


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def changed(token: str, head: Json | None = None, claims: Json | None = None) -> tuple[str, str]:
    """Give what a token signs, with other values in it, and the signature that it had."""
    *texts, signature = token.split(".")
    values: list[Json] = [json.loads(base64.urlsafe_b64decode(f"{part}==")) for part in texts]
    parts = [{**value, **(new or {})} for value, new in zip(values, (head, claims), strict=True)]
    return ".".join(encoded(json.dumps(part).encode()) for part in parts), signature


def symmetric(secret: bytes) -> Make:
    """Make a token of HS256, with a secret that everybody knows."""

    def make() -> str:
        signed, _ = changed(made(), {"alg": "HS256"})
        return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), sha256))}"

    return make


def altered(**head: object) -> Make:
    return lambda: ".".join(changed(made(), head))


WRONG: list[tuple[str, str, Make]] = [
    ("token_wrong", "nonsense", lambda: "x"),
    ("token_wrong", "dots", lambda: "..."),
    ("token_wrong", "three parts", lambda: "a.b.c"),
    ("token_wrong", "a key", lambda: KEY),
    ("token_wrong", "no signature", lambda: made().rpartition(".")[0]),
    ("token_wrong", "empty signature", lambda: f"{made().rpartition('.')[0]}."),
    ("token_wrong", "more signature", lambda: f"{made()}AAAA"),
    ("token_wrong", "other claims", lambda: ".".join(changed(made(service="other"), None, {"aud": "echo"}))),
    ("token_wrong", "later end", lambda: ".".join(changed(made(at=-7200), None, {"exp": NOW + 7200}))),
    ("token_wrong", "alg none", lambda: f"{changed(made(), {'alg': 'none'})[0]}."),
    ("token_wrong", "alg NONE signed", altered(alg="NONE")),
    ("token_wrong", "alg RS512", altered(alg="RS512")),
    ("token_wrong", "alg ES256", altered(alg="ES256")),
    ("token_wrong", "no alg", altered(alg=None)),
    ("token_wrong", "two algs", altered(alg=["RS256"])),
    ("token_wrong", "no kid", altered(kid=None)),
    ("token_wrong", "unknown kid", altered(kid=OTHERS.kid)),
    ("token_wrong", "path as kid", altered(kid=f"../{MINE.kid}")),
    ("token_wrong", "HS256 by the public key", symmetric(MINE.public.encode())),
    ("token_wrong", "HS256 by its file's name", symmetric(f"token-{MINE.kid}.pem".encode())),
    ("token_wrong", "HS256 by nothing", symmetric(b"")),
    ("token_wrong", "another key", lambda: made(OTHERS)),
    ("token_of_another_service", "other", lambda: made(service="other")),
    ("token_of_another_service", "prefix", lambda: made(service="ech")),
    ("token_of_another_service", "none", lambda: made(service="")),
    ("token_expired", "just now", lambda: made(at=-tokens.LIFETIME - 1)),
    ("token_expired", "long ago", lambda: made(at=-NOW + 1)),
    ("token_not_yet_valid", "soon", lambda: made(at=tokens.EARLY + 60)),
]


@scenario
async def test_a_key_buys_a_token_which_lets_its_owner_in_and_does_not_reach_the_model(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (router, _):
        before = int(time.time())
        answer = await ask(router, KEY, path="token")
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        given: Json = answer.json()
        assert given["token"] == given["accessToken"]
        assert given["tokenType"] == "Bearer"
        assert before < given["refreshAfter"] < given["expiryOn"]
        answer = await ask(router, given["token"])
        assert answer.status_code == 200
        assert "authorization" not in answer.json()["headers"]
        for secret in (KEY, given["token"], "PRIVATE KEY"):
            assert secret not in router.log


@scenario
async def test_tokens_of_all_published_keys_are_taken_and_those_of_a_key_that_is_gone_are_not(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, MINE, NEXT) as (router, _):
        for key in (MINE, NEXT):
            assert (await ask(router, made(key))).status_code == 200
        keep(router, NEXT, OTHERS)

        async def taken() -> httpx.Response | None:
            answer = await ask(router, made(OTHERS))
            return answer if answer.status_code == 200 else None

        await until(taken, SECONDS, lambda: router.log)
        assert (await ask(router, made(NEXT))).status_code == 200
        assert_refusal(await ask(router, made(MINE)), 401, "token_wrong", service="echo")


@pytest.mark.parametrize("name", [name for _, name, _ in WRONG])
def test_the_wrong_tokens_have_names_of_their_own(name: str) -> None:
    assert [one for _, one, _ in WRONG].count(name) == 1


@scenario
async def test_a_token_that_is_not_right_is_refused_with_its_reason_and_reaches_no_model(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, MINE, NEXT) as (router, replica):
        assert_refusal(await ask(router, None), 401, "token_missing", service="echo")
        for number, (reason, name, make) in enumerate(WRONG):
            transport = httpx.AsyncHTTPTransport(local_address=f"127.0.0.{2 + 2 * number // FAILURES}")
            async with httpx.AsyncClient(transport=transport) as http:
                bearers = (make(), made(NEXT), make())  # what a connection brought before lets nothing in
                wrong, right, answer = [
                    await http.post(router.uri("echo"), headers={"authorization": f"Bearer {one}"})
                    for one in bearers
                ]
            assert [wrong.status_code, right.status_code, answer.status_code] == [401, 200, 401], name
            assert assert_refusal(answer, 401, reason, service="echo"), name
            assert answer.headers["www-authenticate"] == "Bearer"
        assert len(replica.seen) == len(WRONG)
        assert (await ask(router, made())).status_code == 200
        assert (await ask(router, made(service="other"), "other")).status_code == 200


@scenario
async def test_a_token_is_refused_to_whom_is_not_known(tmp_path: Path) -> None:
    async with serving(tmp_path, MINE, NEXT) as (router, replica):
        router.deploy("keyed", replica)
        await router.up("keyed", 1)
        assert_refusal(await ask(router, None, path="token"), 401, "login_missing", service="echo")
        for wrong in ("x", made(), f"{KEY}x"):
            assert_refusal(await ask(router, wrong, path="token"), 401, "login_wrong", service="echo")
        answer = await ask(router, KEY, path="token", method="GET")
        assert_refusal(answer, 405, "method_not_allowed", service="echo")
        assert answer.headers["allow"] == "POST"
        assert_refusal(await ask(router, KEY, "keyed", "token"), 404, "no_tokens", service="keyed")
        assert_refusal(await ask(router, KEY, "nobody", "token"), 404, "unknown_service", service="nobody")
        assert_refusal(await ask(router, KEY), 401, "token_wrong", service="echo")


@scenario
async def test_a_token_is_given_whatever_way_its_path_is_written(tmp_path: Path) -> None:
    async with serving(tmp_path, MINE, NEXT) as (router, _):
        headers = {"authorization": f"Bearer {KEY}"}
        proxy = f"http://127.0.0.1:{router.port}"  # a client asks it by the whole address
        async with httpx.AsyncClient(proxy=proxy, headers=headers) as http:
            answer = await http.post("http://models.example/api/v1/service/echo/token?a=/b")
        assert answer.status_code == 200, answer.text


@scenario
async def test_a_body_with_the_question_is_of_no_matter(tmp_path: Path) -> None:
    async with serving(tmp_path, MINE, NEXT) as (router, _), httpx.AsyncClient(trust_env=False) as http:
        headers = {"authorization": f"Bearer {KEY}"}
        for body in (b"{}", b"x" * 3_000_000):
            answer = await http.post(router.uri("echo", "token"), headers=headers, content=body)
            assert answer.status_code == 200, answer.text

        async def pieces() -> AsyncGenerator[bytes]:
            yield b"{}"
            await asyncio.sleep(0.2)
            yield b"{}"

        answer = await http.post(router.uri("echo", "token"), headers=headers, content=pieces())
        assert answer.status_code == 200, answer.text


@scenario
async def test_while_the_api_server_is_away_no_token_is_given_and_those_in_use_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = RouterProcess(tmp_path)  # for its ports and objects; it runs here
    async with api_server() as server, replicas() as [replica]:
        one.deploy("echo", replica, auth_enabled=False, token_auth_enabled=True)
        keep(one, MINE, NEXT)
        for kind in ("Deployment", "EndpointSlice", "Secret"):
            for obj in one.folder.list(kind):
                await server.put(obj)
        server.logins["a-login"] = "me"
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig(server.port)))
        async with router_in_a_cluster(one, connect(tmp_path / "kubeconfig", "test")):

            async def given() -> httpx.Response | None:
                with contextlib.suppress(httpx.TransportError):
                    answer = await ask(one, "a-login", path="token")
                    return answer if answer.status_code == 200 else None
                return None

            token: str = (await until(given, SECONDS, str)).json()["token"]
            assert_refusal(await ask(one, "another", path="token"), 401, "login_wrong", service="echo")
            await server.stop()
            refused = await ask(one, "a-login", path="token")
            assert_refusal(refused, 503, "tokens_unavailable", service="echo", retry=True)
            assert (await ask(one, token)).status_code == 200
            assert_refusal(await ask(one, made(OTHERS)), 401, "token_wrong", service="echo")
            await server.start()
            await until(given, SECONDS, str)


@contextlib.asynccontextmanager
async def router_in_a_cluster(one: RouterProcess, client: Client) -> AsyncGenerator[None]:
    """Run a router that has its objects, and knows callers, by an API server."""
    options, stop = Options(None, one.directory, port=one.port), asyncio.Event()
    async with client, ClusterFeed(client, options.namespace) as feed:
        router = Router(options, HAProxy(binary.find()), feed)
        service = Tokens(router, ClusterCallers(client), ClusterWriter(client), options.namespace)
        async with await service.listen():
            task = asyncio.create_task(router.run(stop, stop))
            try:
                yield
            finally:
                stop.set()
                await task
