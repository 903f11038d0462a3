"""Kubernetes objects in, State out: the one parser, whatever feed the objects come from. Pure.

A service is a Deployment with the label `slipway/webservice` and the annotation `slipway/serving`, which
says too whether it is a version of another; its replicas are the ready endpoints of slices with that label
in its namespace; its keys are the Secret `<service>-keys` in the router's namespace. Whoever can write one of
these objects can break the service it belongs to, and no other: what cannot be read becomes a line in
`State.errors` or `State.ignored`.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from slipway.kube.folder import Object
from slipway.kube.read import named
from slipway.problems import explain, shown
from slipway.router import endpoints, token_keys
from slipway.router.feed import Objects
from slipway.router.ownership import router_pods
from slipway.router.state import (
    SERVICE_NAME,
    Auth,
    Ignored,
    Limits,
    Replica,
    Routers,
    Service,
    State,
    hashed,
)
from slipway.spec import SERVING, TOKEN_KEYS_SECRET, WEBSERVICE, Served, Serving, is_key

FOREVER = datetime.max.replace(tzinfo=UTC)


class _Metadata(BaseModel):
    name: str
    namespace: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] | None = None
    created: AwareDatetime = Field(FOREVER, alias="creationTimestamp")

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Named(BaseModel):
    metadata: _Metadata


class _Secret(BaseModel):
    data: dict[str, str] | None = None


def discover(objects: Objects, pod: str = "") -> State:
    """Read all that web services and other routers are made of; never raises.

    Without its own `pod`'s name a router is alone.
    """
    errors: dict[str, list[str]] = defaultdict(list)
    ignored: list[Ignored] = []
    services: dict[str, Service] = {}
    slices, secrets = _by_service(objects.slices), _by_service(objects.secrets)
    pods = _by_service(objects.pods)
    owners = _owners(objects.deployments, errors, ignored)
    for name, deployment in owners.items():
        serving = _serving(name, deployment, errors[name])
        if serving is not None:
            endpoint = serving.version.endpoint if serving.version is not None else name
            replicas = _replicas(slices[name], pods[name], deployment.namespace, errors[name])
            keys = _keys(endpoint, secrets[endpoint], errors[name] if serving.auth_enabled else [])
            place = (deployment.namespace, deployment.name)
            services[name] = Service(name, _limits(serving), replicas, keys, place, serving, serving.version)
    for name in _unrouted(services, owners, ignored):
        services[name] = replace(services[name], routed=False)
    takes_tokens = any(one.limits.auth == "token" for one in services.values())
    public = _token_keys(objects.secrets, ignored) if takes_tokens else dict[str, str]()
    lines = {name: "; ".join(found) for name, found in errors.items() if found}
    ready = {name: one.entry("peer") for name, one in router_pods(objects.routers).ready.items()}
    routers = Routers(pod, ready) if pod else Routers()
    return State(services, lines, tuple(ignored), routers=routers, token_keys=public)


def _age(deployment: _Metadata) -> tuple[datetime, str, str]:
    """Give what the oldest has least of."""
    return deployment.created, deployment.namespace, deployment.name


def _by_service(objects: Iterable[Object]) -> Mapping[str | None, list[Object]]:
    found: dict[str | None, list[Object]] = defaultdict(list)
    for obj in objects:
        found[_webservice(obj)].append(obj)
    return found


def _owners(
    deployments: Iterable[Object], errors: dict[str, list[str]], ignored: list[Ignored]
) -> dict[str, _Metadata]:
    """Find the Deployment of each service: of two, the older."""
    found: dict[str, list[_Metadata]] = defaultdict(list)
    unreadable: dict[str, list[Ignored]] = defaultdict(list)
    for obj in deployments:
        name = _webservice(obj)
        if name is None:
            continue
        if SERVICE_NAME.fullmatch(name) is None:
            ignored.append(
                Ignored(_place(obj), f"label {WEBSERVICE} = {shown(name)} is no name of a service")
            )
            continue
        try:
            metadata = _Named.model_validate(obj).metadata
            found[name].append(metadata)
        except ValidationError as error:
            unreadable[name].append(Ignored(_place(obj), _first(error)))
    for name, lines in unreadable.items():
        if name in found:
            ignored += lines
        else:
            errors[name] += map(str, lines)
    owners: dict[str, _Metadata] = {}
    for name, candidates in found.items():
        owner, *others = sorted(candidates, key=_age)
        owners[name] = owner
        ignored += [
            Ignored(
                f"Deployment {other}",
                f"the service {name} is Deployment {owner}, which is older",
                "NameTaken",
            )
            for other in others
        ]
    return owners


def _unrouted(
    services: Mapping[str, Service], owners: Mapping[str, _Metadata], ignored: list[Ignored]
) -> list[str]:
    """Find the services whose address is another's: it is that of the oldest, with its versions beside it.

    So a web service that gets versions goes on until its Deployment is gone, and the other way round.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for name, service in services.items():
        found[service.endpoint].append(name)
    lost: list[str] = []
    for endpoint, names in found.items():
        first, *others = sorted(names, key=lambda one: _age(owners[one]))
        versions = services[first].version is not None
        for name in others:
            beside = services[name].version is not None and owners[name].namespace == owners[first].namespace
            if not (versions and beside):
                why = f"requests for {endpoint} go to Deployment {owners[first]}, which is older"
                ignored.append(Ignored(f"Deployment {owners[name]}", why, "NameTaken"))
                lost.append(name)
    return lost


