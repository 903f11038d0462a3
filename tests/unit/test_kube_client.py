"""Plain objects from an API server: lists in pages, watches line by line, logins, and what went wrong."""

import asyncio
import contextlib
import functools
import json
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx2
import pytest

from slipway.kube.client import Client, ClusterError, connect, only_context
from slipway.kube.kubeconfig import merged
from tests.unit.api_server import ApiServer, api_server, kubeconfig

Json = dict[str, Any]


def scenario(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


def pod(name: str, namespace: str = "models", **metadata: Any) -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, **metadata}}


@contextlib.asynccontextmanager
async def client(folder: Path, user: Json | None = None) -> AsyncGenerator[tuple[ApiServer, Client]]:
    async with api_server() as server:
        path = folder / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(server.port, user)))
        async with connect(path, "test") as made:
            yield server, made


@scenario
async def test_when_a_list_has_pages_then_all_are_read_and_items_say_what_they_are(
    tmp_path: Path,
) -> None:
    async with client(tmp_path) as (server, api):
        server.page = 2
        for number in range(5):
            await server.put(pod(f"p{number}", labels={"app": "a" if number else "b"}))
        listing = await api.list("Pod", labels="app=a")
        assert [one["metadata"]["name"] for one in listing.items] == ["p1", "p2", "p3", "p4"]
        assert {(one["kind"], one["apiVersion"]) for one in listing.items} == {("Pod", "v1")}
        assert listing.version == "105"
        assert (await api.list("Pod", "elsewhere")).items == []


@scenario
async def test_when_something_changes_then_a_watch_tells_it_whatever_it_holds(
    tmp_path: Path,
) -> None:
    strange = "one\u2028two\x85three\x0bfour"
    async with client(tmp_path) as (server, api):
        version = (await api.list("Pod")).version
        await server.put(pod("p", annotations={"said": strange}))
        await server.delete("Pod", "models", "p")
        await server.bookmark()
        async with contextlib.aclosing(api.watch("Pod", version, "models")) as events:
            found = [await anext(events) for _ in range(4)]
    assert [event.type for event in found] == ["BOOKMARK", "ADDED", "DELETED", "BOOKMARK"]
    assert found[0].version == version
    assert found[1].object["metadata"]["annotations"]["said"] == strange
    assert found[3].version == "103"


@scenario
async def test_when_a_version_is_too_old_then_the_watch_says_410(tmp_path: Path) -> None:
    async with client(tmp_path) as (server, api):
        await server.forget()
        with pytest.raises(ClusterError, match="too old resource version: 100") as caught:
            assert [event async for event in api.watch("Pod", "100")] == []
        assert caught.value.status == 410


@scenario
async def test_when_an_object_is_made_and_patched_then_it_comes_back_as_stored(tmp_path: Path) -> None:
    async with client(tmp_path) as (server, api):
        assert (await api.create(pod("p")))["metadata"]["resourceVersion"] == "101"
        changed = await api.patch("Pod", "models", "p", {"metadata": {"labels": {"app": "a"}}})
        assert changed["metadata"]["labels"] == {"app": "a"}
        assert await api.get("Pod", "models", "p") == changed
        assert await api.get("Pod", "models", "q") is None
        assert server.requests[-1] == ("get", "pods")


@scenario
async def test_when_the_server_refuses_then_its_own_words_are_told(tmp_path: Path) -> None:
    async with client(tmp_path) as (server, api):
        server.refused[("list", "pods")] = 403
        with pytest.raises(ClusterError, match="pods is forbidden: cannot list") as caught:
            await api.list("Pod")
        assert caught.value.status == 403


