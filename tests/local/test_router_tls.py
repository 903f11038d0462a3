"""The router by HTTPS: certificates of a Secret, and files as the key vault's driver brings them."""

import asyncio
import base64
import contextlib
import os
import re
import resource
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.certificates import WEAK_AUTHORITY, certificate
from tests.local.router_parts import (
    KEY,
    SECONDS,
    RouterProcess,
    replicas,
    running,
    scenario,
    until,
    worker_of,
)
from tests.ports import free_port


def as_secret(folder: Path, public: bytes, key: bytes) -> None:
    """Write what a mounted Secret looks like: links to links into a folder with a date."""
    dated = folder / "..2026_11_24_08_00_00.123456789"
    dated.mkdir(parents=True)
    (folder / "..data").symlink_to(dated.name)
    for name, content in (("tls.crt", public), ("tls.key", key)):
        (dated / name).write_bytes(content)
        (dated / name).chmod(0o440)
        (folder / name).symlink_to(f"..data/{name}")


def as_vault(folder: Path, public: bytes, key: bytes) -> None:
    """Write what the key vault's CSI driver does: one file, the key first."""
    folder.mkdir()
    (folder / "models-example-com.pem").write_bytes(key + public)


def put(router: RouterProcess, public: bytes, key: bytes, name: str = "slipway-router-tls") -> None:
    """Write a Secret that the router reads."""
    data = {"tls.crt": base64.b64encode(public).decode(), "tls.key": base64.b64encode(key).decode()}
    metadata = {"name": name, "namespace": "slipway"}
    router.folder.put({"kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data})


def shown(router: RouterProcess) -> bytes:
    """Give the certificate that a new client gets."""
    return ssl.get_server_certificate(("127.0.0.1", int(router.environment["TLS_PORT"]))).encode()


def holding(root: Path, key: bytes) -> list[Path]:
    """Give the files under a folder that hold a key."""
    return [one for one in root.rglob("*") if one.is_file() and key.splitlines()[1] in one.read_bytes()]


def variables(folder: Path) -> dict[str, str]:
    return {"TLS_PORT": str(free_port()), "TLS_DIR": str(folder), "TLS_HTTP": "serve"}


def uri(router: RouterProcess) -> str:
    return f"https://127.0.0.1:{router.environment['TLS_PORT']}/api/v1/service/echo/score"


def trusting(public: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=public.decode())


@pytest.mark.parametrize("mount", [as_secret, as_vault])
@scenario
async def test_when_a_certificate_is_mounted_then_scores_come_by_https_and_http(
    mount: Callable[[Path, bytes, bytes], None], tmp_path: Path
) -> None:
    public, key = certificate()
    folder = tmp_path / "tls"
    mount(folder, public, key)
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        running(tmp_path, **variables(folder)) as router,
        replicas() as [one],
        httpx.AsyncClient(headers=headers, verify=trusting(public), trust_env=False) as http,
    ):
        await router.serve("echo", one)
        by_tls = await http.post(uri(router), json={"id": 1})
        assert (by_tls.status_code, by_tls.http_version) == (200, "HTTP/1.1")
        assert len(by_tls.headers["x-ms-request-id"]) == 32
        assert (await http.post(router.uri("echo"), json={"id": 2})).status_code == 200
        large = await http.post(uri(router), content=b"x" * 2_000_000)  # takes the detour
        assert large.json()["size"] == 2_000_000
        assert (await http.post(uri(router), headers={"authorization": "Bearer no"})).status_code == 401
        assert key.splitlines()[1].decode() not in router.log
        assert {one.parent for one in holding(tmp_path, key) if folder not in one.parents} == {
            router.directory
        }


@scenario
async def test_no_process_of_the_router_writes_a_core_with_keys_to_a_disk(tmp_path: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    least = "1" if most else "0"  # bytes: a pipe takes cores unless the limit is 1 (core(5))
    async with running(tmp_path) as router:
        router.start()
        status = await router.until(lambda _: True)
        assert router.process is not None
        master = status["haproxy_pid"]
        for process in (router.process.pid, master, worker_of(master)):
            assert core_limits(process) == (least, least)


def core_limits(process: int) -> tuple[str, str]:
    """Give how large a core of a process may become, and what it may set that to."""
    (line,) = re.findall(r"Max core file size +(\S+) +(\S+)", Path(f"/proc/{process}/limits").read_text())
    return line


@scenario
async def test_when_a_client_speaks_tls_before_1_2_then_it_is_refused(tmp_path: Path) -> None:
    public, key = certificate()
    as_vault(tmp_path / "tls", public, key)
    async with running(tmp_path, **variables(tmp_path / "tls")) as router:
        router.start()
        await router.until(lambda _: True)
        port = int(router.environment["TLS_PORT"])

        async def version(least: ssl.TLSVersion, most: ssl.TLSVersion) -> str | None:
            context = trusting(public)
            context.set_ciphers("ALL:@SECLEVEL=0")  # or the client would not even try
            context.set_alpn_protocols(["h2", "http/1.1"])
            context.maximum_version, context.minimum_version = most, least
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            found = writer.get_extra_info("ssl_object")
            writer.close()
            assert found.selected_alpn_protocol() == "h2"
            return found.version()

        with (
            pytest.warns(DeprecationWarning, match="TLSv1"),
            pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"),
        ):
            await version(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
        assert await version(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        assert await version(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


@scenario
async def test_when_a_certificate_cannot_be_used_then_the_router_is_not_ready_and_says_why(
    tmp_path: Path,
) -> None:
    public, key = certificate()
    _, other = certificate()
    alone, strange = (tmp_path / name for name in ("alone", "strange"))
    alone.mkdir()
    (alone / "tls.crt").write_bytes(public)
    as_secret(strange, public, other)
    for folder, said in (
        (alone, "File tls.crt: cannot be read with its key: No such file or directory; nobody can call"),
        (strange, "File tls.crt: the key is not the certificate's; nobody can call by HTTPS with it"),
    ):
        root = tmp_path / f"root-{folder.name}"
        root.mkdir()
        async with running(root, **variables(folder)) as router:
            router.start()
            await until_ignored(router, said)
            assert (await router.admin.get("/ready")).status_code == 503
            assert not any(line in router.log for line in (key + other).decode().splitlines()[1:-1])
            (folder / "tls.key").unlink(missing_ok=True)
            (folder / "tls.key").write_bytes(key)
            await router.until(lambda _: True)
            assert shown(router) == public


async def until_ignored(router: RouterProcess, said: str) -> None:
    """Wait until a router says why it does not use something, also while it is not ready."""

    async def told() -> bool | None:
        with contextlib.suppress(httpx.TransportError):
            return said in str((await router.status())["ignored"]) or None
        return None

    await until(told, SECONDS, lambda: router.log)


def of_secret() -> dict[str, str]:
    return {"TLS_PORT": str(free_port()), "TLS_SECRETS": "slipway-router-tls"}


async def until_shown(router: RouterProcess, public: bytes) -> float:
    """Wait for a certificate; give the seconds that it took."""
    begin = time.monotonic()

    async def look() -> bool | None:
        with contextlib.suppress(OSError):  # it was just started again
            return await asyncio.to_thread(shown, router) == public or None
        return None

    await until(look, SECONDS, lambda: router.log)
    return time.monotonic() - begin


@scenario
async def test_when_the_secret_changes_then_new_clients_get_the_new_certificate_within_a_second(
    tmp_path: Path,
) -> None:
    (first, first_key), (second, second_key) = certificate(), certificate()
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        running(tmp_path, **of_secret()) as router,
        replicas() as [one],
        httpx.AsyncClient(headers=headers, verify=trusting(first), trust_env=False) as http,
    ):
        router.deploy("echo", one)
        put(router, first, first_key)
        router.start()
        await router.up("echo", 1)
        slow = asyncio.create_task(http.post(uri(router), json={"hold": True}))
        await router.until(lambda status: status["services"]["echo"]["busy"] == 1)
        put(router, second, second_key)
        assert await until_shown(router, second) < 1
        one.release()
        assert (await slow).status_code == 200
        status = await router.status()
        assert (status["reloads"], status["restarts"], status["error"]) == (0, 0, None)
        os.kill(status["haproxy_pid"], signal.SIGKILL)  # it is started from its files
        await router.until(lambda status: status["restarts"] == 1)
        await until_shown(router, second)
        for key in (first_key, second_key):
            assert key.splitlines()[1].decode() not in router.log
        assert all(file.stat().st_mode & 0o077 == 0 for file in router.directory.glob("tls.pem*"))


@scenario
async def test_when_a_new_certificate_is_of_no_use_then_the_old_one_is_used_on(tmp_path: Path) -> None:
    (public, key), (second, second_key) = certificate(), certificate()
    async with running(tmp_path, **of_secret()) as router, replicas(2) as [one, two]:
        router.deploy("echo", one)
        put(router, public, key)
        router.start()
        await router.up("echo", 1)
        put(router, second, key)  # not its key
        said = (
            "Secret slipway/slipway-router-tls: the key is not the certificate's; the one before is used on"
        )
        await router.until(lambda status: status["ignored"] == [said])
        router.deploy("fraud", two)  # needs a reload
        await router.up("fraud", 1)
        assert shown(router) == public
        router.folder.delete("Secret", "slipway", "slipway-router-tls")
        await router.until(lambda status: "is missing; the one before" in str(status["ignored"]))
        assert shown(router) == public
        put(router, second, second_key)
        await until_shown(router, second)
        assert (await router.status())["ignored"] == []
        assert not any(line in router.log for line in key.decode().splitlines()[1:-1])


@scenario
async def test_when_haproxy_refuses_a_chain_then_a_whole_one_in_its_place_is_used(tmp_path: Path) -> None:
    (public, key), (second, second_key) = certificate(), certificate("more.example.com")
    secrets = {**of_secret(), "TLS_SECRETS": "slipway-router-tls more"}
    async with running(tmp_path, **secrets) as router, replicas() as [one]:
        put(router, public, key)
        router.start()
        await router.until(lambda _: True)
        put(router, second + WEAK_AUTHORITY, second_key, "more")
        refused = await router.until(lambda status: status["error"] is not None)
        assert "ca key too small" in refused["error"]
        assert holding(router.directory, second_key) == []
        put(router, second, second_key, "more")
        await router.until(lambda status: len(status["certificates"]) == 2 and status["error"] is None)
        router.deploy("echo", one)
        await router.up("echo", 1)


@scenario
async def test_when_the_secret_is_not_there_yet_then_the_router_waits_for_it_and_can_be_stopped(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, **of_secret()) as router:
        router.start()
        await until_ignored(router, "is missing")
        assert (await router.admin.get("/ready")).status_code == 503
        put(router, *certificate())
        await router.until(lambda _: True)
    other = tmp_path / "other"
    other.mkdir()
    async with running(other, **of_secret()) as router:
        router.start()
        await until_ignored(router, "is missing")
        assert router.process is not None
        router.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(router.process.wait, 5) == 0


@scenario
async def test_when_certificates_of_a_folder_are_replaced_then_new_clients_get_them(tmp_path: Path) -> None:
    (first, first_key), (second, second_key) = certificate(), certificate()
    folder = tmp_path / "tls"
    as_vault(folder, first, first_key)
    async with running(tmp_path, **variables(folder)) as router:
        router.start()
        await router.until(lambda _: True)
        assert shown(router) == first
        (folder / "new").write_bytes(second_key + second)
        (folder / "new").replace(folder / "models-example-com.pem")
        await until_shown(router, second)
        (folder / "new").write_bytes(first_key + second)
        (folder / "new").replace(folder / "models-example-com.pem")
        said = "File models-example-com.pem: the key is not the certificate's; the one before is used on"
        status = await router.until(lambda status: status["ignored"] == [said])
        assert shown(router) == second
        assert (status["reloads"], status["restarts"]) == (0, 0)