def _serving(name: str, deployment: _Metadata, errors: list[str]) -> Served | None:
    annotation = (deployment.annotations or {}).get(SERVING)
    if annotation is None:
        errors.append(f"Deployment {deployment} has no annotation {SERVING}")
        return None
    try:
        serving = _served(annotation)
    except ValidationError as error:
        lines = explain(error, Served, lambda place: ".".join(map(str, place)) or SERVING)
        errors.append(f"Deployment {deployment}, annotation {SERVING}: {'; '.join(lines)}")
        return None
    if serving.version is not None and serving.version.service != name:
        errors.append(f"Deployment {deployment}, annotation {SERVING}: it is of {serving.version.service}")
        return None
    return serving


@lru_cache(maxsize=2**12)
def _served(annotation: str) -> Served:
    """Read an annotation once; the same one comes with each change of anything."""
    return Served.model_validate_json(annotation)


def _limits(serving: Serving) -> Limits:
    return Limits(
        concurrency=serving.replica_max_concurrent_requests,
        wait_ms=serving.max_request_wait_time,
        timeout_ms=serving.scoring_timeout_ms,
        auth=_auth(serving),
    )


def _auth(serving: Serving) -> Auth:
    """Give what a request must bring."""
    return "key" if serving.auth_enabled else "token" if serving.token_auth_enabled else "none"


def _replicas(
    slices: Iterable[Object], pods: Iterable[Object], namespace: str, errors: list[str]
) -> frozenset[Replica]:
    replicas: set[Replica] = set()
    named = {_text(pod, "metadata", "name") or "": pod for pod in pods if _namespace(pod) == namespace}
    for obj in slices:
        if _namespace(obj) != namespace:
            continue
        try:
            replicas.update(endpoints.replicas(obj, named))
        except ValidationError as error:
            errors.append(f"{_place(obj)}: {_first(error)}")
        except ValueError as error:
            errors.append(f"{_place(obj)}: {error}")
    return frozenset(replicas)


def _keys(name: str, secrets: Iterable[Object], errors: list[str]) -> frozenset[str]:
    place = f"Secret {name}-keys"
    for obj in secrets:
        if _text(obj, "metadata", "name") != f"{name}-keys":
            continue
        try:
            data = _Secret.model_validate(obj).data or {}
        except ValidationError:  # its text may quote a key
            errors.append(f"{place} cannot be read: its data must map names to base64 texts")
            return frozenset()
        keys = {slot: _decoded(data.get(slot)) for slot in ("primary", "secondary")}
        errors += [f"{place} has no usable {slot} key" for slot, key in keys.items() if not key]
        return frozenset(hashed(key) for key in keys.values() if key)
    errors.append(f"{place} is missing: nobody can call the service")
    return frozenset()


def _token_keys(secrets: Iterable[Object], ignored: list[Ignored]) -> Mapping[str, str]:
    try:
        return {key.kid: key.public for key in token_keys.read(named(secrets, TOKEN_KEYS_SECRET))}
    except ValueError as error:
        ignored.append(Ignored(f"Secret {TOKEN_KEYS_SECRET}", f"{error}: no token is given or taken"))
        return {}


def _decoded(value: str | None) -> str | None:
    """Decode a key, where it is one."""
    try:
        key = base64.b64decode(value or "", validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return key if is_key(key) else None


def _namespace(obj: Object) -> str | None:
    return _text(obj, "metadata", "namespace")


def _webservice(obj: Object) -> str | None:
    return _text(obj, "metadata", "labels", WEBSERVICE)


def _text(obj: object, *path: str) -> str | None:
    for step in path:
        obj = obj.get(step) if isinstance(obj, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of plain JSON
    return obj if isinstance(obj, str) else None


def _place(obj: Object) -> str:
    metadata = (_text(obj, "metadata", "namespace"), _text(obj, "metadata", "name"))
    return f"{_text(obj, 'kind')} {'/'.join(part or '?' for part in metadata)}"


def _first(error: ValidationError) -> str:
    details = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, details['loc']))} = {shown(details['input'])}: {details['msg']}"
