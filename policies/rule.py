"""How a rule becomes a policy: it judges one resource, and gives a line for each mistake.

A mandatory policy that meets an unknown value would only advise (pulumi_policy 1.21 turns it so). Here
it is a mistake: what cannot be read cannot pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policies.graph import Resource, Stack, not_known, shown, whole

Check = Callable[[Resource, Stack], Iterator[str]]


def resource_rule(
    name: str, reason: str, *types: str, level: EnforcementLevel = EnforcementLevel.MANDATORY
) -> Callable[[Check], Policy]:
    """Judge each resource of some types before it exists, by its inputs and the stack's settings."""

    def policy(check: Check) -> Policy:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            resource, stack = shown(args)
            if resource.type in types:
                for line in _lines(check, resource, stack):
                    report(line, args.urn)

        return ResourceValidationPolicy(name, reason, validate, level)

    return policy


def stack_rule(name: str, reason: str, *types: str) -> Callable[[Check], Policy]:
    """Judge each resource of some types beside all others, when the program has ended."""

    def policy(check: Check) -> Policy:
        def validate(args: StackValidationArgs, report: ReportViolation) -> None:
            stack = whole(args)
            for resource in stack.of(*types):
                for line in _lines(check, resource, stack) if resource.managed else ():
                    report(line, resource.urn)

        return StackValidationPolicy(name, reason, validate, EnforcementLevel.MANDATORY)

    return policy


def _lines(check: Check, resource: Resource, stack: Stack) -> Iterator[str]:
    try:
        yield from check(resource, stack)
    except UnknownValueError as unknown:
        yield not_known(unknown)
