"""A small API server over real HTTP: what lists, watches, patches and refusals look like to a client.

Its versions, selectors, pages and watch events are Kubernetes'; validation, defaults and subresources other
than `scale` are left out. Tests cut it off, let it forget, and let it refuse.
"""

import asyncio
import contextlib
import copy
import json
import socket
from collections.abc import AsyncGenerator
from typing import Any, cast
from urllib.parse import parse_qs

import uvicorn

from slipway.kube.resources import RESOURCES

Json = dict[str, Any]
REVIEWS = ("TokenReview", "SubjectAccessReview")
KINDS = {resource.plural: kind.partition(".")[0] for kind, resource in RESOURCES.items()}


class ApiServer:
    """Objects by kind, namespace and name, and what happened to them since `oldest`."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.objects: dict[tuple[str, str, str], Json] = {}
        self.happened: list[tuple[int, str, Json]] = []
        self.version = self.oldest = 100
        self.refused: dict[tuple[str, str], int] = {}
        """By verb and plural: the status to answer with."""
        self.requests: list[tuple[str, str]] = []
        """Verb and plural of each request."""
        self.sent: list[Json] = []
        """Bodies of creates, updates and patches."""
        self.tokens: list[str] = []
        """What came in `Authorization`."""
        self.logins: dict[str, str] = {}
        """Whose each token is; they all may everything."""
        self.page = 500
        self.answers = asyncio.Event()
        """Requests wait for it."""
        self.answers.set()
        self._changed = asyncio.Condition()
        self._cut = 0
        self._serving: tuple[uvicorn.Server, asyncio.Task[None]] | None = None

    async def start(self) -> None:
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",
            log_level="critical",
            ws="none",
            timeout_graceful_shutdown=0,
        )
        server = uvicorn.Server(config)
        listening = (
            self.socket if self.socket.fileno() >= 0 else socket.create_server(("127.0.0.1", self.port))
        )
        self.socket = listening
        self._serving = (server, asyncio.create_task(server._serve([listening])))  # pyright: ignore[reportPrivateUsage] - `serve` takes the signals of the process
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Go away: nobody listens, open watches end."""
        if self._serving is not None:
            server, task = self._serving
            server.should_exit = server.force_exit = True
            self.answers.set()
            await self.cut()
            await task
            self.socket.close()
            self._serving = None

    async def put(self, obj: Json) -> None:
        """Create or replace an object."""
        async with self._changed:
            self._store(obj)
            self._changed.notify_all()

    def _store(self, obj: Json) -> Json:
        stored = copy.deepcopy(obj)
        metadata = stored["metadata"]
        key = (obj["kind"], metadata.get("namespace", ""), metadata["name"])
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        self.happened.append((self.version, "MODIFIED" if key in self.objects else "ADDED", stored))
        self.objects[key] = stored
        return stored

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        async with self._changed:
            gone = copy.deepcopy(self.objects.pop((kind, namespace, name)))
            self.version += 1
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.happened.append((self.version, "DELETED", gone))
            self._changed.notify_all()

    async def bookmark(self) -> None:
        """Tell every watch the version of now."""
        async with self._changed:
            self.version += 1
            self.happened.append((self.version, "BOOKMARK", {}))
            self._changed.notify_all()

    async def forget(self) -> None:
        """Let every version before now be too old, as a compaction does, and end all watches."""
        self.version += 1
        self.oldest = self.version
        self.happened.clear()
        await self.cut()

    async def cut(self) -> None:
        """Break the connection of every open watch."""
        async with self._changed:
            self._cut += 1
            self._changed.notify_all()

    async def _app(self, scope: Json, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.tokens += [value.decode() for name, value in scope["headers"] if name == b"authorization"]
        parts = scope["path"].strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if parts[0] == "namespaces":
            namespace, parts = parts[1], parts[2:]
        plural, name = parts[0], parts[1] if len(parts) > 1 else ""
        query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
        await self.answers.wait()
        verb = _verb(scope["method"], name, query)
        action = "/".join([plural, *parts[2:]])
        self.requests.append((verb, action))
        kind = KINDS[plural]
        if (status := self.refused.get((verb, action))) is not None:
            await _answer(send, status, _status(status, f"{plural} is forbidden: cannot {verb}"))
        elif parts[2:] == ["log"]:
            await _answer(send, 200, f"{json.dumps(query)}\nsecond\x85line\n".encode())
        elif verb == "list":
            await self._list(send, kind, namespace, query)
        elif verb == "watch":
            await self._watch(send, kind, namespace, query)
        elif kind in REVIEWS:
            obj = json.loads(body)
            await _answer(send, 201, {**obj, "status": self._reviewed(kind, obj["spec"])})
        elif verb == "create":
            await self._create(send, kind, json.loads(body))
        elif (found := self.objects.get((kind, namespace, name))) is None:
            await _answer(send, 404, _status(404, f'{plural} "{name}" not found'))
        elif verb == "update":
            await self._replace(send, found, json.loads(body))
        elif verb == "patch":
            self.sent.append(json.loads(body))
            async with self._changed:
                stored = self._store(_merged(found, json.loads(body)))
                self._changed.notify_all()
            await _answer(send, 200, stored)
        else:
            await _answer(send, 200, found)

    def _reviewed(self, kind: str, spec: Json) -> Json:
        if kind == "SubjectAccessReview":
            return {"allowed": True}
        name = self.logins.get(spec["token"])
        return {"authenticated": name is not None, "user": {"username": name}}

    async def _create(self, send: Any, kind: str, obj: Json) -> None:
        metadata = obj["metadata"]
        if (kind, metadata.get("namespace", ""), metadata["name"]) in self.objects:
            await _answer(send, 409, _status(409, f'"{metadata["name"]}" already exists'))
            return
        self.sent.append(obj)
        async with self._changed:
            stored = self._store(obj)
            self._changed.notify_all()
        await _answer(send, 201, stored)

    async def _replace(self, send: Any, found: Json, obj: Json) -> None:
        if found["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            await _answer(send, 409, _status(409, "the object has been modified"))
            return
        self.sent.append(obj)
        async with self._changed:
            stored = self._store(obj)
            self._changed.notify_all()
        await _answer(send, 200, stored)

    def _matching(self, kind: str, namespace: str, query: Json) -> list[Json]:
        return [
            obj
            for (of, within, _), obj in sorted(self.objects.items())
            if of == kind and namespace in ("", within) and _selected(obj, query)
        ]

    async def _list(self, send: Any, kind: str, namespace: str, query: Json) -> None:
        found = [
            {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
            for obj in self._matching(kind, namespace, query)
        ]
        start = int(query.get("continue", 0))
        end = start + min(self.page, int(query["limit"]))
        metadata: Json = {"resourceVersion": str(self.version)}
        if end < len(found):
            metadata["continue"] = str(end)
        await _answer(send, 200, {"kind": f"{kind}List", "metadata": metadata, "items": found[start:end]})

    async def _watch(self, send: Any, kind: str, namespace: str, query: Json) -> None:
        seen = int(query["resourceVersion"])
        cut = self._cut
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if seen < self.oldest:
            line = {"type": "ERROR", "object": _status(410, f"too old resource version: {seen}")}
            await send({"type": "http.response.body", "body": json.dumps(line).encode() + b"\n"})
            return
        while True:
            async with self._changed:
                while not (news := [one for one in self.happened if one[0] > seen]) and self._cut == cut:
                    await self._changed.wait()
            if self._cut != cut:
                return  # in the middle of the body, which breaks the connection
            for version, what, obj in news:
                seen = version
                mine = obj.get("kind") == kind and namespace in ("", obj["metadata"].get("namespace", ""))
                if what == "BOOKMARK" or (mine and _selected(obj, query)):
                    shown = {"metadata": {"resourceVersion": str(version)}} if what == "BOOKMARK" else obj
                    line = json.dumps({"type": what, "object": shown}, ensure_ascii=False).encode() + b"\n"
                    await send({"type": "http.response.body", "body": line, "more_body": True})


def _verb(method: str, name: str, query: Json) -> str:
    if method == "GET":
        return "get" if name else "watch" if "watch" in query else "list"
    return {"POST": "create", "PATCH": "patch", "PUT": "update"}[method]


def _selected(obj: Json, query: Json) -> bool:
    labels: Json = obj["metadata"].get("labels") or {}
    key, _, value = query.get("labelSelector", "").partition("=")
    return not key or (key in labels and value in ("", labels[key]))


def _merged(old: Any, change: Any) -> Any:
    """Do what RFC 7386 says."""
    if not isinstance(change, dict):
        return change
    merged: Json = {**old} if isinstance(old, dict) else {}
    for key, value in cast("Json", change).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _status(code: int, message: str) -> Json:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}


async def _answer(send: Any, status: int, value: Json | bytes) -> None:
    body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def api_server() -> AsyncGenerator[ApiServer]:
    server = ApiServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
        server.socket.close()


def kubeconfig(port: int, user: Json | None = None) -> Json:
    """Give a kubeconfig with the context `test`."""
    return {
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": user or {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
    }
