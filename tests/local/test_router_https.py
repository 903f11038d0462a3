"""HTTPS as clients see it: names, HTTP beside it, HTTP/2, renewals under load, certificates that end."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path

import h2.connection
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.certificates import DAY, NOW, certificate
from tests.local.router_parts import (
    KEY,
    SECONDS,
    RouterProcess,
    assert_refusal,
    client,
    free_ports,
    replicas,
    running,
    scenario,
    until,
)
from tests.local.test_router_tls import put, shown, trusting, until_shown, uri

LARGEST = 104_857_600
DATA, HEADERS, GOAWAY, END_STREAM = 0, 1, 7, 1


def of(*secrets: str, **more: str) -> dict[str, str]:
    return {"TLS_PORT": str(free_ports(1)[0]), "TLS_SECRETS": " ".join(secrets), **more}


@contextlib.asynccontextmanager
async def by_http_2(public: bytes) -> AsyncGenerator[httpx.AsyncClient]:
    """Give a client with a valid key that sends everything over one connection."""
    limits = httpx.Limits(max_connections=1)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        headers=headers,
        verify=trusting(public),
        http1=False,
        http2=True,
        timeout=30,
        limits=limits,
        trust_env=False,
    ) as http:
        yield http


def shown_for(router: RouterProcess, name: str) -> bytes:
    """Give the certificate that a client gets who asks for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", int(router.environment["TLS_PORT"]))) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        found = connection.getpeercert(binary_form=True)
        assert found is not None
        return ssl.DER_cert_to_PEM_cert(found).encode()


@scenario
async def test_each_name_gets_its_own_certificate_and_a_secret_that_comes_later_its_too(
    tmp_path: Path,
) -> None:
    many, wild, third = (
        certificate("a.example.com", "b.example.com"),
        certificate("*.models.example.org"),
        certificate("c.example.com"),
    )
    async with running(tmp_path, **of("first", "second", "third")) as router:
        put(router, *many, name="first")
        put(router, *wild, name="second")
        router.start()
        status = await router.until(lambda _: True)
        assert status["ignored"] == ["Secret slipway/third: is missing; nobody can call by HTTPS with it"]
        for name, expected in (
            ("a.example.com", many),
            ("b.example.com", many),
            ("x.models.example.org", wild),
            ("c.example.com", many),
        ):
            assert await asyncio.to_thread(shown_for, router, name) == expected[0]
        put(router, *third, name="third")
        await router.until(lambda status: status["reloads"] == 1)
        assert await asyncio.to_thread(shown_for, router, "c.example.com") == third[0]
        assert await asyncio.to_thread(shown_for, router, "elsewhere.example.net") == many[0]
        renewed = certificate("*.models.example.org")
        put(router, *renewed, name="second")
        await router.until(
            lambda status: status["certificates"]["Secret slipway/second"]["names"] is not None
        )

        async def looked() -> bool | None:
            return await asyncio.to_thread(shown_for, router, "x.models.example.org") == renewed[0] or None

        await until(looked, SECONDS, lambda: router.log)
        assert (await router.status())["reloads"] == 1


@scenario
async def test_http_is_refused_or_redirected_but_for_the_pods_own_loopback(tmp_path: Path) -> None:
    public, key = certificate()
    path = "/api/v1/service/echo/score?a=1"
    for choice in ("refuse", "redirect"):
        root = tmp_path / choice
        root.mkdir()
        variables = of("tls", POD_IP="127.0.0.2", **({"TLS_HTTP": choice} if choice != "refuse" else {}))
        async with running(root, **variables) as router, replicas() as [one], client() as http:
            put(router, public, key, name="tls")
            router.deploy("echo", one)
            router.start()
            await router.up("echo", 1)
            for body in (b"{}", b"x" * 2_000_000):
                answer = await http.post(
                    f"http://127.0.0.2:{router.port}{path}",
                    content=body,
                    headers={"host": "a.example.com:80"},
                )
                assert_refusal(answer, 403 if choice == "refuse" else 308, "https_required", service="echo")
                location = None if choice == "refuse" else f"https://a.example.com{path}"
                assert answer.headers.get("location") == location
            assert one.offered == 0
            forwarded = await http.post(
                f"http://127.0.0.1:{router.port}{path}", json={}
            )  # kubectl port-forward
            assert forwarded.status_code == 200
            refused = 'slipway_refusals_total{service="echo",reason="https_required"} 2\n'

            async def counted(page: str = refused) -> bool | None:
                return page in (await router.admin.get("/metrics")).text or None

            await until(counted, SECONDS, lambda: router.log)


