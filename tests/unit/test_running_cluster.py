"""A stack in a cluster, by an API server over real HTTP: followed by watch, keys written, logs read."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from slipway.kube.client import ClusterError, connect
from slipway.local.state import LocalError
from slipway.running.backend import Lines, LogOptions
from slipway.running.cluster import Cluster, Place
from slipway.running.follow import follow
from tests.unit.api_server import ApiServer, api_server, kubeconfig
from tests.unit.rollouts import Json, deployment, event, pod, running
from tests.unit.test_kube_client import scenario

NAMESPACE = "slipway-services"
PLACE = Place("test", (NAMESPACE,), "kubectl --context test")
LABELS = {"app.kubernetes.io/managed-by": "slipway"}
KEYS = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "diabetes-keys", "namespace": "slipway"},
    "data": {"primary": "Zmlyc3Q=", "secondary": "c2Vjb25k"},
}


@contextlib.asynccontextmanager
async def cluster(folder: Path, place: Place = PLACE) -> AsyncGenerator[tuple[ApiServer, Cluster]]:
    async with api_server() as server:
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.port)))
        async with connect(path, "test") as client:
            yield server, Cluster(client, place)


def labelled(obj: Json, **changes: Any) -> Json:
    metadata = {**obj["metadata"], **changes}
    metadata["labels"] = {**metadata.get("labels", {}), **LABELS}
    return {**obj, "metadata": metadata}


def revision() -> Json:
    return {"deployment.kubernetes.io/revision": "1"}


def replica_set() -> Json:
    owner = {"uid": "d", "controller": True}
    metadata = {
        "name": "diabetes-new",
        "namespace": NAMESPACE,
        "uid": "new",
        "labels": {"pod-template-hash": "new"},
        "annotations": revision(),
        "ownerReferences": [owner],
    }
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata}


def owned(obj: Json) -> Json:
    return labelled(obj, ownerReferences=[{"uid": "new", "controller": True}])


@scenario
async def test_a_rollout_is_followed_by_watch_to_its_end_also_while_the_api_server_is_away(
    tmp_path: Path,
) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    async with cluster(tmp_path) as (server, backend):
        await server.put(labelled(deployment(1), annotations=revision()))
        waiting = asyncio.create_task(follow(backend, ["diabetes"], said.put_nowait))
        assert await said.get() == "diabetes: the cluster has not begun yet"
        await server.put(replica_set())
        assert await said.get() == "diabetes: 0 of 1 ready"
        await server.put(owned(pod(main=running())))
        assert await said.get() == "diabetes-new-a: starting"
        await server.stop()
        assert "does not answer" in await said.get()
        await server.start()
        await server.put(event("Pulling", "Pulling image", warning=False))
        while await said.get() != "diabetes-new-a: pulling image":
            pass
        await server.put(owned(pod(ready=0)))
        (done,) = await waiting
        assert done.name == "diabetes"


@scenario
async def test_when_the_cluster_refuses_to_list_then_that_is_said_at_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (server, backend):
        server.refused["list", "replicasets"] = 403
        with pytest.raises(ClusterError, match="replicasets is forbidden: cannot list") as error:
            await follow(backend, [], print)
        assert error.value.status == 403


@scenario
async def test_a_key_is_written_only_over_what_was_read(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (server, backend):
        await server.put(KEYS)
        secret = await backend.secret("diabetes-keys")
        assert secret is not None
        written = await backend.write(secret, {"primary": "new"})
        assert base64.b64decode(written["data"]["primary"]) == b"new"
        assert written["data"]["secondary"] == KEYS["data"]["secondary"]  # type: ignore[index]
        version = secret["metadata"]["resourceVersion"]
        assert server.sent == [{"metadata": {"resourceVersion": version}, "data": {"primary": "bmV3"}}]
        server.refused["patch", "secrets"] = 409
        with pytest.raises(LocalError, match="somebody else has changed the keys") as conflict:
            await backend.write(secret, {"primary": "newer"})
        assert "newer" not in str(conflict.value)
        server.refused["get", "secrets"] = 403
        with pytest.raises(LocalError, match="you have no right to read the keys") as refused:
            await backend.secret("diabetes-keys")
        assert "`score` takes --key-file" in refused.value.hint


@pytest.mark.parametrize(
    ("status", "url", "own"),
    [
        ({"loadBalancer": {"ingress": [{"ip": "20.1.2.3"}]}}, "http://20.1.2.3", None),
        ({"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}, "http://lb.example.com", None),
        ({"loadBalancer": {"ingress": [{"ip": "fd00::1"}]}}, "http://[fd00::1]", None),
        ({"loadBalancer": {}}, None, None),
        (
            {"loadBalancer": {"ingress": [{"ip": "20.1.2.3"}]}},
            "https://ml.example.com",
            "https://ml.example.com",
        ),
    ],
)
def test_the_address_is_the_stacks_name_or_the_services_load_balancer(
    status: Json, url: str | None, own: str | None, tmp_path: Path
) -> None:
    @scenario
    async def test() -> None:
        place = Place("test", (NAMESPACE,), "kubectl --context test", own, "az aks get-credentials")
        async with cluster(tmp_path, place) as (server, backend):
            metadata = {"name": "slipway-router", "namespace": "slipway"}
            await server.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": status})
            assert await backend.url() == url
            assert backend.no_address("diabetes").hint.splitlines() == [
                "az aks get-credentials",
                "kubectl --context test -n slipway port-forward service/slipway-router 8080:80",
                "slipway score diabetes --data FILE --url http://127.0.0.1:8080",
            ]

    test()


@scenario
async def test_logs_are_announced_by_source_and_of_processes_that_have_started(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (server, backend):
        obj = deployment(2)
        obj["spec"]["selector"] = {"matchLabels": {"slipway/webservice": "diabetes"}}
        await server.put(owned(pod("a", main=running(containerID="1"))))
        await server.put(owned(pod("b")))
        found = [one async for one in backend.logs(obj, LogOptions(7))]
        assert [one.source for one in found] == ["a", "a", "a"]
        assert found[0] == Lines("a", b"")
        assert json.loads(found[1].data) == {
            "follow": "false",
            "previous": "false",
            "container": "scoring",
            "tailLines": "7",
        }


@scenario
async def test_a_log_that_breaks_off_while_it_is_followed_ends_with_the_reason(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (server, backend):
        obj = deployment(1)
        obj["spec"]["selector"] = {"matchLabels": {"slipway/webservice": "diabetes"}}
        await server.put(owned(pod("a", main=running(containerID="1"))))
        async with contextlib.aclosing(backend.logs(obj, LogOptions(7, follow=True))) as lines:
            assert [(await anext(lines)).source for _ in range(3)] == ["a"] * 3
            server.refused["get", "pods/log"] = 500
            await server.put(owned(pod("a", main=running(containerID="2"))))
            assert await anext(lines) == Lines("a", b""), "the next process"
            with pytest.raises(ClusterError, match="cannot get"):
                await anext(lines)
