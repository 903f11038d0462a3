"""The API server of a cluster, for the router and for the commands: plain JSON objects in and out.

lightkube reads kubeconfigs and service accounts, logs in and renews tokens; the requests are made here,
because its watches know no bookmarks. It is asynchronous: who is not calls `asyncio.run`. It decides nothing:
when to try again is for its callers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self, cast

import httpx2
import msgspec
import yaml
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.config.models import NameValue, User
from lightkube.exceptions import ConfigError

from slipway.kube.folder import Object
from slipway.kube.kubeconfig import files_of, merged
from slipway.kube.resources import RESOURCES, path_of

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
SILENCE_SECONDS = 90.0
"""After so long a silence a watch ends, since its connection may be dead. The API server sends a bookmark
within 75 s (k8s.io/apiserver, pkg/storage/cacher), unless there never was an object of the kind."""
KEPT_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPALIVE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""So a dead connection ends after a minute (tcp(7); macOS has the second name for the first)."""
PAGE = 500
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
EXEC = "client.authentication.k8s.io"


class ClusterError(Exception):
    """The API server refused, or did not answer; the text is for people."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status: 403 forbidden, 404 not found, 409 conflict, 410 too old; None: no answer."""

    @property
    def away(self) -> bool:
        """Whether the API server cannot answer now, whatever it is asked."""
        return self.status is None or self.status == HTTPStatus.TOO_MANY_REQUESTS or self.status >= 500


@dataclass(frozen=True)
class Listing:
    """The objects of a kind, and the version of the whole from which a watch goes on."""

    items: Sequence[Object]
    version: str


