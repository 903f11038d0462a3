"""What the commands ask of where a stack runs, and what its objects say. A port with two sides.

`local` answers from the local engine's folder, `cluster` from an API server.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from slipway.kube.folder import Object
from slipway.kube.read import is_router, part
from slipway.kube.rollout import Rollout, Routed
from slipway.local.container import ADDRESS
from slipway.local.state import LocalError
from slipway.spec import ROUTER, SERVING

ROUTER_DEPLOYMENT = "slipway-router"
SWAGGER_SECONDS = 1.0


@dataclass(frozen=True)
class Look:
    """All that runs at one moment, the web services by name and then the router."""

    rollouts: Sequence[Rollout]
    loads: Mapping[str, Object] = field(default_factory=dict[str, Object])
    """how the routers see each web service: serving, busy, queued, error"""
    unknown: str = ""
    """why something of it is not known"""


class Lines(NamedTuple):
    """Whole lines of one container's log."""

    source: str
    data: bytes


@dataclass(frozen=True)
class LogOptions:
    """Which part of a log."""

    tail: int
    follow: bool = False
    previous: bool = False
    """of the process before the one that runs"""


class Backend(Protocol):
    """Where a stack runs. Every method raises LocalError."""

    @property
    def place(self) -> str:
        """Name it for people."""
        ...

    def looks(self) -> AsyncGenerator[Look]:
        """Look at once, then whenever something may have changed."""
        ...

    async def deployments(self) -> list[Object]:
        """List the Deployments of the web services and of the router."""
        ...

    async def url(self) -> str | None:
        """Give the router's address; None where it has none that is reached from here."""
        ...

    def no_address(self, name: str) -> LocalError:
        """Say why there is none, and how web service `name` is called all the same."""
        ...

    async def secret(self, name: str) -> Object | None:
        """Read a Secret of the router's namespace."""
        ...

    async def write(self, secret: Object, values: Mapping[str, str]) -> Object:
        """Set values of a Secret that nobody changed since it was read."""
        ...

    async def login(self, name: str) -> str:
        """Give what tells the router who asks for a token of web service `name`."""
        ...

    async def journal(self) -> str | None:
        """Give what the routers say of their scaling; None where none answers."""
        ...

    def logs(self, deployment: Object, options: LogOptions) -> AsyncGenerator[Lines]:
        """Read what a Deployment's containers have written; a source comes without lines first."""
        ...


def sorted_deployments(found: Iterable[Object]) -> list[Object]:
    """Sort Deployments by name, the router last."""
    return sorted(found, key=lambda obj: (is_router(obj), obj["metadata"]["name"]))


def webservice(deployments: Iterable[Object], name: str) -> Object:
    """Find a web service's Deployment. Raises LocalError that names those there are."""
    known = {obj["metadata"]["name"]: obj for obj in deployments if not is_router(obj)}
    if name not in known:
        listed = ", ".join(f"`{service}`" for service in sorted(known)) or "none yet"
        raise LocalError(f"no web service `{name}`", f"web services here: {listed}")
    return known[name]


class Called(NamedTuple):
    """What a client calls."""

    endpoint: str
    version: str | None
    """pinned; None: the requests are shared, or there are no versions"""
    deployment: Object
    """of this version, or of the one that gets most of what is not said"""


def called(deployments: Sequence[Object], name: str, version: str | None = None) -> Called:
    """Find what a name means: a web service, with versions or without, or a version by its Deployment's name.

    Raises LocalError that names those there are.
    """
    found = versions(deployments, name)
    if not found:
        obj = webservice(deployments, name)
        own = version_of(obj)
        if version not in (None, own.get("name")):
            raise LocalError(f"web service `{name}` has no versions", f"slipway score {name} --data FILE")
        return Called(endpoint(obj), own.get("name"), obj)
    if version is not None and version not in found:
        listed = ", ".join(f"`{one}`" for one in sorted(found))
        raise LocalError(f"web service `{name}` has no version `{version}`", f"its versions: {listed}")
    defaults = [one for one, obj in found.items() if version_of(obj).get("is_default")]
    return Called(name, version, found[version or (defaults or sorted(found))[0]])


