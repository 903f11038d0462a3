"""What the router and the web services may not be: two, public, in plain text, or open to anyone unsaid."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from policies.egress import behind_firewall
from policies.graph import PLATFORM, Resource, Stack, at, known, many
from policies.rule import resource_rule, stack_rule
from policies.workloads import DEPLOYMENT, template
from slipway.problems import problem
from slipway.spec import ROUTER, SERVING, WEBSERVICE, Served

SERVICE = "kubernetes:core:Service"
COMPONENT = "app.kubernetes.io/component"
INTERNAL = "service.beta.kubernetes.io/azure-load-balancer-internal"


@resource_rule(
    "settings-known",
    "What the stack file says is known: the other rules compare the graph with it.",
    PLATFORM,
)
def settings_known(_: Resource, stack: Stack) -> Iterator[str]:
    yield from stack.unreadable


@stack_rule(
    "one-router",
    "A cluster has one router: two would each count only half of a replica's requests.",
    DEPLOYMENT,
)
def one_router(deployment: Resource, stack: Stack) -> Iterator[str]:
    if not _is_router(deployment):
        return
    first = min(found.urn for found in stack.of(DEPLOYMENT) if _is_router(found))
    if deployment.urn != first:
        yield f"is a router, and so is {first}; remove one"


@resource_rule(
    "router-internal",
    "Behind a firewall no load balancer is public: answers would leave another way than requests came.",
    SERVICE,
)
def router_internal(service: Resource, stack: Stack) -> Iterator[str]:
    asked = stack.settings is not None and stack.settings.internal and _is_router(service)
    if at(service.inputs, "spec", "type") != "LoadBalancer" or not (asked or behind_firewall(stack)):
        return
    given = at(service.inputs, "metadata", "annotations", INTERNAL)
    if given != "true":
        field = f"metadata.annotations.{INTERNAL}"
        yield problem(field, given, "the load balancer is public", 'set it to "true", or router.internal')


@resource_rule(
    "router-tls",
    "In production the router takes TLS: keys and rows of clients are readable on the way without it.",
    SERVICE,
    DEPLOYMENT,
)
def router_tls(resource: Resource, stack: Stack) -> Iterator[str]:
    if stack.azure is None or not stack.production or not _is_router(resource):
        return
    remedy = "set router.tls with domains and a certificate"
    if resource.type == SERVICE:
        if at(resource.inputs, "spec", "clusterIP") == "None":
            return  # the routers' own, through which nobody calls
        ports = [at(port, "port") for port in many(resource.inputs, "spec", "ports")]
        if 443 not in ports:
            yield problem("spec.ports", [f"{port:g}" for port in ports], "443 is not among them", remedy)
        return
    spec = at(template(resource), "spec")
    names = [at(port, "name") for one in many(spec, "containers") for port in many(one, "ports")]
    if "https" not in names:
        yield f"containers: none has a port `https`; {remedy}"


@resource_rule(
    "authentication-said",
    "A web service without keys or tokens is in `unauthenticated` with a reason: never by oversight.",
    DEPLOYMENT,
)
def authentication_said(deployment: Resource, stack: Stack) -> Iterator[str]:
    name = at(deployment.inputs, "metadata", "labels", WEBSERVICE)
    text = at(deployment.inputs, "metadata", "annotations", SERVING)
    if name is None and text is None:
        return
    field = f"metadata.annotations.{SERVING}"
    try:
        serving = Served.model_validate_json(str(text))
    except ValidationError:
        yield problem(field, text, "cannot be read", "make the web service with the `Webservice` component")
        return
    said = stack.settings.unauthenticated if stack.settings is not None else {}
    called = serving.version.endpoint if serving.version is not None else str(name)
    if not (serving.auth_enabled or serving.token_auth_enabled or said.get(called)):
        yield (
            f"{field}: auth_enabled and token_auth_enabled are false, so anyone may call `{called}`; "
            f"turn one on, or give the reason in slipway:unauthenticated.{called}"
        )


def _is_router(resource: Resource) -> bool:
    return known(resource.inputs, "metadata", "labels", COMPONENT) == ROUTER
