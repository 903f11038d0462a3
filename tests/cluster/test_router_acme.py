"""A certificate by ACME, as docs/tls.md says: cert-manager orders it of Pebble, a server made for tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import ssl
import subprocess
import textwrap
from collections.abc import Callable, Generator, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

from slipway import certificates
from tests.certificates import certificate
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.component import tail
from tests.cluster.kubernetes.stack import deployed, key, new_stack, router_url
from tests.cluster.prepare import ACME
from tests.cluster.processes import until as wait_for
from tests.cluster.routers import RouterPod, router_pods
from tests.local.router_parts import assert_refusal, free_ports, scenario, until

DOCS = Path(__file__).parents[2] / "docs" / "tls.md"
ECHO = {
    "name": "echo",
    "source_directory": "examples/echo",
    "entry_script": "score.py",
    "num_replicas": 1,
    "cpu_cores": 0.05,
}
NAMESPACE = "--namespace=slipway"
SECONDS = 20.0


class Pebble(NamedTuple):
    """A server of ACME, and who trusts what it issues."""

    directory: str
    file: Path
    """The certificate of the server itself."""
    root: str
    nameserver: str
    names: str
    """Where the nameserver is told what it answers."""

    def resolve_to(self, address: str) -> None:
        """Have every name be that of an address."""
        httpx.post(f"{self.names}/set-default-ipv4", json={"ip": address}, trust_env=False).raise_for_status()


@contextlib.contextmanager
def running(folder: Path, log: str, *commands: list[str], **variables: str) -> Generator[None]:
    """Run programs of the module `acme` within the context."""
    found: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / log).open("ab") as output:
            for program, *arguments in commands:
                command = [str(ACME / "bin" / program), *arguments]
                environment = os.environ | variables
                found.append(
                    subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
                )
        yield
    finally:
        for one in found:
            one.kill()
            one.wait()
        print(tail(folder / log))


@contextlib.contextmanager
def pebble(folder: Path) -> Generator[Pebble]:
    """Run a server that asks port 80 of whatever address its own nameserver gives to all names."""
    listen, manage, dns, names = (f"127.0.0.1:{port}" for port in free_ports(4))
    public, private = certificate("localhost")
    file = folder / "server.pem"
    file.write_bytes(public)
    (folder / "server.key").write_bytes(private)
    settings = {
        "listenAddress": listen,
        "managementListenAddress": manage,
        "certificate": "server.pem",
        "privateKey": "server.key",
        "httpPort": 80,
        "tlsPort": 1,
        "retryAfter": {"authz": 1, "order": 1},
        "profiles": {"default": {"description": "", "validityPeriod": 7_776_000}},
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    off = ["-http01=", "-https01=", "-tlsalpn01=", "-doh=", "-defaultIPv6="]
    commands = (
        ["pebble-challtestsrv", *off, f"-dnsserver={dns}", f"-management={names}"],
        ["pebble", "-strict", "-config=pebble.json", f"-dnsserver={dns}"],
    )
    quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}  # each order is asked for anew
    with running(folder, "pebble.log", *commands, **quick):
        context = ssl.create_default_context(cadata=public.decode())
        with httpx.Client(verify=context, trust_env=False) as http:
            roots = list[str]()

            def told() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    roots.append(http.get(f"https://{manage}/roots/0").text)
                return bool(roots)

            wait_for(told)
        yield Pebble(f"https://{listen}/dir", file, roots[0], dns, f"http://{names}")


@contextlib.contextmanager
def cert_manager(cluster: Cluster, folder: Path, server: Pebble) -> Generator[None]:
    """Have cert-manager in a cluster that has none, from outside, as far as a server of ACME needs it."""
    listed = ["go", "list", "-m", "-f={{.Dir}}", "github.com/cert-manager/cert-manager"]
    module = subprocess.run(listed, cwd=ACME, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    definitions = f"--filename={module}/deploy/crds"
    cluster.kubectl("create", definitions)
    try:
        cluster.kubectl("wait", "--for=condition=Established", definitions)
        told = [f"--kubeconfig={cluster.kubeconfig}", f"--acme-http01-solver-nameservers={server.nameserver}"]
        trusted = {"SSL_CERT_FILE": str(server.file)}
        with running(folder, "cert-manager.log", ["certmanager", *told], **trusted):
            yield
    finally:
        cluster.kubectl("delete", definitions)


def documented() -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the Issuer and the Certificate of the page."""
    (found,) = re.findall(r"```yaml\n( +apiVersion: cert-manager.io/.+?)\n +```", DOCS.read_text(), re.DOTALL)
    issuer, wanted = yaml.safe_load_all(textwrap.dedent(found))
    return issuer, wanted


