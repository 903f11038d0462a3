"""The router's certificates are Secrets of the cluster, watched: a new one acts at once, on every pod."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from pathlib import Path

import httpx
import pytest

from slipway.kube.client import connect
from slipway.router import binary
from slipway.router.control import Router
from slipway.router.haproxy import HAProxy
from slipway.router.options import Options, Tls
from slipway.router.watches import ClusterFeed
from slipway.spec import ROUTER_NAMESPACE
from tests.certificates import DAY, NOW, certificate
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import key, new_stack, router_url
from tests.local.router_parts import scenario, until
from tests.ports import free_ports

NAMESPACE, NAME = "certificate", "slipway-router-tls"
SECONDS = 20.0


def put(cluster: Cluster, public: bytes, key: bytes, namespace: str = NAMESPACE, name: str = NAME) -> None:
    data = {"tls.crt": base64.b64encode(public).decode(), "tls.key": base64.b64encode(key).decode()}
    metadata = {"name": name, "namespace": namespace}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "kubernetes.io/tls",
        "data": data,
    }
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(secret))


@scenario
async def test_a_renewed_certificate_acts_within_a_second(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    port, tls_port = free_ports(2)
    options = Options(None, tmp_path, port=port, namespace=NAMESPACE, tls=Tls(tls_port, secrets=(NAME,)))

    async def shown(public: bytes) -> float:
        async def look() -> float | None:
            try:
                found = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", tls_port))
            except OSError:
                return None
            return time.monotonic() if found.encode() == public else None

        return await until(look, SECONDS, str)

    first, second = certificate(), certificate()
    cluster.kubectl("create", "namespace", NAMESPACE)
    stop = asyncio.Event()
    try:
        async with (
            connect(cluster.kubeconfig, cluster.context) as client,
            ClusterFeed(client, NAMESPACE) as feed,
        ):
            router = Router(options, HAProxy(binary.find()), feed)
            task = asyncio.create_task(router.run(stop, stop))
            try:
                await asyncio.to_thread(put, cluster, *first)  # it is waited for
                await shown(first[0])
                await asyncio.to_thread(put, cluster, *second)
                begin = time.monotonic()
                assert await shown(second[0]) - begin < 1
                assert router.reloads == 0
            finally:
                stop.set()
                await task
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@scenario
async def test_pods_score_by_the_secret_that_somebody_else_keeps_and_none_fails_when_it_is_renewed(
    cluster: Cluster, tmp_path: Path
) -> None:
    tls = {"domains": ["models.example.com"], "secrets": ["models-tls"]}
    echo = {"name": "echo", "num_replicas": 2, "max_request_wait_time": 10_000, "cpu_cores": 0.05}
    files = {"source_directory": "examples/echo", "entry_script": "score.py"}
    stack = new_stack(cluster, tmp_path / "project", [echo | files], replicas=2, cpu_cores=0.2, tls=tls)
    soon = certificate("models.example.com", begins=NOW - 80 * DAY, ends=NOW + 10 * DAY)
    made = [soon, *(certificate("models.example.com") for _ in range(3))]
    trusted = ssl.create_default_context(cadata=b"".join(public for public, _ in made).decode())
    stack.write()
    try:
        stack.apply()
        put(cluster, *made[0], namespace=ROUTER_NAMESPACE, name="models-tls")  # the pods wait for it
        stack.wait()
        plain = router_url(cluster)
        headers = {"authorization": f"Bearer {key(cluster, 'echo')}", "host": "models.example.com"}
        uri = f"{plain.replace('http:', 'https:')}/api/v1/service/echo/score"
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=30) as http:
            refused = await http.post(f"{plain}/api/v1/service/echo/score", json={})
            assert (refused.status_code, refused.json()["reason"]) == (403, "https_required")
        done, answers = asyncio.Event(), list[int]()

        async def ask() -> None:
            """Score on a connection of its own each time, so that both pods are asked."""
            while not done.is_set():
                async with httpx.AsyncClient(
                    headers=headers, verify=trusted, trust_env=False, timeout=30, http2=True
                ) as http:
                    name = {"sni_hostname": "models.example.com"}
                    answers.append((await http.post(uri, json={}, extensions=name)).status_code)

        asking = [asyncio.create_task(ask()) for _ in range(3)]
        pods = cluster.kubectl(
            "get",
            "pods",
            f"-n={ROUTER_NAMESPACE}",
            "-l=app.kubernetes.io/name=slipway-router",
            "-o=jsonpath={.items[*].status.podIP}",
        ).split()
        assert len(pods) == 2
        for public, private in made[1:]:
            put(cluster, public, private, namespace=ROUTER_NAMESPACE, name="models-tls")
            for address in pods:

                async def shows(address: str = address, public: bytes = public) -> bool | None:
                    found = await asyncio.to_thread(ssl.get_server_certificate, (address, 8443))
                    return found.encode() == public or None

                await until(shows, SECONDS, str)

        async def many() -> bool | None:
            return len(answers) > 10 or None

        await until(many, SECONDS, str)
        done.set()
        await asyncio.gather(*asking)
        assert set(answers) == {200}
        events = cluster.kubectl("get", "events", f"-n={ROUTER_NAMESPACE}", "-o=jsonpath={.items[*].reason}")
        assert "CertificateExpiring" in events.split()
    finally:
        stack.delete()