class Event(NamedTuple):
    """What a watch tells; of a BOOKMARK only `metadata.resourceVersion` counts."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Object

    @property
    def version(self) -> str:
        """Give the version from which another watch goes on."""
        return str(self.object["metadata"]["resourceVersion"])


def connect(kubeconfig: str | Path | None, context: str) -> Client:
    """Talk to the cluster of a context; without a path, of KUBECONFIG's files or kubectl's own.

    Raises ClusterError if there is no such file or context. Nothing is sent yet.
    """
    given, found = _read(kubeconfig)
    if context not in found.contexts:
        known = ", ".join(f"`{name}`" for name in found.contexts) or "none"
        raise ClusterError(f"no context `{context}` in {given}; there: {known}")
    try:
        return Client(cast(SingleConfig, found.get(context)))
    except (ConfigError, KeyError, OSError, TypeError, ValueError) as error:
        raise ClusterError(f"{given} cannot be read: {error}") from error


def only_context(kubeconfig: str | None) -> str:
    """Name the one context of a kubeconfig, found as `connect` does. Raises ClusterError."""
    given, found = _read(kubeconfig)
    names = list(found.contexts)
    if len(names) != 1:
        listed = ", ".join(f"`{name}`" for name in names) or "none"
        raise ClusterError(f"{given} has not just one context; there: {listed}; name one with --context")
    return names[0]


def connect_with(kubeconfig: str) -> Client:
    """Talk to the cluster of the current context in a kubeconfig's text. Raises ClusterError."""
    try:
        found = KubeConfig.from_dict(yaml.safe_load(kubeconfig))  # pyright: ignore[reportUnknownMemberType]
        return Client(cast(SingleConfig, found.get(found.current_context)))
    except (ConfigError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise ClusterError(f"the kubeconfig cannot be read: {error}") from error


def in_cluster() -> Client:
    """Talk to the cluster whose pod this is, as its service account. Raises ClusterError."""
    try:
        return Client(cast(SingleConfig, KubeConfig.from_service_account().get()))
    except (ConfigError, KeyError, OSError) as error:
        raise ClusterError(f"this pod has no service account to ask the API server with: {error}") from error


def _read(kubeconfig: str | Path | None) -> tuple[str, KubeConfig]:
    """Read what a path, KUBECONFIG or kubectl's default names. Raises ClusterError."""
    given, files = files_of(kubeconfig)
    try:
        return given, KubeConfig.from_dict(merged(files))  # pyright: ignore[reportUnknownMemberType]
    except ValueError as error:
        raise ClusterError(str(error)) from error
    except (KeyError, TypeError) as error:
        raise ClusterError(f"{given} cannot be read: {error}") from error


class Client:
    """One API server as one user. Every method raises ClusterError."""

    def __init__(self, config: SingleConfig) -> None:
        timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self.server = config.cluster.server
        self._http = AsyncClient(_with_plugin(config), ConnectionParams(timeout=timeout))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Read an object (`namespace` is "" for one of the whole cluster); None if there is none."""
        try:
            return await self._ask("GET", path_of(kind, namespace, name))
        except ClusterError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        keep: Callable[[Object], Object] = dict,
    ) -> Listing:
        """List a kind, in all namespaces unless one is given; the selectors are kubectl's.

        Of each object there is what `keep` makes of it, so that all are never held in full.
        """
        params = {"limit": str(PAGE), **_selectors(labels, fields)}
        items: list[Object] = []
        while True:
            page = await self._ask("GET", path_of(kind, namespace), params=params)
            # The items of a list do not say what they are.
            head = {"apiVersion": RESOURCES[kind].api_version, "kind": kind}
            items += [keep({**head, **item}) for item in page.get("items") or ()]
            if not (more := page["metadata"].get("continue")):
                return Listing(items, str(page["metadata"]["resourceVersion"]))
            params["continue"] = more

    async def watch(
        self,
        kind: str,
        version: str,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        seconds: int = 300,
    ) -> AsyncGenerator[Event]:
        """Follow what changes after `version`; ends after some `seconds`, or a long silence.

        A bookmark comes first, as soon as the API server agreed. Another watch goes on from the last event's
        version; status 410 means that it is too old: list again.
        """
        follow = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        params = {**follow, "resourceVersion": version, **_selectors(labels, fields)}
        lasting = self._lines(path_of(kind, namespace), params, SILENCE_SECONDS, ANSWER_SECONDS)
        async with lasting as lines:
            yield Event("BOOKMARK", {"metadata": {"resourceVersion": version}})
            with contextlib.suppress(httpx2.ReadTimeout):
                async for line in lines:
                    event = read_json(line)
                    if event["type"] == "ERROR":
                        raise _refusal(event["object"], None)
                    yield Event(event["type"], event["object"])

    async def bearer(self) -> str | None:
        """Give the token that this user logs in with now; None for one with a certificate or a password."""
        response = await self._request("GET", "/version")
        scheme, _, token = response.request.headers.get("authorization", "").partition(" ")
        return token if scheme == "Bearer" else None

    async def create(self, obj: Object) -> Object:
        """Make an object and return it as stored."""
        with_group = f"{obj['kind']}.{obj['apiVersion'].partition('/')[0]}"
        kind = with_group if with_group in RESOURCES else obj["kind"]
        return await self._ask("POST", path_of(kind, obj["metadata"].get("namespace", "")), obj)

    async def replace(self, obj: Object) -> Object:
        """Store an object instead of the one of its version, and return it as stored."""
        metadata = obj["metadata"]
        path = path_of(obj["kind"], metadata.get("namespace", ""), metadata["name"])
        return await self._ask("PUT", path, obj)

    async def patch(
        self,
        kind: str,
        namespace: str,
        name: str,
        change: Mapping[str, object],
        subresource: str = "",
        *,
        by_name: bool = False,
    ) -> Object:
        """Merge a change into an object, or into its subresource, and return that.

        A list is replaced (RFC 7386), or `by_name` merged item by item, as Kubernetes does it for containers.
        """
        path = path_of(kind, namespace, name, subresource)
        content_type = STRATEGIC_MERGE_PATCH if by_name else MERGE_PATCH
        return await self._ask("PATCH", path, change, content_type=content_type)

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: int | None = None,
    ) -> AsyncGenerator[str]:
        """Read a container's lines; `follow` goes on until it ends, `previous` is of the one before."""
        params = {"follow": str(follow).lower(), "previous": str(previous).lower()}
        params |= {"container": container} if container is not None else {}
        params |= {"tailLines": str(tail)} if tail is not None else {}
        silence = None if follow else ANSWER_SECONDS
        async with self._lines(path_of("Pod", namespace, pod, "log"), params, silence) as lines:
            async for line in lines:
                yield line.decode(errors="replace")

    async def proxy(self, namespace: str, pod: str, port: int, path: str) -> str:
        """Ask a pod over HTTP, through the API server."""
        answer = await self._request("GET", f"{path_of('Pod', namespace, f'{pod}:{port}', 'proxy')}/{path}")
        return answer.content.decode(errors="replace")

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        content = None if body is None else json.dumps(body).encode()
        headers = None if body is None else {"content-type": content_type}
        answer = await self._request(method, path, params=params, content=content, headers=headers)
        return read_json(answer.content)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        try:
            response = await self._http.request(method, path, params=params, content=content, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ConfigError) as error:
            raise self._away(error) from error
        if response.is_error:
            raise _refusal(response.content, response.status_code)
        return response

    @contextlib.asynccontextmanager
    async def _lines(
        self, path: str, params: Mapping[str, str], silence: float | None, begins: float | None = None
    ) -> AsyncGenerator[AsyncGenerator[bytes]]:
        """Open what `begins` within some seconds and then goes on, with silences of at most so many."""
        timeout = httpx2.Timeout(CONNECT_SECONDS, read=silence)
        try:
            async with contextlib.AsyncExitStack() as ends:
                async with asyncio.timeout(begins):
                    answer = self._http.stream("GET", path, params=params, timeout=timeout)
                    response = await ends.enter_async_context(answer)
                if response.is_error:
                    raise _refusal(await response.aread(), response.status_code)
                _keep_alive(response)
                yield _split(response)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ConfigError) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> ClusterError:
        return ClusterError(f"{self.server} does not answer: {str(error) or type(error).__name__}")


