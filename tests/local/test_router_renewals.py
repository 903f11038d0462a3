"""What becomes of a new certificate when HAProxy does not say whether it took it: that is no refusal."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from slipway.router.haproxy import NoReply
from slipway.router.options import Tls
from tests.certificates import certificate
from tests.local.router_parts import SECONDS, scenario, until
from tests.local.test_router_control import Running, running
from tests.ports import free_port

FILE = "models.pem"


@pytest.fixture(autouse=True)
def in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@asynccontextmanager
async def secured(folder: Path) -> AsyncGenerator[tuple[Running, int]]:
    """Run a router with a certificate; give it and its port for HTTPS."""
    certificates = folder / "certificates"
    certificates.mkdir()
    port = free_port()
    put(certificates, *certificate())
    async with running(folder, Tls(port, folder=certificates, http="serve")) as one:

        async def ready() -> bool | None:
            return one.router.ready or None

        await until(ready, SECONDS, str)
        yield one, port


def put(folder: Path, public: bytes, key: bytes) -> None:
    fresh = folder.parent / "fresh.pem"
    fresh.write_bytes(key + public)
    fresh.replace(folder / FILE)


async def until_shown(one: Running, port: int, public: bytes) -> None:
    async def look() -> bool | None:
        shown = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        return shown.encode() == public or None

    await until(look, SECONDS, lambda: repr(one.router.certificate_error))


@scenario
async def test_when_haproxy_stands_still_while_it_gets_a_certificate_then_it_gets_it_afterwards(
    tmp_path: Path,
) -> None:
    async with secured(tmp_path) as (one, port):
        (worker,) = await one.haproxy.workers()
        ask, asked = one.haproxy.ask, list[str]()

        async def counted(text: str) -> str:
            asked.append(text.partition("<<")[0].strip())
            if asked[-1].startswith("set ssl cert"):
                os.kill(int(worker), signal.SIGSTOP)
            try:
                return await asyncio.wait_for(ask(text), 0.3)  # ten seconds are many for a test
            except TimeoutError:
                raise NoReply("time is up") from None

        one.haproxy.ask = counted
        public, key = certificate()
        put(tmp_path / "certificates", public, key)

        async def twice() -> bool | None:
            return len([text for text in asked if text.startswith("abort ssl cert")]) > 2 or None

        try:
            await until(twice, SECONDS, lambda: str(asked))
        finally:
            one.haproxy.ask = ask
            os.kill(int(worker), signal.SIGCONT)
        await until_shown(one, port, public)
        assert one.router.certificate_error is None


@pytest.mark.parametrize("command", ["set ssl cert", "commit ssl cert"])
@pytest.mark.parametrize("it_did", [True, False])
def test_when_a_command_ends_without_a_reply_then_it_is_given_again(
    tmp_path: Path, command: str, it_did: bool
) -> None:
    @scenario
    async def look() -> None:
        async with secured(tmp_path) as (one, port):
            ask = one.haproxy.ask

            async def without_reply(text: str) -> str:
                if text.startswith(command):
                    one.haproxy.ask = ask
                    if it_did:
                        await ask(text)
                    return ""
                return await ask(text)

            one.haproxy.ask = without_reply
            public, key = certificate()
            put(tmp_path / "certificates", public, key)
            await until_shown(one, port, public)
            assert one.router.certificate_error is None

    look()
