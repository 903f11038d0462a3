"""The policies of a project, judged over a graph as Pulumi's engine would have them judged.

A project keeps them in `policies/rules.py` as `POLICIES`, a list of pulumi_policy's own, so that the pack
beside it can hand the same list to `pulumi up --policy-pack policies`. As there, a resource policy sees
the inputs of each resource, a stack policy the outputs of all (of a component: what it registered);
numbers are floats and secrets are plain.

Two things differ. A mandatory policy that reads an unknown value fails, where Pulumi turns it into
advice. And the image of a container that waits for its build reads `digest: after build`.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Iterator, Mapping
from inspect import isawaitable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pulumi_policy
from pulumi_policy import deserialize, policy, proxy

from slipway.engine.graph import Asset, Graph, Reference, Registration, Secret, Unknown, Value
from slipway.engine.urns import qualified_type
from slipway.engine.wire import ARCHIVE, ASSET, SIGNATURE
from slipway.spec import AFTER_BUILD, IMAGE


def violations(graph: Graph, project: Path) -> Iterator[tuple[bool, str]]:
    """Give a line for each violation, and whether its policy is mandatory; else it is advice."""
    every = _load(project)
    managed = (found for found in graph.registrations if not found.external)
    for found in sorted(managed, key=lambda found: qualified_type(found.urn).count("$")):  # parents first
        properties = _checked(found.inputs, built=_waits_for_image(found))
        args = pulumi_policy.ResourceValidationArgs(
            found.type, properties, found.urn, found.name, _options(found), _provider(found, graph)
        )
        for rule in every:
            if isinstance(rule, pulumi_policy.ResourceValidationPolicy):
                yield from _judge(rule, args, {"": found.called})
    called = {found.urn: found.called for found in graph.registrations} | {"": f"stack {graph.stack}"}
    stack = pulumi_policy.StackValidationArgs(_resources(graph))
    for rule in every:
        if isinstance(rule, pulumi_policy.StackValidationPolicy):
            yield from _judge(rule, stack, called)


def _load(project: Path) -> list[pulumi_policy.Policy]:
    """Import the rules from the project's own folder, whatever else is called `policies`."""
    package = ModuleType("policies")
    package.__path__ = [str(project / "policies")]
    sys.modules["policies"] = package
    return importlib.import_module("policies.rules").POLICIES


def _judge(
    rule: pulumi_policy.ResourceValidationPolicy | pulumi_policy.StackValidationPolicy,
    args: Any,
    called: Mapping[str, str],
) -> Iterator[tuple[bool, str]]:
    """Run one policy; `called` names resources by URN, and by an empty text what is judged as a whole."""
    level = rule.enforcement_level or pulumi_policy.EnforcementLevel.MANDATORY
    lines: list[str] = []

    def report(message: str, urn: str | None = None) -> None:
        place = called.get(urn or "", called[""])
        lines.append(f"{place}: {' '.join((message or rule.description).split())} (policy {rule.name})")

    if level is pulumi_policy.EnforcementLevel.DISABLED:
        return
    try:
        result: Any = cast("Any", rule).validate(args, report)
        if isawaitable(result):
            asyncio.run(_wait(result))
    except proxy.UnknownValueError as unknown:
        path = ".".join(unknown.props)
        report(f"{path} is known only once it exists, so this rule cannot judge it; give it beforehand")
    except policy._NotApplicableError:  # pyright: ignore[reportPrivateUsage] what `not_applicable()` raises
        return
    mandatory = level is not pulumi_policy.EnforcementLevel.ADVISORY  # nothing is remedied here
    yield from ((mandatory, line) for line in lines)


async def _wait(result: Awaitable[object]) -> None:
    await result


def _resources(graph: Graph) -> list[pulumi_policy.PolicyResource]:
    """Give all resources as stack policies see them, referring to each other."""
    made = {
        found.urn: pulumi_policy.PolicyResource(
            found.type, _checked(found.outputs, built=_waits_for_image(found)), found.urn, found.name,
            _options(found), _provider(found, graph), None, [], {},
        )
        for found in graph.registrations
    }  # fmt: skip
    for found in graph.registrations:
        resource = made[found.urn]
        resource.parent = made.get(found.parent)
        resource.dependencies = [made[urn] for urn in found.dependencies if urn in made]
        resource.property_dependencies = {
            name: [made[urn] for urn in urns if urn in made]
            for name, urns in found.property_dependencies.items()
        }
    return list(made.values())


def _checked(properties: Mapping[str, Value], *, built: bool = False) -> Mapping[str, Any]:
    """Give properties that raise `UnknownValueError` where they are read and not known."""
    plain = cast("dict[str, Any]", _plain(dict(properties), built=built))
    return proxy.unknown_checking_proxy(deserialize.deserialize_properties(plain))


def _plain(value: Value, *, built: bool) -> object:  # noqa: PLR0911 one for each kind of value
    """Give a value as the engine sends it to a policy pack; `built` where images wait for their build."""
    match value:
        case Secret(inner):
            return _plain(inner, built=built)
        case Unknown() | Reference(id=Unknown()):
            return proxy.UNKNOWN_STRING_VALUE
        case Reference(urn, identity):
            return urn if identity is None else identity
        case Asset(archive, fields):
            kind = ARCHIVE if archive else ASSET
            return {SIGNATURE: kind, **{name: _plain(inner, built=built) for name, inner in fields.items()}}
        case list():
            return [_plain(inner, built=built) for inner in value]
        case dict():
            return {
                name: AFTER_BUILD
                if built and name == "image" and isinstance(inner, Unknown)
                else _plain(inner, built=built)
                for name, inner in value.items()
            }
        case int() if not isinstance(value, bool):
            return float(value)
        case _:
            return value


def _waits_for_image(found: Registration) -> bool:
    """Tell whether an object of Kubernetes takes values from what lies inside an `Image`."""
    return found.type.startswith("kubernetes:") and any(
        IMAGE in qualified_type(urn).split("$")
        for urns in found.property_dependencies.values()
        for urn in urns
    )


def _options(found: Registration) -> pulumi_policy.PolicyResourceOptions:
    given: dict[str, Any] = found.options
    timeouts: dict[str, float] = given.get("customTimeouts", {})
    return pulumi_policy.PolicyResourceOptions(
        found.protect,
        list(found.ignore_changes),
        given.get("deleteBeforeReplace"),
        list(found.aliases),
        pulumi_policy.PolicyCustomTimeouts(
            *(timeouts.get(name, 0) for name in ("create", "update", "delete"))
        ),
        given.get("additionalSecretOutputs", []),
        found.parent or None,
    )


def _provider(found: Registration, graph: Graph) -> pulumi_policy.PolicyProviderResource | None:
    if not found.provider:
        return None
    provider = graph[found.provider]
    return pulumi_policy.PolicyProviderResource(
        provider.type, _checked(provider.inputs), provider.urn, provider.name
    )
