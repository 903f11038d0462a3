"""A certificate by ACME: Pebble, Let's Encrypt's server for tests, asks the router whether a name is its."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.certificates import certificate
from tests.cluster.prepare import PEBBLE
from tests.cluster.processes import until
from tests.local.router_parts import (
    KEY,
    assert_refusal,
    client,
    free_ports,
    replicas,
    running,
    scenario,
)
from tests.local.test_router_https import of
from tests.local.test_router_tls import put, until_shown, uri

NAME = "models.westeurope.cloudapp.azure.com"


class Pebble(NamedTuple):
    """A server, and who trusts what it issues."""

    directory: str
    file: Path
    """The certificate of the server itself."""
    root: bytes

    async def issue(self, account: bytes, folder: Path) -> tuple[bytes, bytes]:
        """Order a certificate for NAME with the key of an account; give its chain and a new key, both PEM."""
        key, name = ec.generate_private_key(ec.SECP256R1()), x509.DNSName(NAME)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
        request = x509.CertificateSigningRequestBuilder(subject)
        request = request.add_extension(x509.SubjectAlternativeName([name]), critical=False).sign(
            key, SHA256()
        )
        (folder / "account.pem").write_bytes(account)
        (folder / "request.pem").write_bytes(request.public_bytes(Encoding.PEM))
        (folder / "unused").mkdir(exist_ok=True)  # where a server of files would find the answers
        files = ["--account-key=account.pem", "--csr=request.pem", "--acme-dir=unused"]
        command = [
            sys.executable,
            "-m",
            "acme_tiny",
            *files,
            "--disable-check",
            f"--directory-url={self.directory}",
        ]
        environment = os.environ | {"SSL_CERT_FILE": str(self.file)}
        done = await asyncio.to_thread(
            subprocess.run, command, cwd=folder, env=environment, capture_output=True, check=False
        )
        if done.returncode:
            raise LookupError(done.stderr.decode())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return done.stdout, private


@contextlib.contextmanager
def pebble(folder: Path, port: int) -> Generator[Pebble]:
    """Run a server that finds every name on this machine, at a port in place of 80."""
    folder.mkdir()
    listen, manage, dns, dns_manage = free_ports(4)
    public, key = certificate("localhost")
    (folder / "server.pem").write_bytes(public)
    (folder / "server.key").write_bytes(key)
    settings = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{manage}",
        "certificate": "server.pem",
        "privateKey": "server.key",
        "httpPort": port,
        "tlsPort": 1,
        "retryAfter": {"authz": 1, "order": 1},
        "profiles": {"default": {"description": "", "validityPeriod": 7_776_000}},
    }
    (folder / "config.json").write_text(json.dumps({"pebble": settings}))
    off = ["-http01=", "-https01=", "-tlsalpn01=", "-doh=", "-defaultIPv6="]
    names = [
        "pebble-challtestsrv",
        *off,
        f"-dnsserver=127.0.0.1:{dns}",
        f"-management=127.0.0.1:{dns_manage}",
    ]
    server = ["pebble", "-strict", "-config=config.json", f"-dnsserver=127.0.0.1:{dns}"]
    quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}  # each order is asked for anew
    with (folder / "log").open("ab") as log:
        running = [
            subprocess.Popen(
                [PEBBLE / "bin" / command[0], *command[1:]],
                cwd=folder,
                env=os.environ | quick,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            for command in (names, server)
        ]
    try:
        context = ssl.create_default_context(cadata=public.decode())
        with httpx.Client(verify=context, trust_env=False) as http:
            roots = list[bytes]()

            def told() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    roots.append(http.get(f"https://127.0.0.1:{manage}/roots/0").content)
                return bool(roots)

            until(told)
        yield Pebble(f"https://127.0.0.1:{listen}/dir", folder / "server.pem", roots[0])
    finally:
        for one in running:
            one.kill()
            one.wait()


def account_key() -> bytes:
    """Make what cert-manager does for an account."""
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def leaf(chain: bytes) -> bytes:
    (first, *_) = x509.load_pem_x509_certificates(chain)
    return first.public_bytes(Encoding.PEM)


@scenario
async def test_a_name_of_azure_gets_its_certificate_by_acme_and_renews_it_without_a_dropped_connection(
    tmp_path: Path,
) -> None:
    account = account_key()
    variables = of("tls", ACME_ACCOUNT="account", TLS_DOMAINS=NAME)
    async with running(tmp_path, **variables) as router, replicas() as [one], client() as plain:
        with pebble(tmp_path / "pebble", router.port) as server:
            put(router, b"", account, name="account")
            router.deploy("echo", one)
            router.start()
            await router.up("echo", 1)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", int(router.environment["TLS_PORT"]))
            with pytest.raises(LookupError, match="Challenge did not pass"):  # not its account
                await server.issue(account_key(), tmp_path)
            chain, key = await server.issue(account, tmp_path)
            put(router, chain, key, name="tls")
            await until_shown(router, leaf(chain))  # with it HTTPS begins, by a reload
            assert_refusal(
                await plain.post(router.uri("echo"), json={}), 403, "https_required", service="echo"
            )
            trusted = ssl.create_default_context(cadata=server.root.decode())
            addresses, done = set[object](), asyncio.Event()
            headers = {"authorization": f"Bearer {KEY}", "host": NAME}
            async with httpx.AsyncClient(headers=headers, verify=trusted, trust_env=False) as http:

                async def ask() -> None:
                    while not done.is_set():
                        answer = await http.post(uri(router), json={}, extensions={"sni_hostname": NAME})
                        assert answer.status_code == 200
                        addresses.add(answer.extensions["network_stream"].get_extra_info("client_addr"))

                asking = asyncio.create_task(ask())
                for _ in range(2):
                    renewed, key = await server.issue(account, tmp_path)
                    put(router, renewed, key, name="tls")
                    assert leaf(renewed) != leaf(chain)
                    assert await until_shown(router, leaf(renewed)) < 1
                done.set()
                await asking
            assert len(addresses) == 1
            async with httpx.AsyncClient(headers=headers, verify=trusted, trust_env=False) as http:
                assert (
                    await http.post(uri(router), json={}, extensions={"sni_hostname": NAME})
                ).status_code == 200
            assert (await router.status())["warnings"] == []
