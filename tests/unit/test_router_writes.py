"""What the router writes, to a folder or a cluster: one field of a Deployment, and Events that count."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.client import connect
from slipway.kube.events import seen
from slipway.kube.folder import Folder, Object
from slipway.router.feed import FolderFeed, WriteError, Writer
from slipway.router.writes import BURST, EACH_SECONDS, REMEMBERED, Budget, ClusterWriter, FolderWriter
from tests.unit.api_server import ApiServer, api_server, kubeconfig

DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "echo", "namespace": "services"},
    "spec": {"replicas": 1, "template": {"spec": {}}},
    "status": {"readyReplicas": 1},
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = Folder(tmp_path)
    found.put(DEPLOYMENT)
    return found


def test_scaling_changes_the_replicas_alone(folder: Folder) -> None:
    asyncio.run(FolderWriter(folder).scale("services", "echo", 3))
    (found,) = folder.list("Deployment")
    assert found["spec"] == {"replicas": 3, "template": {"spec": {}}}
    assert found["status"] == {"readyReplicas": 1}


def test_scaling_what_is_not_there_is_an_error_and_makes_nothing(folder: Folder) -> None:
    with pytest.raises(WriteError, match="there is no Deployment services/gone"):
        asyncio.run(FolderWriter(folder).scale("services", "gone", 3))
    assert [one["metadata"]["name"] for one in folder.list("Deployment")] == ["echo"]


def test_the_same_event_counts_up_and_another_stands_beside_it(folder: Folder) -> None:
    writer = FolderWriter(folder)

    async def write() -> None:
        for note in ("one", "two", "one"):
            await writer.event(DEPLOYMENT, "Normal", "SuccessfulRescale", note)

    asyncio.run(write())
    found = {event["note"]: event for event in folder.list("Event", "services")}
    assert found.keys() == {"one", "two"}
    assert found["one"]["series"]["count"] == 2
    assert "series" not in found["two"]
    assert found["one"]["regarding"]["name"] == "echo"
    assert seen(found["one"]) > seen(found["two"])


def test_an_event_of_more_than_an_hour_ago_goes_when_another_comes(folder: Folder) -> None:
    writer = FolderWriter(folder)
    asyncio.run(writer.event(DEPLOYMENT, "Normal", "SuccessfulRescale", "old"))
    (old,) = folder.list("Event")
    folder.put({**old, "eventTime": (datetime.now(UTC) - timedelta(hours=2)).isoformat()})
    asyncio.run(writer.event(DEPLOYMENT, "Normal", "SuccessfulRescale", "new"))
    assert [event["note"] for event in folder.list("Event")] == ["new"]


SECRET: Object = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "authority", "namespace": "slipway"},
    "data": {"tls.key": "Zmlyc3Q="},
}


async def race(mine: Writer, other: Writer, read: Callable[[], Object]) -> None:
    """Let two routers make a Secret, and then change it; each time the first alone gets its way."""
    assert await mine.put_secret(SECRET)
    assert not await other.put_secret({**SECRET, "data": {"tls.key": "c2Vjb25k"}})
    found = read()
    assert found["data"] == SECRET["data"]
    assert await other.put_secret({**found, "data": {"tls.key": "bmV4dA=="}})
    assert not await mine.put_secret({**found, "data": {"tls.key": "bGF0ZQ=="}})
    assert read()["data"] == {"tls.key": "bmV4dA=="}
    gone = {**found, "metadata": {**found["metadata"], "name": "gone"}}
    assert not await mine.put_secret(gone)


def test_of_two_routers_that_write_a_secret_in_a_folder_the_first_is_right(folder: Folder) -> None:
    def read() -> Object:
        return next(iter(folder.list("Secret")))

    asyncio.run(race(FolderWriter(folder), FolderWriter(folder), read))


def test_of_two_routers_that_write_a_secret_in_a_cluster_the_first_is_right(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            other = ClusterWriter(writer._client)  # pyright: ignore[reportPrivateUsage] - another router
            await race(writer, other, lambda: server.objects["Secret", "slipway", "authority"])
            server.refused["create", "secrets"] = 403
            with pytest.raises(WriteError, match="secrets is forbidden: cannot create"):
                await writer.put_secret(SECRET)

    asyncio.run(scenario())


def test_a_snapshot_has_the_pods_of_web_services_and_all_autoscalers(folder: Folder) -> None:
    labels = {"slipway/webservice": "echo"}
    folder.put({"kind": "Pod", "metadata": {"name": "a", "namespace": "services", "labels": labels}})
    folder.put({"kind": "Pod", "metadata": {"name": "b", "namespace": "slipway"}})
    folder.put({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "namespace": "services"}})
    objects = asyncio.run(FolderFeed(folder, "slipway").next())
    assert [one["metadata"]["name"] for one in objects.pods] == ["a"]
    assert [one["metadata"]["name"] for one in objects.autoscalers] == ["h"]


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncGenerator[tuple[ApiServer, ClusterWriter]]:
    async with api_server() as server:
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.port)))
        async with connect(path, "test") as client:
            yield server, ClusterWriter(client)


def test_a_cluster_is_scaled_by_the_subresource_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            await server.put(DEPLOYMENT)
            await writer.scale("services", "echo", 3)
            assert server.requests == [("patch", "deployments/scale")]
            assert server.sent == [{"spec": {"replicas": 3}}]
            with pytest.raises(WriteError, match='deployments "gone" not found'):
                await writer.scale("services", "gone", 3)

    asyncio.run(scenario())


def test_a_pod_is_resized_by_the_subresource_where_there_is_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            await server.put({**DEPLOYMENT, "apiVersion": "v1", "kind": "Pod"})
            assert await writer.resize("services", "echo", "router", 1800)
            assert server.requests == [("patch", "pods/resize")]
            wanted = {"name": "router", "resources": {"requests": {"cpu": "1800m"}}}
            assert server.sent == [{"spec": {"containers": [wanted]}}]
            server.refused["patch", "pods/resize"] = 403
            with pytest.raises(WriteError, match="pods is forbidden: cannot patch"):
                await writer.resize("services", "echo", "router", 900)
            server.refused["patch", "pods/resize"] = 404  # before Kubernetes 1.33
            assert not await writer.resize("services", "echo", "router", 900)

    asyncio.run(scenario())


def test_routers_that_say_the_same_share_an_event_and_count_it_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            for one in (writer, ClusterWriter(writer._client), ClusterWriter(writer._client)):  # pyright: ignore[reportPrivateUsage] - two other routers
                await one.event(DEPLOYMENT, "Normal", "Routable", "yes")
            (event,) = [obj for (kind, _, _), obj in server.objects.items() if kind.startswith("Event")]
            assert event["series"]["count"] == 3
            assert event["regarding"]["name"] == "echo"

    asyncio.run(scenario())


def test_an_event_that_repeats_is_counted_here_and_too_many_are_left_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            for _ in range(1000):
                await writer.event(DEPLOYMENT, "Warning", "NoReadyReplica", "none")
            assert len(server.sent) == 1
            for number in range(1000):
                await writer.event(DEPLOYMENT, "Warning", "NoReadyReplica", f"{number}")
            assert len(server.sent) == BURST
            other = {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "name": "other"}}
            await writer.event(other, "Warning", "Misconfigured", "not starved by the first")
            assert len(server.sent) == BURST + 1

    asyncio.run(scenario())


def test_a_long_note_is_cut_at_what_an_event_may_hold(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            await writer.event(DEPLOYMENT, "Warning", "Misconfigured", "é" * 2000)
            assert server.sent[0]["note"] == "é" * 512

    asyncio.run(scenario())


def test_an_event_that_is_refused_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            server.refused["create", "events"] = 403
            with pytest.raises(WriteError, match="events is forbidden"):
                await writer.event(DEPLOYMENT, "Normal", "Routable", "yes")

    asyncio.run(scenario())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.005)


def test_what_happens_while_the_api_server_is_away_is_told_when_it_is_back_with_its_own_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.router.writes.AGAIN_SECONDS", 0.01)

    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            server.refused["create", "events"] = 503
            await writer.event(DEPLOYMENT, "Warning", "NoReadyReplica", "none")
            await writer.event(DEPLOYMENT, "Normal", "Routable", "one")
            happened = datetime.now(UTC)
            assert server.sent == []
            work = asyncio.create_task(writer.catch_up())
            server.refused["create", "events"] = 403  # as one that starts answers
            await until(lambda: server.requests.count(("create", "events")) > 3)
            del server.refused["create", "events"]
            await until(lambda: len(server.sent) == 2)
            work.cancel()
            assert {one["note"] for one in server.sent} == {"none", "one"}
            assert all(datetime.fromisoformat(one["eventTime"]) <= happened for one in server.sent)

    asyncio.run(scenario())


def test_while_the_api_server_is_away_no_more_is_kept_than_is_remembered(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            server.refused["create", "events"] = 503
            for number in range(REMEMBERED + 10):
                name = {**DEPLOYMENT["metadata"], "name": f"echo-{number}"}
                await writer.event({**DEPLOYMENT, "metadata": name}, "Normal", "Routable", "yes")
            assert server.requests.count(("create", "events")) == 1  # nobody waits again and again
            del server.refused["create", "events"]
            await writer._write_late()  # pyright: ignore[reportPrivateUsage] - what `catch_up` does in time
            assert len(server.sent) == REMEMBERED

    asyncio.run(scenario())


def test_an_event_that_is_being_written_is_not_written_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            server.answers.clear()
            asked = asyncio.create_task(writer.event(DEPLOYMENT, "Normal", "Routable", "one"))
            await asyncio.wait([asked], timeout=0.2)
            late = asyncio.create_task(writer._write_late(patient=True))  # pyright: ignore[reportPrivateUsage] - what `catch_up` does in time
            await asyncio.wait([late], timeout=0.2)
            server.answers.set()
            await asyncio.gather(asked, late)
            assert server.requests == [("create", "events")]

    asyncio.run(scenario())


def test_an_event_for_which_nobody_waits_any_more_is_written_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with cluster(tmp_path) as (server, writer):
            server.answers.clear()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.event(DEPLOYMENT, "Normal", "Routable", "one")
            server.answers.set()
            await writer._write_late(patient=True)  # pyright: ignore[reportPrivateUsage] - what `catch_up` does in time
            assert "one" in {one.get("note") for one in server.sent}

    asyncio.run(scenario())


@given(st.lists(st.floats(0, 100), max_size=200))
def test_no_more_events_pass_than_the_burst_and_what_time_gives(steps: list[float]) -> None:
    budget, now, spent = Budget(), 0.0, 0
    for step in steps:
        now += step
        left = budget.spend(now)
        if left is not None:
            budget, spent = left, spent + 1
    assert spent <= BURST + now / EACH_SECONDS + 1e-6