def _keep_alive(response: httpx2.Response) -> None:
    """Let the system end a connection whose other side has gone, however silent it may be."""
    connection: socket.socket | None = response.extensions["network_stream"].get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEPT_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def _split(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """Give the lines. A newline alone ends one: the library's own takes other characters for ends, too."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


def _selectors(labels: str, fields: str) -> dict[str, str]:
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in given.items() if value}


def read_json(text: str | bytes) -> Object:
    """Read an answer of the API server. Raises ClusterError."""
    try:
        return cast(Object, json.loads(text))
    except ValueError as error:
        raise ClusterError(f"the API server's answer is no JSON: {text[:80]!r}") from error


def _refusal(answer: bytes | Object, status: int | None) -> ClusterError:
    """Read a `Status`; what stands between us and the API server answers in its own words."""
    if isinstance(answer, bytes):
        try:
            read: object = json.loads(answer)
        except ValueError:
            read = None
        if not isinstance(read, dict):
            return ClusterError(f"HTTP {status}: {answer[:200].decode(errors='replace')}", status)
        answer = cast(Object, read)
    return ClusterError(str(answer.get("message") or f"HTTP {status}"), answer.get("code") or status)


def _with_plugin(config: SingleConfig) -> SingleConfig:
    """Let a login plugin of the API `v1` run: for tokens it is `v1beta1`, all that lightkube knows."""
    plugin = config.user.exec if config.user is not None else None
    if config.user is None or plugin is None or plugin.apiVersion != f"{EXEC}/v1":
        return config if config.user is not None else config._replace(user=User())
    asked = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    env = [*(plugin.env or ()), NameValue("KUBERNETES_EXEC_INFO", json.dumps(asked))]
    plugin = msgspec.structs.replace(plugin, apiVersion=f"{EXEC}/v1beta1", env=env)
    return config._replace(user=msgspec.structs.replace(config.user, exec=plugin))