@scenario
async def test_when_something_between_refuses_in_its_own_words_then_these_are_told(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\nconnection: close\r\n\r\n"away"')
        writer.close()

    path = tmp_path / "kubeconfig"
    async with await asyncio.start_server(refuse, "127.0.0.1") as proxy:
        path.write_text(json.dumps(kubeconfig(proxy.sockets[0].getsockname()[1])))
        async with connect(path, "test") as api:
            with pytest.raises(ClusterError, match='HTTP 502: "away"'):
                await api.list("Pod")


@scenario
async def test_when_nobody_listens_then_the_server_is_named(tmp_path: Path) -> None:
    async with client(tmp_path) as (server, api):
        await server.stop()
        with pytest.raises(ClusterError, match=rf"http://127.0.0.1:{server.port} does not answer") as caught:
            await api.list("Pod")
        assert caught.value.status is None


@scenario
async def test_when_logs_are_read_then_a_line_ends_at_a_newline_only(tmp_path: Path) -> None:
    async with client(tmp_path) as (_, api):
        lines = [line async for line in api.logs("models", "p", "scoring", previous=True, tail=7)]
        asked = {"follow": "false", "previous": "true", "container": "scoring", "tailLines": "7"}
        assert json.loads(lines[0]) == asked
        assert len(lines) == 2


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@scenario
async def test_when_a_kubeconfig_has_a_plugin_then_its_token_is_sent(tmp_path: Path, version: str) -> None:
    script = (
        "import json, os; asked = json.loads(os.environ.get('KUBERNETES_EXEC_INFO', '{}'));"
        "print(json.dumps({'status': {'token': asked.get('apiVersion', 'none')}}))"
    )
    plugin = {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "command": sys.executable,
        "args": ["-c", script],
    }
    async with client(tmp_path, {"exec": plugin}) as (server, api):
        await api.list("Pod")
        asked = f"client.authentication.k8s.io/{version}" if version == "v1" else "none"
        assert server.tokens == [f"Bearer {asked}"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: .*No such file"),
        ("[", "cannot be read: [^\n]+$"),
        ('{"users": [{}]}', "cannot be read"),
        ("{}", "no context `other` in .*; there: none"),
        (json.dumps(kubeconfig(1)), "no context `other` in .*; there: `test`"),
    ],
)
def test_when_a_kubeconfig_is_of_no_use_then_it_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ClusterError, match=said):
        connect(path, "other")


def test_when_kubeconfig_names_several_files_then_the_context_is_looked_for_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(json.dumps({"clusters": [], "contexts": [], "users": []}))
    second.write_text(json.dumps(kubeconfig(7)))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{second}")
    assert connect(None, "test").server == "http://127.0.0.1:7"


@scenario
async def test_the_system_watches_over_the_connection_of_what_may_be_silent_for_long(tmp_path: Path) -> None:
    kept: list[int] = []

    async def look(response: httpx2.Response) -> None:
        connection = response.extensions["network_stream"].get_extra_info("socket")
        kept.append(connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    async with client(tmp_path) as (_, api):
        api._http.event_hooks = {"response": [look]}  # pyright: ignore[reportPrivateUsage] - to see its connections
        async for _line in api.logs("models", "a", follow=True):
            pass
        await api.list("Pod")  # on the same connection
    assert kept == [0, 1]


@scenario
async def test_several_files_are_merged_and_the_first_to_name_something_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "deep" / "first", tmp_path / "second"
    first.parent.mkdir()
    (first.parent / "token").write_text("of the first")
    async with api_server() as server:
        whole = kubeconfig(server.port, {"token": "of the second"})
        users = [{"name": "me", "user": {"tokenFile": "token"}}]
        first.write_text(json.dumps({"contexts": whole["contexts"], "users": users}))
        second.write_text(json.dumps(whole))
        monkeypatch.setenv("KUBECONFIG", f"{first}:{second}")
        assert only_context(None) == "test"
        async with connect(None, "test") as made:
            await made.list("Pod")
        assert server.tokens == ["Bearer of the first"]


def test_when_one_of_several_kubeconfigs_cannot_be_read_then_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(json.dumps(kubeconfig(7)))
    bad.write_text("users: [1]")
    monkeypatch.setenv("KUBECONFIG", f"{good}:{bad}")
    with pytest.raises(ClusterError, match=f"^{bad} cannot be read"):
        connect(None, "test")


def test_a_login_beside_its_kubeconfig_is_found_and_an_empty_entry_is_none(tmp_path: Path) -> None:
    path = tmp_path / "config"
    users = [
        {"name": "a", "user": {"exec": {"command": "bin/login"}}},
        {"name": "b", "user": {"exec": {"command": "login"}}},
        {"name": "c", "user": None},
    ]
    path.write_text(json.dumps({"users": users}))
    read = merged([path])["users"]
    commands = [one["user"].get("exec", {}).get("command") for one in read]
    assert commands == [str(tmp_path / "bin/login"), "login", None]


def test_when_kubeconfig_names_none_then_it_is_kubectls_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(json.dumps(kubeconfig(7)))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "")
    assert connect(None, "test").server == "http://127.0.0.1:7"


def test_a_kubeconfig_that_is_given_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "of:mine"
    path.write_text(json.dumps(kubeconfig(7)))
    assert connect(path, "test").server == "http://127.0.0.1:7"
