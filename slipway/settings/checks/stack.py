"""The stack as a whole, and its web services one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slipway import hosts
from slipway.problems import lines_of
from slipway.settings import capacity
from slipway.settings.derived import storage_namespaces
from slipway.spec import EgressHost, WebserviceSpec

if TYPE_CHECKING:
    from slipway.settings.stack import Settings

FEDERATED_CREDENTIALS = 20
"""The most that an identity takes (Microsoft Learn, "federated identity credentials", considerations)."""


def _stands(settings: Settings) -> Iterator[str]:
    if (settings.kubernetes is None) == (settings.azure is None):
        which = "one of the two" if settings.azure is None else "only one of the two"
        yield f"kubernetes and azure: a stack stands on one of them; give {which}"


def _layer(settings: Settings) -> Iterator[str]:
    if settings.layer != "all" and settings.azure is None and settings.kubernetes is not None:
        yield f"layer = {settings.layer} without azure: there is no platform to split off; remove layer"


def _platform_stack(settings: Settings) -> Iterator[str]:
    if settings.layer == "services" and settings.platform_stack is None:
        yield "layer = services without platform_stack: it stands on the platform of one; give platform_stack"
    if settings.layer != "services" and settings.platform_stack is not None:
        yield (
            f"platform_stack = {settings.platform_stack} with layer = {settings.layer}: only layer services "
            "stands on another stack; remove platform_stack"
        )


def _images(settings: Settings) -> Iterator[str]:
    if settings.azure is not None and settings.images.registry is not None:
        yield (
            f"images.registry = {settings.images.registry} with azure: images go into the workspace's own; "
            "remove it, or adopt it by azure.workspace.registry.id"
        )


def _names(settings: Settings) -> Iterator[str]:
    """Refuse a version that would have the name of a web service: both are Deployments."""
    names = {spec.name for spec in settings.webservices}
    taken = [spec for spec in settings.services if spec.endpoint != spec.name]
    for spec in taken:
        if spec.name in names or [one.name for one in taken].count(spec.name) > 1:
            yield f"{spec.at}: its Deployment {spec.name} is that of another too; rename one of them"


def _webservices(settings: Settings) -> Iterator[str]:
    for spec in settings.webservices:
        yield from lines_of(_auth, settings, spec)
    for spec in settings.services:
        yield from lines_of(_load, spec)
        yield from lines_of(_telemetry, settings, spec)
        for host in spec.egress:
            yield from lines_of(_egress, spec, host)


def _auth(settings: Settings, spec: WebserviceSpec) -> Iterator[str]:
    said = spec.auth_enabled or spec.token_auth_enabled or spec.name in settings.unauthenticated
    if settings.azure is not None and not said:
        yield (
            f"webservices[{spec.name}].auth_enabled = false: anyone may call it; say why in "
            f"`slipway:unauthenticated: {{{spec.name}: ...}}`, or remove it"
        )


def _load(spec: WebserviceSpec) -> Iterator[str]:
    needed, most = capacity.wanted(spec), spec.num_replicas or spec.autoscale_max_replicas
    if needed > most:
        field = "num_replicas" if spec.num_replicas else "autoscale_max_replicas"
        yield (f"{spec.at}.{field} = {most}: the expected load needs {needed} replicas; raise it to {needed}")


def _telemetry(settings: Settings, spec: WebserviceSpec) -> Iterator[str]:
    if settings.azure is None and spec.exports_to_workspace():
        yield (
            f"{spec.at}.enable_app_insights = true without azure: there is no workspace to "
            "export to; name a collector in environment.environment_variables.OTEL_EXPORTER_OTLP_ENDPOINT"
        )


def _egress(spec: WebserviceSpec, host: EgressHost) -> Iterator[str]:
    for line in hosts.mistakes(host.host, host.port, host.protocol, host.reason):
        yield f"{spec.at}.egress.{line}"


def _unauthenticated(settings: Settings) -> Iterator[str]:
    open_ = {spec.name for spec in settings.webservices if not spec.auth_enabled}
    for name in sorted(settings.unauthenticated.keys() - open_):
        yield f"unauthenticated.{name}: no web service of this name has auth_enabled: false; remove it"


def _storage_namespaces(settings: Settings) -> Iterator[str]:
    names = storage_namespaces(settings)
    if settings.azure is not None and len(names) > FEDERATED_CREDENTIALS:
        yield (
            f"webservices: {len(names)} namespaces use the storage, and the identity as which they do is "
            f"trusted in {FEDERATED_CREDENTIALS} at most; put the web services into fewer namespaces"
        )


RULES = (
    _stands,
    _layer,
    _platform_stack,
    _images,
    _names,
    _webservices,
    _unauthenticated,
    _storage_namespaces,
)
