"""HTTPS as clients see it: names, HTTP beside it, renewals under load, certificates that end."""

import asyncio
import socket
import ssl
from pathlib import Path

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
    replicas,
    running,
    scenario,
    until,
)
from tests.local.test_router_tls import put, shown, trusting, until_shown, uri
from tests.ports import free_port


def of(*secrets: str, **more: str) -> dict[str, str]:
    return {"TLS_PORT": str(free_port()), "TLS_SECRETS": " ".join(secrets), **more}


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
            await router.serve("echo", one)
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
            asked = await http.get(f"http://127.0.0.1:{router.admin_port}/status")
            assert asked.status_code == 200
            refused = 'slipway_refusals_total{service="echo",reason="https_required"} 2\n'

            async def counted(page: str = refused) -> bool | None:
                return page in (await router.admin.get("/metrics")).text or None

            await until(counted, SECONDS, lambda: router.log)


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

    variables = of("tls") if source == "Secret" else {"TLS_PORT": str(free_port()), "TLS_DIR": str(folder)}
    async with running(tmp_path, **variables) as router, replicas(4) as found:
        give(*made[0])
        await router.serve("echo", *found, max_request_wait_time=10_000)
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
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(headers=headers, verify=trusting(public), trust_env=False) as https:
            assert (await https.post(uri(router), json={})).status_code == 200