def versions(deployments: Iterable[Object], name: str) -> dict[str, Object]:
    """Find the Deployments of a web service's versions."""
    every = [(version_of(obj), obj) for obj in deployments if not is_router(obj)]
    return {own["name"]: obj for own, obj in every if own.get("endpoint") == name}


def version_of(deployment: Object) -> dict[str, Any]:
    """Give of which web service it is a version, and its traffic; empty if it is none."""
    return serving(deployment).get("version") or {}


def endpoint(deployment: Object) -> str:
    """Name the web service by which a Deployment is called."""
    return version_of(deployment).get("endpoint") or deployment["metadata"]["name"]


def deployment(deployments: Sequence[Object], name: str) -> Object:
    """Find a web service's Deployment, or the router's by `router`. Raises LocalError."""
    routers = [obj for obj in deployments if is_router(obj)]
    return routers[0] if name == ROUTER and routers else webservice(deployments, name)


def serving(deployment: Object) -> dict[str, Any]:
    """Give what the router reads of a web service."""
    return json.loads(part(deployment, "metadata", "annotations").get(SERVING, "{}"))


def keys(secret: Object) -> dict[str, str]:
    """Read both keys."""
    data: dict[str, str] = secret["data"]
    return {which: base64.b64decode(data[which]).decode() for which in ("primary", "secondary")}


def scoring_uri(url: str | None, name: str) -> str:
    """Give v1's address of a web service behind the router's; `-` where that has none."""
    return "-" if url is None else f"{url}/api/v1/service/{name}/score"


def token_uri(url: str, name: str) -> str:
    """Give the address where a web service's tokens come from."""
    return f"{url}/api/v1/service/{name}/token"


def loads(reports: Sequence[Object]) -> dict[str, Object]:
    """Give what all routers together say of each web service, from the `/status` of each.

    A replica is served where every router sends requests to it. What they say of themselves is
    the router's own error.
    """
    services: list[dict[str, Object]] = [report["services"] for report in reports]
    found: dict[str, Object] = {}
    for name in sorted({name for one in services for name in one}):
        of = [one.get(name, {}) for one in services]
        first, *others = [frozenset[str](one.get("serving", ())) for one in of]
        found[name] = {
            "serving": first.intersection(*others),
            "queued": sum(one.get("queued", 0) for one in of),
            "busy": sum(one.get("busy", 0) for one in of),
            "error": next((one["error"] for one in of if one.get("error")), None),
        }
    own = {line for report in reports for line in _own(report)}
    if own:
        found[ROUTER_DEPLOYMENT] = {"error": "; ".join(sorted(own))}
    return found


def _own(report: Object) -> Iterator[str]:
    """Give what a router says of itself: what it warns of, what HAProxy refuses, what it cannot hear of."""
    yield from report.get("warnings", ())
    if report.get("error"):
        yield report["error"]
    if behind := report.get("behind"):
        yield f"what it knows may be old: {behind['error']}"


def routed(found: Mapping[str, Object], name: str) -> Routed:
    """Give how the routers see one web service."""
    one = found.get(name, {})
    return Routed(one.get("serving", frozenset()), one.get("error"))


def takes_key(uri: str, key: str) -> bool:
    """Ask the router whether it lets this key in, by the scoring URI; False also where none answers."""
    request = urllib.request.Request(  # noqa: S310 - an address of ours
        f"{uri.rpartition('/')[0]}/swagger.json", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with opener(request.full_url).open(request, timeout=SWAGGER_SECONDS):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code != HTTPStatus.UNAUTHORIZED
    except TimeoutError:  # it was let in, and waits for a replica
        return True
    except OSError:
        return False


def opener(url: str) -> urllib.request.OpenerDirector:
    """Give what opens a URL: no proxy leads to this machine."""
    local = urllib.parse.urlsplit(url).hostname == ADDRESS
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))