@scenario
async def test_by_http_2_many_requests_of_one_connection_are_scored_and_limited_as_any(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    async with (
        running(tmp_path, **of("tls")) as router,
        replicas(2, gate=9) as found,
        by_http_2(public) as http,
    ):
        put(router, public, key, name="tls")
        router.deploy("echo", *found, max_request_wait_time=10_000)
        router.start()
        await router.up("echo", 2)
        answers = await asyncio.gather(*(http.post(uri(router), json={"sleep": 0.02}) for _ in range(60)))
        assert {(one.status_code, one.http_version) for one in answers} == {(200, "HTTP/2")}
        assert {len(one.headers["x-ms-request-id"]) for one in answers} == {36}
        assert [one.offered_most for one in found] == [1, 1]
        assert_refusal(
            await http.post(uri(router), headers={"authorization": "Bearer no"}),
            401,
            "key_wrong",
            service="echo",
        )
        lost = await http.post(uri(router).replace("echo", "lost"), content=b"{}")
        assert_refusal(lost, 404, "unknown_service", service="lost")
        assert (await http.post(uri(router), json={"raise": True})).status_code == 502


@scenario
async def test_by_http_2_bodies_have_the_same_limits(tmp_path: Path) -> None:
    public, key = certificate()

    async def chunks(size: int) -> AsyncGenerator[bytes]:
        for begin in range(0, size, 2**20):
            yield b"0" * min(2**20, size - begin)

    async def slowly(stop: asyncio.Event) -> AsyncGenerator[bytes]:
        yield b"0" * 2**20
        await stop.wait()
        yield b"0"

    async with running(tmp_path, **of("tls")) as router, replicas() as [one], by_http_2(public) as http:
        put(router, public, key, name="tls")
        router.deploy("echo", one)
        router.start()
        await router.up("echo", 1)
        for size in (1, 2_000_000, LARGEST):
            assert (await http.post(uri(router), content=chunks(size))).json()["size"] == size
            sized = await http.post(uri(router), content=chunks(size), headers={"content-length": str(size)})
            assert sized.json()["size"] == size
        for length in ({}, {"content-length": str(LARGEST + 1)}):
            large = await http.post(uri(router), content=chunks(LARGEST + 1), headers=length)
            assert_refusal(large, 413, "body_too_large", service="echo")
        stop = asyncio.Event()
        slow = asyncio.create_task(http.post(uri(router), content=slowly(stop)))
        await asyncio.sleep(0.2)
        begin = asyncio.get_running_loop().time()
        assert (await http.post(uri(router), json={})).status_code == 200  # the slow one holds no replica
        assert asyncio.get_running_loop().time() - begin < 1
        stop.set()
        assert (await slow).json()["size"] == 2**20 + 1


@contextlib.asynccontextmanager
async def far_away(port: int, seconds: float) -> AsyncGenerator[int]:
    """Give a port from which everything takes so long to another one and back."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, sent = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def arrive() -> None:
            while True:
                at, data = await sent.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                writer.write(data)

        arriving = asyncio.create_task(arrive())
        while data := await reader.read(2**16):
            sent.put_nowait((loop.time() + seconds / 2, data))
        arriving.cancel()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, there), carry(back, writer), return_exceptions=True)
        there.close()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]


@scenario
async def test_by_http_2_a_large_upload_from_far_away_keeps_up_the_minimum_rate(tmp_path: Path) -> None:
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas() as [one], by_http_2(public) as http:
        put(router, public, key, name="tls")
        router.deploy("echo", one)
        router.start()
        await router.up("echo", 1)
        async with far_away(int(router.environment["TLS_PORT"]), 0.15) as port:
            far = f"https://127.0.0.1:{port}/api/v1/service/echo/score"
            assert (await http.post(far, content=b"0" * 6_000_000)).json()["size"] == 6_000_000


@scenario
async def test_by_http_2_a_client_that_gives_up_leaves_the_replica_with_its_limit(tmp_path: Path) -> None:
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas() as [one], by_http_2(public) as http:
        put(router, public, key, name="tls")
        router.deploy("echo", one, max_request_wait_time=10_000)
        router.start()
        await router.up("echo", 1)
        leaving = [asyncio.create_task(http.post(uri(router), json={"sleep": 0.5})) for _ in range(5)]
        await router.until(lambda status: status["services"]["echo"]["queued"] == 4)
        for task in leaving:
            task.cancel()
        answers = await asyncio.gather(*(http.post(uri(router), json={}) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert one.offered_most == 1


@scenario
async def test_by_http_2_a_reload_says_that_the_connection_ends_and_lets_its_requests_finish(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    async with running(tmp_path, **of("tls")) as router, replicas(2) as [one, two]:
        put(router, public, key, name="tls")
        router.deploy("echo", one)
        router.start()
        await router.up("echo", 1)
        context = trusting(public)
        context.set_alpn_protocols(["h2"])
        port = int(router.environment["TLS_PORT"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        http = h2.connection.H2Connection()
        http.initiate_connection()
        body = b'{"sleep": 2}'
        head = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": "a",
            ":path": "/api/v1/service/echo/score",
        }
        more = {"authorization": f"Bearer {KEY}", "content-length": str(len(body))}
        http.send_headers(1, list((head | more).items()))
        http.send_data(1, body, end_stream=True)
        writer.write(http.data_to_send())
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        router.deploy("fraud", two)  # needs a reload
        last_stream, answer, ended = 0, b"", False
        while not (ended and last_stream):  # frame by frame, because h2 takes every GOAWAY for the end
            head = await asyncio.wait_for(reader.readexactly(9), SECONDS)
            length, kind, flags = int.from_bytes(head[:3]), head[3], head[4]
            payload = await reader.readexactly(length)
            if kind == GOAWAY:
                last_stream = int.from_bytes(payload[:4])
            elif head[5:] == b"\0\0\0\1" and kind in (DATA, HEADERS):
                answer += payload if kind == DATA else b""
                ended = bool(flags & END_STREAM)
        writer.close()
        assert last_stream == 2**31 - 1  # requests that are on their way may come too
        assert json.loads(answer)["path"] == "/score"


@pytest.mark.parametrize("source", ["Secret", "folder"])
@scenario
async def test_when_certificates_are_renewed_under_load_then_no_request_fails(
    source: str, tmp_path: Path
) -> None:
    made = [certificate() for _ in range(6)]
    context = ssl.create_default_context(cadata=b"".join(public for public, _ in made).decode())
    folder = tmp_path / "tls"
    folder.mkdir()

    def give(public: bytes, key: bytes) -> None:
        if source == "Secret":
            put(router, public, key, name="tls")
        else:
            (folder / "new").write_bytes(key + public)
            (folder / "new").replace(folder / "tls.pem")

    async def ask(*, http2: bool, keep: bool) -> int:
        asked = 0
        headers = {"authorization": f"Bearer {KEY}"} | ({} if keep else {"connection": "close"})
        async with httpx.AsyncClient(
            headers=headers, verify=context, http1=not http2, http2=http2, timeout=30, trust_env=False
        ) as http:
            while not done.is_set():
                assert (await http.post(uri(router), json={"sleep": 0.005})).status_code == 200
                asked += 1
        return asked

    variables = (
        of("tls") if source == "Secret" else {"TLS_PORT": str(free_ports(1)[0]), "TLS_DIR": str(folder)}
    )
    async with running(tmp_path, **variables) as router, replicas(4) as found:
        give(*made[0])
        router.deploy("echo", *found, max_request_wait_time=10_000)
        router.start()
        await router.up("echo", 4)
        done = asyncio.Event()
        loads = [ask(http2=True, keep=True), ask(http2=False, keep=True), ask(http2=False, keep=False)]
        asking = [asyncio.create_task(load) for load in loads]
        for pair in made[1:]:
            give(*pair)
            await until_shown(router, pair[0])
        done.set()
        assert all(asked > 0 for asked in await asyncio.gather(*asking))
        status = await router.status()
        assert (status["restarts"], status["reloads"]) == (0, 0)


@scenario
async def test_a_certificate_that_ends_soon_is_a_metric_an_event_and_a_line_of_the_status(
    tmp_path: Path,
) -> None:
    ends = NOW + 3 * DAY
    public, key = certificate("a.example.com", begins=NOW - 87 * DAY, ends=ends)
    async with running(tmp_path, **of("tls", TLS_DOMAINS="a.example.com b.example.com")) as router:
        put(router, public, key, name="tls")
        router.start()
        status = await router.until(lambda status: bool(status["certificates"]))
        served = {"names": ["a.example.com", "127.0.0.1"], "expires": ends.isoformat()}
        assert status["certificates"] == {"Secret slipway/tls": served}
        near, name = status["warnings"]
        assert near == (
            "Secret slipway/tls: the certificate for a.example.com, 127.0.0.1 expires on "
            f"{ends:%Y-%m-%d}; renew it"
        )
        assert name == "no certificate is for b.example.com: clients that call it refuse what they get"
        metric = f'expiry_timestamp_seconds{{source="Secret slipway/tls"}} {ends.timestamp():.0f}\n'
        assert metric in (await router.admin.get("/metrics")).text

        async def told() -> set[str] | None:
            reasons = {event["reason"] for event in router.folder.list("Event")}
            return reasons if len(reasons) == 2 else None

        assert await until(told, SECONDS, lambda: router.log) == {
            "CertificateExpiring",
            "CertificateNameMismatch",
        }
        over = certificate("a.example.com", begins=NOW - 90 * DAY, ends=NOW - DAY)
        put(router, *over, name="tls")
        await router.until(lambda status: "has expired on" in str(status["ignored"]))
        assert await asyncio.to_thread(shown, router) == public


@scenario
async def test_an_acme_server_is_answered_by_http_before_there_is_a_certificate(tmp_path: Path) -> None:
    account = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    variables = of("tls", ACME_ACCOUNT="account")
    path = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
    async with running(tmp_path, **variables) as router, client() as http, replicas() as [one]:
        router.deploy("echo", one)
        put(router, b"", account, name="account")
        router.start()
        await router.up("echo", 1)
        answer = await http.get(f"http://127.0.0.1:{router.port}{path}")
        token, _, thumbprint = answer.text.partition(".")
        assert (answer.status_code, token, len(thumbprint)) == (200, path.rpartition("/")[2], 43)
        assert_refusal(await http.post(router.uri("echo"), json={}), 403, "https_required", service="echo")
        public, key = certificate()
        put(router, public, key, name="tls")
        await until_shown(router, public)
        async with by_http_2(public) as https:
            assert (await https.post(uri(router), json={})).status_code == 200