async def served(chain: str, pods: Iterable[RouterPod]) -> None:
    """Wait until all pods serve a certificate."""
    for pod in pods:

        async def look(address: str = pod.address) -> bool | None:
            with contextlib.suppress(OSError):  # there is none yet
                return (
                    chain.startswith(await asyncio.to_thread(ssl.get_server_certificate, (address, 8443)))
                    or None
                )
            return None

        await until(look, SECONDS, str)


@scenario
async def test_cert_manager_gets_a_name_its_certificate_and_renews_it_without_a_dropped_connection(
    cluster: Cluster, tmp_path: Path
) -> None:
    issuer, wanted = documented()
    (name,), secret = wanted["spec"]["dnsNames"], wanted["spec"]["secretName"]
    account = issuer["spec"]["acme"]["privateKeySecretRef"]["name"]
    tls = {"domains": [name], "secrets": [secret], "acme_account": account}
    stack = new_stack(cluster, tmp_path / "project", [ECHO], replicas=2, cpu_cores=0.2, tls=tls)

    def apply() -> None:
        issuer["spec"]["acme"]["server"] = server.directory
        objects = yaml.safe_dump_all([issuer, wanted])
        cluster.kubectl("apply", "--server-side", "--validate=strict", "--filename=-", stdin=objects)

    def renew() -> None:
        """Do as `cmctl renew` does, and cert-manager itself in time."""
        issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered"}
        patch = json.dumps([{"op": "add", "path": "/status/conditions/-", "value": issuing}])
        what = ("certificate/models", NAMESPACE, "--subresource=status", "--type=json", f"--patch={patch}")
        cluster.kubectl("patch", *what)

    def lose() -> None:
        cluster.kubectl("delete", "secret", secret, NAMESPACE)

    async def issued(how: Callable[[], None], number: int) -> str:
        """Have the certificate of a number made; give it, with its chain, once it is served."""
        await asyncio.to_thread(how)
        for waited in (f"jsonpath={{.status.revision}}={number}", "condition=Ready"):
            what = ("certificate/models", NAMESPACE, f"--for={waited}", "--timeout=90s")
            await asyncio.to_thread(cluster.kubectl, "wait", *what)
        public = ("secret", secret, NAMESPACE, r"--output=jsonpath={.data.tls\.crt}")
        chain = base64.b64decode(await asyncio.to_thread(cluster.kubectl, "get", *public)).decode()
        await served(chain, pods)
        return chain

    with pebble(tmp_path) as server, cert_manager(cluster, tmp_path, server), deployed(stack):
        plain = httpx.URL(router_url(cluster)).copy_with(path="/api/v1/service/echo/score")
        server.resolve_to(plain.host)
        pods = router_pods(cluster).values()
        headers = {"authorization": f"Bearer {key(cluster, 'echo')}", "host": name}
        context = ssl.create_default_context(cadata=server.root)
        async with httpx.AsyncClient(headers=headers, verify=context, trust_env=False, timeout=30) as http:
            assert_refusal(await http.post(plain, json={}), 403, "https_required", service="echo")
            chains = [await issued(apply, 1)]
            renewal = ("certificate/models", NAMESPACE, "--output=jsonpath={.status.renewalTime}")
            renewed = datetime.fromisoformat(cluster.kubectl("get", *renewal))
            assert renewed < certificates.read(chains[0]).nears
            done, addresses = asyncio.Event(), set[object]()

            async def ask() -> None:
                while not done.is_set():
                    url, more = plain.copy_with(scheme="https"), {"sni_hostname": name}
                    answer = await http.post(url, json={}, extensions=more)
                    assert answer.status_code == 200, answer.text
                    addresses.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
                    await asyncio.sleep(0.01)

            async def status(pod: RouterPod) -> dict[str, Any]:
                return (await http.get(f"http://{pod.address}:8081/status")).json()

            reloads = [(await status(pod))["reloads"] for pod in pods]
            asking = asyncio.create_task(ask())
            for number, how in enumerate((renew, lose), 2):
                chains.append(await issued(how, number))
            done.set()
            await asking
            assert len(set(chains)) == 3
            assert len(addresses) == 1
            found = [await status(pod) for pod in pods]
            assert [one["reloads"] for one in found] == reloads
            assert [one["warnings"] for one in found] == [[], []]
