"""Objects are kept as an API server has them, through whatever happens to it and to the connection."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.client import connect
from slipway.kube.watch import MOST_SECONDS, Source, Watch, pause
from slipway.router.feed import OWN_SERVICE, Objects
from slipway.router.watches import ClusterFeed, sources
from tests.unit.api_server import ApiServer, api_server, kubeconfig

Json = dict[str, Any]
SECONDS = 10.0
LABELS = {"slipway/webservice": "echo"}


def scenario(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 3 * SECONDS))

    return run


def named(name: str, kind: str = "Pod", namespace: str = "models", **fields: Any) -> Json:
    metadata = {"name": name, "namespace": namespace, "labels": LABELS, "managedFields": [{"manager": "x"}]}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {}, **fields}


class Watched:
    """A watch that runs as a task."""

    def __init__(self, server: ApiServer, watch: Watch, changed: asyncio.Event) -> None:
        self.server = server
        self.watch = watch
        self._changed = changed

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.watch.objects}

    async def until_names(self, *names: str) -> None:
        async with asyncio.timeout(SECONDS):
            while self.names != set(names):
                await self._changed.wait()
                self._changed.clear()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not true():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)

    def asked(self, verb: str) -> int:
        return sum(one == verb for one, _ in self.server.requests)


@contextlib.asynccontextmanager
async def watched(folder: Path, **source: Any) -> AsyncGenerator[Watched]:
    async with api_server() as server:
        await server.put(named("a"))
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.port)))
        async with connect(path, "test") as client:
            changed = asyncio.Event()
            one = Watched(server, Watch(client, Source("Pod", **source), changed), changed)
            task = asyncio.create_task(one.watch.run())
            try:
                yield one
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@scenario
async def test_what_is_there_and_what_comes_changes_and_goes_is_known(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.server.put(named("b"))
        await one.until_names("a", "b")
        await one.server.put(named("b", status={"phase": "Running"}))
        await one.until(lambda: one.watch.objects["models", "b"].get("status") == {"phase": "Running"})
        await one.server.delete("Pod", "models", "a")
        await one.until_names("b")
        assert "managedFields" not in one.watch.objects["models", "b"]["metadata"]
        assert one.asked("list") == 1


@scenario
async def test_when_a_connection_breaks_then_the_watch_goes_on_without_another_list(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.until(lambda: one.asked("watch") == 1)
        await one.server.cut()
        await one.server.put(named("b"))
        await one.until_names("a", "b")
        assert (one.asked("list"), one.asked("watch")) == (1, 2)


@scenario
async def test_when_a_bookmark_came_then_a_new_watch_goes_on_from_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.until(lambda: one.asked("watch") == 1)
        await one.server.bookmark()
        await one.until(lambda: one.watch.version == str(one.server.version))
        # What was before the bookmark is forgotten, and nobody notices.
        one.server.oldest = one.server.version
        await one.server.cut()
        await one.server.put(named("b"))
        await one.until_names("a", "b")
        assert one.asked("list") == 1


@scenario
async def test_when_a_version_is_too_old_then_everything_is_listed_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.until(lambda: one.asked("watch") == 1)
        one.server.objects.clear()
        await one.server.put(named("b"))
        await one.server.forget()
        await one.until_names("b")
        assert one.asked("list") == 2


@scenario
async def test_when_the_server_is_away_then_what_was_known_stays_until_it_is_back(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.server.stop()
        await one.until(lambda: one.watch.behind is not None)
        since = one.watch.behind
        assert one.names == {"a"}
        await one.server.put(named("b"))
        await one.server.start()
        await one.until_names("a", "b")
        await one.until(lambda: one.watch.behind is None)
        assert since is not None
        assert "Pod: http://127.0.0.1" in since.error


@scenario
async def test_when_a_watch_falls_silent_then_another_takes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.kube.client.SILENCE_SECONDS", 0.2)
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.until(lambda: one.asked("watch") >= 3)
        assert one.asked("list") == 1
        assert one.watch.behind is None


@scenario
async def test_when_the_server_takes_connections_but_does_not_answer_then_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.kube.client.ANSWER_SECONDS", 0.2)
    async with watched(tmp_path) as one:
        await one.until_names("a")
        one.server.answers.clear()
        await one.server.cut()
        await one.until(lambda: one.watch.behind is not None)
        assert one.names == {"a"}
        one.server.answers.set()
        await one.until(lambda: one.watch.behind is None)


@scenario
async def test_when_it_is_refused_then_it_says_so_and_asks_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        one.server.refused["watch", "pods"] = one.server.refused["list", "pods"] = 403
        await one.server.cut()
        await one.until(lambda: one.watch.behind is not None and "cannot list" in one.watch.behind.error)
        assert one.names == {"a"}
        one.server.refused.clear()
        await one.until(lambda: one.watch.behind is None)


@pytest.mark.parametrize("status", [403, 404])
@scenario
async def test_when_a_kind_is_optional_and_not_for_us_then_there_is_none_of_it(
    tmp_path: Path, status: int
) -> None:
    async with watched(tmp_path, optional=True) as one:
        one.server.refused["list", "pods"] = status
        await one.until(lambda: one.watch.complete)
        assert one.names == set()
        assert one.watch.behind is None
        one.server.refused.clear()  # it was only about to allow it
        await one.until_names("a")


@pytest.mark.parametrize("verbs", [["watch"], ["watch", "list"]])
@scenario
async def test_when_an_optional_kind_that_was_there_is_refused_then_what_was_known_stays(
    tmp_path: Path, verbs: list[str]
) -> None:
    async with watched(tmp_path, optional=True) as one:
        await one.until_names("a")
        await one.until(lambda: one.asked("watch") == 1)
        one.server.refused |= {(verb, "pods"): 403 for verb in verbs}
        await one.server.cut()
        await one.until(
            lambda: one.watch.behind is not None and f"cannot {verbs[-1]}" in one.watch.behind.error
        )
        assert one.names == {"a"}
        one.server.refused.clear()
        await one.until(lambda: one.watch.behind is None)


@scenario
async def test_when_the_server_has_too_much_to_do_then_it_is_not_asked_for_a_list_as_well(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        await one.until(lambda: one.asked("watch") == 1)
        one.server.refused["watch", "pods"] = 429
        await one.server.cut()
        await one.until(lambda: one.asked("watch") >= 3)
        one.server.refused.clear()
        await one.server.put(named("b"))
        await one.until_names("a", "b")
        assert one.asked("list") == 1


@scenario
async def test_when_events_make_no_sense_then_everything_is_listed_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until_names("a")
        one.server.happened.append((one.server.version + 1, "MODIFIED", named("b") | {"metadata": {}}))
        await one.server.put(named("c"))
        await one.until_names("a", "c")


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_to_a_bound_and_spread_over_half_of_it(failures: int, chance: float) -> None:
    seconds = pause(failures, chance)
    assert 0 <= seconds <= MOST_SECONDS
    assert seconds >= pause(failures, 0) / 2
    assert pause(failures + 1, 0) >= pause(failures, 0)
    assert (seconds == 0) == (failures < 2)


@contextlib.asynccontextmanager
async def fed(folder: Path, *objects: Json) -> AsyncGenerator[tuple[ApiServer, ClusterFeed]]:
    async with api_server() as server:
        for obj in objects:
            await server.put(obj)
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.port)))
        async with connect(path, "test") as client, ClusterFeed(client, "slipway") as feed:
            yield server, feed


def names(objects: Objects) -> set[str]:
    return {obj["metadata"]["name"] for source in sources("slipway") for obj in getattr(objects, source)}


@scenario
async def test_a_snapshot_has_what_a_router_reads_and_no_more(tmp_path: Path) -> None:
    foreign = named("foreign", "Deployment")
    foreign["metadata"]["labels"] = {}
    deployment = named("deployment", "Deployment", spec={"replicas": 2, "template": {"spec": {}}})
    router, other = named("router", "EndpointSlice", "slipway"), named("other", "EndpointSlice")
    ready = [{"type": "Ready", "status": "True"}]
    status = {"conditions": ready, "containerStatuses": [{"restartCount": 2, "image": "model"}]}
    router["metadata"]["labels"] = other["metadata"]["labels"] = dict([OWN_SERVICE])
    objects = [
        foreign,
        deployment,
        router,
        other,
        named("slice", "EndpointSlice"),
        named("secret", "Secret", "slipway"),
        named("elsewhere", "Secret", "models"),
        named("pod", status=status),
        named("autoscaler", "HorizontalPodAutoscaler"),
    ]
    async with fed(tmp_path, *objects) as (_, feed):
        found = await feed.next()
        assert names(found) == {"deployment", "slice", "secret", "pod", "autoscaler", "router"}
        assert found.deployments[0]["spec"] == {"replicas": 2}
        assert "spec" not in found.pods[0]
        assert found.pods[0]["status"] == {"conditions": ready, "containerStatuses": [{"restartCount": 2}]}


@scenario
async def test_many_changes_become_one_snapshot(tmp_path: Path) -> None:
    async with fed(tmp_path) as (server, feed):
        assert names(await feed.next()) == set()
        for number in range(200):
            await server.put(named(f"p{number}"))
        snapshots, found = 0, Objects()
        while len(found.pods) < 200:
            found = await feed.next()
            snapshots += 1
        assert snapshots < 40


@scenario
async def test_without_autoscalers_or_the_right_to_see_them_a_router_is_fed(tmp_path: Path) -> None:
    async with fed(tmp_path, named("pod")) as (server, feed):
        server.refused["list", "horizontalpodautoscalers"] = 403
        assert names(await feed.next()) == {"pod"}
        assert feed.behind is None


@scenario
async def test_before_everything_was_listed_there_is_no_snapshot_but_a_reason(tmp_path: Path) -> None:
    async with fed(tmp_path) as (server, feed):
        server.refused["list", "deployments"] = 403
        first = asyncio.create_task(feed.next())
        async with asyncio.timeout(SECONDS):
            while feed.behind is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert "Deployment: deployments is forbidden" in feed.behind.error
        assert not first.done()
        server.refused.clear()
        await first
