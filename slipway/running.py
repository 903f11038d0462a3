"""What the objects of a running stack say to the commands: its web services, their addresses and keys.

Reads the folder of objects; asks the router only how it sees its replicas.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

from slipway.kube.folder import Object
from slipway.kube.read import part, port_of, replicas
from slipway.local.container import ADDRESS
from slipway.local.state import LocalError, State
from slipway.spec import SERVING, WEBSERVICE, Serving

COMPONENT = "app.kubernetes.io/component"


def scaled(wanted: Object, state: State) -> Object:
    """Leave out the replicas of a Deployment that the router scales; out of its bounds, the nearest ones."""
    metadata = wanted["metadata"]
    if wanted["kind"] != "Deployment" or SERVING not in metadata.get("annotations", {}):
        return wanted
    serving = Serving.model_validate_json(metadata["annotations"][SERVING])
    current = state.objects.get("Deployment", metadata["namespace"], metadata["name"])
    if current is None or not serving.autoscale_enabled:
        return wanted
    runs = replicas(current["spec"])
    bounded = min(max(runs, serving.autoscale_min_replicas), serving.autoscale_max_replicas)
    others = {name: value for name, value in wanted["spec"].items() if name != "replicas"}
    return {**wanted, "spec": others if bounded == runs else {**others, "replicas": bounded}}


def is_router(obj: Object) -> bool:
    """Tell whether a Deployment or Pod is the router's."""
    return part(obj, "metadata", "labels").get(COMPONENT) == "router"


def services(state: State) -> dict[str, Object]:
    """Give the web services' Deployments by name."""
    found = (obj for obj in state.objects.list("Deployment") if not is_router(obj))
    return {obj["metadata"]["name"]: obj for obj in found}


def webservice(state: State, name: str) -> Object:
    """Find a web service's Deployment. Raises LocalError that names those there are."""
    known = services(state)
    if name not in known:
        listed = ", ".join(f"`{service}`" for service in known) or "none yet"
        raise LocalError(f"no web service `{name}`", f"web services here: {listed}")
    return known[name]


def deployment(state: State, name: str) -> Object:
    """Find a web service's Deployment, or the router's by `router`. Raises LocalError."""
    routers = filter(is_router, state.objects.list("Deployment"))
    found = next(routers, None) if name == "router" and name not in services(state) else None
    return found or webservice(state, name)


def serving(deployment: Object) -> dict[str, Any]:
    """Give what the router reads of a web service."""
    return json.loads(part(deployment, "metadata", "annotations").get(SERVING, "{}"))


def key_secret(state: State, name: str) -> Object:
    """Find the Secret that holds a web service's keys. Raises LocalError."""
    for secret in state.objects.list("Secret"):
        metadata = secret["metadata"]
        if metadata["name"] == f"{name}-keys" and part(metadata, "labels").get(WEBSERVICE) == name:
            return secret
    raise LocalError(f"web service `{name}` has no keys", "its `auth_enabled` is false")


def keys(secret: Object) -> dict[str, str]:
    """Read both keys."""
    data: dict[str, str] = secret["data"]
    return {which: base64.b64decode(data[which]).decode() for which in ("primary", "secondary")}


def url(state: State) -> str:
    """Give the router's address, or `-` where no router runs."""
    port = _router_port(state, "http")
    return f"http://{ADDRESS}:{port}" if port else "-"


def scoring_uri(state: State, name: str) -> str:
    """Give v1's address of a web service."""
    return f"{url(state)}/api/v1/service/{name}/score"


def takes_key(state: State, name: str, key: str) -> bool:
    """Ask the router whether it lets this key in; False also where no router answers."""
    request = urllib.request.Request(  # noqa: S310 - an address of ours
        f"{url(state)}/api/v1/service/{name}/swagger.json", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with _opener().open(request, timeout=1):
            return True
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code != HTTPStatus.UNAUTHORIZED
    except TimeoutError:  # it was let in, and waits for a replica
        return True
    except OSError:
        return False


def routed(state: State) -> dict[str, Any] | None:
    """Ask the router how it sees each web service; None if there is no answer."""
    try:
        return json.loads(_asked(state, "/status") or "")["services"]
    except (ValueError, KeyError):
        return None


def journal(state: State) -> str | None:
    """Ask the router for its journal of scaling; None if there is no answer."""
    return _asked(state, "/journal")


def _asked(state: State, path: str) -> str | None:
    """Fetch a page of the router's admin port."""
    port = _router_port(state, "admin")
    if port is None:
        return None
    try:
        with _opener().open(f"http://{ADDRESS}:{port}{path}", timeout=2) as answer:
            return answer.read().decode()
    except OSError:
        return None


def unroutable(state: State) -> list[str]:
    """Name the web services whose requests do not go to just the replicas that are ready. Raises LocalError.

    While a Deployment is rolled, the router may still know the replica that leaves, not the one that came.
    """
    if not any(map(is_router, state.objects.list("Deployment"))):
        return []
    seen = routed(state) or {}
    errors = [f"{name}: {one['error']}" for name, one in seen.items() if one.get("error")]
    if errors:
        raise LocalError("\n".join(errors), "slipway logs router")
    wanted = {name: replicas(obj["spec"]) for name, obj in services(state).items()}
    ready = _ready_endpoints(state)
    there = {name: set[str](one.get("serving", ())) for name, one in seen.items()}
    return [
        name
        for name, number in wanted.items()
        if there.get(name, set()) != ready.get(name, set()) or len(ready.get(name, ())) < number
    ]


def _ready_endpoints(state: State) -> dict[str, set[str]]:
    """Give the addresses with ports of each web service's ready replicas, as HAProxy names its servers."""
    found: dict[str, set[str]] = {}
    for one in state.objects.list("EndpointSlice"):
        name = part(one, "metadata", "labels").get(WEBSERVICE)
        if name is None:
            continue
        port = next((port["port"] for port in one.get("ports") or () if port.get("name") == "http"), None)
        for endpoint in one.get("endpoints") or ():
            if part(endpoint, "conditions").get("ready") is not False:
                found.setdefault(name, set()).add(f"{endpoint['addresses'][0]}:{port}")
    return found


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy leads to this machine


def _router_port(state: State, port: str) -> int | None:
    """Find a local port of the router; of its oldest pod, which keeps its own."""
    pods = sorted(
        filter(is_router, state.objects.list("Pod")),
        key=lambda pod: part(pod, "status").get("startTime", "9"),  # one just made has no status yet
    )
    return next((found for pod in pods if (found := port_of(pod, port))), None)
