"""The router's certificate is a Secret of the cluster, watched: a new one acts at once."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from pathlib import Path

import pytest

from slipway.kube.client import connect
from slipway.router import binary
from slipway.router.control import Router
from slipway.router.haproxy import HAProxy
from slipway.router.options import Options, Tls
from slipway.router.watches import ClusterFeed
from tests.certificates import certificate
from tests.cluster.kubernetes.cluster import Cluster
from tests.local.router_parts import free_ports, scenario, until

NAMESPACE, NAME = "certificate", "slipway-router-tls"
SECONDS = 20.0


def put(cluster: Cluster, public: bytes, key: bytes) -> None:
    data = {"tls.crt": base64.b64encode(public).decode(), "tls.key": base64.b64encode(key).decode()}
    metadata = {"name": NAME, "namespace": NAMESPACE}
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
