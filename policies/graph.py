"""What a rule reads: the resources of a stack by their inputs, and what the stack file says.

Pulumi shows a pack the inputs of each resource before it exists (`Analyze`), and at the end the outputs of
all (`AnalyzeStack`). Outputs are not enough: in a first preview the cluster's kubeconfig is unknown, and the
engine then has none for any Kubernetes object. So the inputs are kept, and a rule of the whole stack finds
them here. The stack's settings are an input of the `Platform` component, which comes before its children.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, cast

from pulumi_policy import ResourceValidationArgs, StackValidationArgs
from pulumi_policy.proxy import UnknownValueError
from pydantic import ValidationError

from slipway.problems import explain
from slipway.settings import Azure, Settings
from slipway.spec import IMAGE

STACK = "pulumi:pulumi:Stack"
PLATFORM = "slipway:index:Platform"
_VERSION = re.compile(r"/v\w+(?=:)")

Inputs = Mapping[str, Any]
"""As the program gives them, by the provider's names; raises `UnknownValueError` where one is unknown."""


@dataclass(frozen=True)
class Resource:
    """One resource; `uses` has the URNs that each input is made from, at the end of a run only."""

    type: str
    """without its API's version: `kubernetes:apps:Deployment`, `azure-native:network:Route`"""
    name: str
    urn: str
    inputs: Inputs
    protect: bool = False
    outputs: Inputs = field(default_factory=dict[str, Any])
    uses: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    managed: bool = True
    """not only read: the engine shows no inputs of what belongs to somebody else"""


@dataclass(frozen=True)
class Stack:
    """What was shown so far, or all of a stack; without a `Platform` there are no settings."""

    resources: Mapping[str, Resource]
    """by URN"""

    def of(self, *types: str) -> Iterator[Resource]:
        """Give the resources of some types."""
        return (resource for resource in self.resources.values() if resource.type in types)

    def used(self, resource: Resource, name: str) -> list[Resource]:
        """Give the resources that an input is made from."""
        return [self.resources[urn] for urn in resource.uses.get(name, ()) if urn in self.resources]

    def users(self, resource: Resource) -> list[Resource]:
        """Give the resources with an input that is made from this one."""
        return [user for user in self.resources.values() if resource.urn in sum(user.uses.values(), ())]

    @cached_property
    def images(self) -> frozenset[str]:
        """Give the references of the images that the stack makes itself."""
        return frozenset(known(image.outputs, "reference") for image in self.of(IMAGE)) - {None}

    @cached_property
    def _read(self) -> tuple[Settings | None, list[str]]:
        platform = next(self.of(PLATFORM), None)
        return (None, []) if platform is None else _settings(platform.inputs)

    @property
    def settings(self) -> Settings | None:
        """What the stack file says."""
        return self._read[0]

    @property
    def unreadable(self) -> list[str]:
        """Say why the settings cannot be read, a line a mistake."""
        return self._read[1]

    @property
    def azure(self) -> Azure | None:
        """What the stack file says of Azure."""
        return self.settings.azure if self.settings is not None else None

    @property
    def production(self) -> bool:
        """Tell whether v1's rules for production hold; where nothing is said, they do."""
        return self.azure is None or self.azure.cluster.production


def _settings(inputs: Inputs) -> tuple[Settings | None, list[str]]:
    """Read the settings, or say why they cannot be read, a line a mistake; what was read last is kept."""
    global _last  # noqa: PLW0603 every rule of the whole stack asks again, and reading counts nodes
    if _last is None or _last[0] is not inputs:
        _last = inputs, _parsed(inputs)
    return _last[1]


def _parsed(inputs: Inputs) -> tuple[Settings | None, list[str]]:
    try:
        return Settings.model_validate(_plain(inputs["settings"])), []
    except KeyError:
        return None, ["`settings` is not among the inputs: the rules compare the graph with it"]
    except UnknownValueError as unknown:
        return None, [not_known(unknown)]
    except ValidationError as error:
        return None, explain(error, Settings, lambda place: ".".join(map(str, ("settings", *place))))


_last: tuple[Inputs, tuple[Settings | None, list[str]]] | None = None
_shown: dict[str, Resource] = {}
_so_far = Stack(_shown)


def shown(args: ResourceValidationArgs) -> tuple[Resource, Stack]:
    """Keep the inputs that the engine shows; a run begins with the stack itself."""
    global _so_far  # noqa: PLW0603 a pack is a process that is told of one resource after the other
    if args.resource_type == STACK:
        _shown.clear()
    resource = Resource(_type(args.resource_type), args.name, args.urn, args.props, args.opts.protect)
    _shown[args.urn] = resource
    if resource.type in {STACK, PLATFORM}:
        _so_far = Stack(_shown)
    return resource, _so_far


def whole(args: StackValidationArgs) -> Stack:
    """Give all resources, with the inputs that were shown, their outputs and what they are made from."""
    found = (
        Resource(
            _type(given.resource_type),
            given.name,
            given.urn,
            _shown[given.urn].inputs if given.urn in _shown else given.props,
            given.opts.protect,
            given.props,
            {name: tuple(used.urn for used in of) for name, of in given.property_dependencies.items()},
            managed=not _shown or given.urn in _shown,
        )
        for given in args.resources
    )
    return Stack({resource.urn: resource for resource in found})


def at(inputs: object, *path: str) -> Any:
    """Give what stands at a path, None where nothing does. Raises `UnknownValueError`."""
    for name in path:
        inputs = cast("Inputs", inputs).get(name) if isinstance(inputs, Mapping) else None
    return inputs


def known(inputs: object, *path: str) -> Any:
    """Give what stands at a path, None also where it is unknown: to look for something that must be there."""
    try:
        return at(inputs, *path)
    except UnknownValueError:
        return None


def many(inputs: object, *path: str) -> list[Any]:
    """Give the items of a list at a path, none where there is no list. Raises `UnknownValueError`."""
    found = at(inputs, *path)
    return list(cast("Sequence[Any]", found)) if found is not None and not isinstance(found, str) else []


def not_known(unknown: UnknownValueError) -> str:
    """Say that a rule cannot pass what it cannot read."""
    return (
        f"`{'.'.join(unknown.props)}` is not known before it exists, so the rule cannot be judged: "
        "give a value that the program knows"
    )


@cache
def _type(token: str) -> str:
    return _VERSION.sub("", token)


def _plain(value: object) -> object:
    """Give JSON as Python has it: the wire knows no whole numbers. Raises `UnknownValueError`."""
    match value:
        case Mapping():
            return {name: _plain(item) for name, item in cast("Inputs", value).items()}
        case float() if value.is_integer():
            return int(value)
        case Sequence() if not isinstance(value, str):
            return [_plain(item) for item in cast("Sequence[object]", value)]
        case _:
            return value
