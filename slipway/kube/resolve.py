"""From the graph to Kubernetes objects, with the values that Pulumi would get from providers.

Kubernetes objects are what was asked for; random passwords and strings are drawn here; an image's
reference is computed by the program. What else a value needs must be among the stack's outputs, as Pulumi
told them; a value that stays unknown is refused by its place and its source, with all refusals of a graph
at once. What a stack file holds encrypted stays unknown: nothing is decrypted here. A secret value outside
a Secret is refused too, so that objects other than Secrets can be shown and kept.

Left out: defaults, checks and generated names of an API server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from slipway.engine import UNKNOWN, Graph, Made, Reference, Registration, Secret, Unknown, Value, run
from slipway.engine.graph import known as is_known
from slipway.engine.graph import secrets as secrets_in
from slipway.engine.mask import MASK, Mask
from slipway.images.mode import Mode
from slipway.images.recipe import Recipe
from slipway.kube.folder import Object
from slipway.kube.random import PASSWORD, STRING, generate
from slipway.kube.render import in_order
from slipway.problems import Problems
from slipway.spec import IMAGE

IMAGE_PUSH = "pulumi-python:dynamic/slipway:ImagePush"
STACK_REFERENCE = "pulumi:pulumi:StackReference"
OUTPUTS = "export it from the stack and give --outputs, or run `pulumi up`"
LONG = 16
"""Characters from which on a text that equals a secret is taken for it; `admin` is in many objects."""


@dataclass(frozen=True)
class Resolved:
    """What a stack means to Kubernetes: its objects in the order of creation, and how its images are made."""

    objects: list[Object]
    recipes: dict[str, Recipe]
    """by the reference that objects use"""


@dataclass(frozen=True)
class Resolver:
    """Answers for providers, in the program's process."""

    known: Mapping[str, Mapping[str, Value]] = field(default_factory=dict[str, Mapping[str, Value]])

    def __call__(self, registration: Registration) -> Made | None:
        """Give what a resource would be, or None where only Pulumi can make it."""
        if registration.urn in self.known:
            told = dict(self.known[registration.urn])
            identity = told.pop("id", UNKNOWN)
            return Made(identity if isinstance(identity, str) else UNKNOWN, told)
        if registration.type in {PASSWORD, STRING}:
            return generate(registration)
        if is_object(registration):
            return Made(_identity(registration), registration.inputs)
        if registration.type == IMAGE_PUSH:
            return Made(UNKNOWN, registration.inputs)
        return None


def resolve(
    project: Path,
    stack: str,
    *,
    secrets: bool = True,
    local: bool = False,
    outputs: Mapping[str, Value] | None = None,
) -> Resolved:
    """Run the program and give its objects with all values in place.

    `outputs` are those of the stack, as `pulumi stack output --json` prints them; each tells the output of
    a resource that the stack exports under its name. A program that reads another stack takes them for
    that one's. Without `secrets`, Secrets are left out, and so what they hold may be encrypted in the
    stack file. With `local`, the graph must be all that there is: nothing of a cloud. Raises `Problems`
    for what cannot be realised without Pulumi, `EngineError` and `ProjectError` as `slipway.engine.run`.
    """
    images = Mode.NAMED if local else Mode.CACHED
    graph = run(project, stack, resolve=Resolver(), quiet=outputs is not None, images=images)
    if outputs is not None:
        others = [found for found in graph.registrations if found.type == STACK_REFERENCE]
        masked = [name for name, value in outputs.items() if value == MASK]
        if others and masked and secrets:
            rule = "is masked, and Secrets may need it; print all with --show-secrets"
            raise Problems(f"output {name}: {rule}" for name in masked)
        values = {name: Secret(MASK) if name in masked else value for name, value in outputs.items()}
        stacks = {str(found.inputs.get("name")): values for found in others}
        graph = run(project, stack, resolve=Resolver(told(graph, outputs)), stacks=stacks)
    return from_graph(graph, secrets=secrets, local=local)


def told(graph: Graph, outputs: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """Give by URN the outputs of resources that a stack's outputs tell; what Pulumi masked tells nothing."""
    found: dict[str, dict[str, Value]] = {}
    for name, (urn, key) in graph.exported.items():
        if name in outputs and outputs[name] != MASK:
            hidden = isinstance(graph.outputs.get(name), Secret)
            found.setdefault(urn, {})[key] = Secret(outputs[name]) if hidden else outputs[name]
    return found


def from_graph(graph: Graph, *, secrets: bool = True, local: bool = False) -> Resolved:
    """Give the objects of a graph that was run with a `Resolver`. Raises `Problems`."""
    found = [
        registration
        for registration in graph.registrations
        if is_object(registration) and (secrets or registration.inputs.get("kind") != "Secret")
    ]
    mask = Mask(text for text in secrets_in(graph) if len(text) >= LONG)
    remedy = "run `pulumi up`" if local else OUTPUTS
    lines = [line for registration in found for line in _refusals(registration, graph, mask, remedy)]
    lines += _of_program(graph, local=local)
    if lines:
        raise Problems(dict.fromkeys(lines))
    images = [registration for registration in graph.registrations if registration.type == IMAGE]
    recipes = {str(image.outputs["reference"]): _recipe(image) for image in images}
    return Resolved(in_order(_object(registration) for registration in found), recipes)


def _of_program(graph: Graph, *, local: bool) -> Iterator[str]:
    """Say what of a program keeps its objects from being all that there is."""
    for function in graph.unasked:
        if function.startswith("kubernetes:"):
            yield f"{function}: is a function of Pulumi's provider that may make objects; run `pulumi up`"
    others = [
        found
        for found in graph.registrations
        if found.custom
        and not is_object(found)
        and not found.type.startswith(("pulumi:", "random:", IMAGE_PUSH))
    ]
    if local and others:
        example = f"{len(others)} resources such as {others[0].type} `{others[0].name}`"
        yield f"stack {graph.stack}: has {example}, which only Pulumi makes; run `pulumi up`"


def is_object(registration: Registration) -> bool:
    """Tell whether a resource is a Kubernetes object."""
    return registration.custom and registration.type.startswith("kubernetes:")


def _identity(registration: Registration) -> str:
    metadata = registration.inputs.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return "/".join(str(metadata[key]) for key in ("namespace", "name") if key in metadata)


def _recipe(image: Registration) -> Recipe:
    recipe = _plain(image.inputs["recipe"])
    assert isinstance(recipe, dict)
    return Recipe.from_dict(cast("dict[str, object]", recipe))


def _object(registration: Registration) -> Object:
    plain = {name: _plain(value) for name, value in registration.inputs.items()}
    first = {name: plain.pop(name) for name in ("apiVersion", "kind", "metadata") if name in plain}
    return first | dict(sorted(plain.items()))


def _plain(value: Value) -> object:
    """Give the value as JSON would hold it, with keys sorted: messages keep no order."""
    match value:
        case Secret(inner):
            return _plain(inner)
        case Reference(urn, identity):
            return identity or urn
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {name: _plain(item) for name, item in sorted(value.items())}
        case _:
            return value


def _refusals(registration: Registration, graph: Graph, mask: Mask, remedy: str) -> Iterator[str]:
    """Say why an object cannot be made here, one line a reason."""
    what = _named(registration)
    metadata = registration.inputs.get("metadata")
    if registration.external:
        yield f"{what}: is read from a cluster, and there is none here; run `pulumi up`"
        return
    if not isinstance(registration.inputs.get("kind"), str) or registration.type.endswith("Patch"):
        yield f"{what}: {registration.type} is no object but made by Pulumi's provider; run `pulumi up`"
        return
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        yield f"{what}, metadata.name: is missing, and Pulumi would invent one; give the object a name"
    for path in _paths(registration.inputs, ""):
        yield from _unknown(what, path, registration, graph, remedy)
    if registration.inputs.get("kind") != "Secret":
        for path in _leaks(registration.inputs, "", mask):
            rule = "holds a secret, which everyone who can read the object would see"
            yield f"{what}, {path}: {rule}; keep it in a Secret and refer to that"


def _unknown(what: str, path: str, registration: Registration, graph: Graph, remedy: str) -> Iterator[str]:
    """Say where a value comes from that is not known."""
    top = re.split(r"[.\[]", path, maxsplit=1)[0]
    others = [graph[urn] for urn in registration.property_dependencies.get(top, ())]
    others = [other for other in others if other.type not in {PASSWORD, STRING}]
    if graph.encrypted_config and not others:
        keys = ", ".join(f"`{key}`" for key in graph.encrypted_config)
        commands = " and ".join(
            f"`pulumi config rm -s {graph.stack} {key}`" for key in graph.encrypted_config
        )
        yield (
            f"{what}, {path}: is not known, because the stack file holds {keys} encrypted and Slipway "
            f"decrypts nothing; run `pulumi up`, or run {commands} so that a value is made here"
        )
    else:
        names = ", ".join(f"{other.type} `{other.name}`" for other in others)
        origin = names or "a provider's function or another stack"
        yield f"{what}, {path}: is known only once it exists, from {origin}; {remedy}"


def _paths(value: Value, path: str) -> Iterator[str]:
    """Give the place of each unknown, the outermost secret standing for all in it."""
    match value:
        case Unknown():
            yield path
        case Secret(inner) if not is_known(inner):
            yield from _paths(inner, path)
        case list():
            for index, item in enumerate(value):
                yield from _paths(item, f"{path}[{index}]")
        case dict():
            for name, item in sorted(value.items()):
                yield from _paths(item, f"{path}.{name}".removeprefix("."))
        case _:
            pass


def _leaks(value: Value, path: str, mask: Mask) -> Iterator[str]:
    """Give the place of each secret, marked as one or not."""
    match value:
        case Secret():
            yield path
        case str() if mask(value) != value:
            yield path
        case list():
            for index, item in enumerate(value):
                yield from _leaks(item, f"{path}[{index}]", mask)
        case dict():
            for name, item in sorted(value.items()):
                yield from _leaks(item, f"{path}.{name}".removeprefix("."), mask)
        case _:
            pass


def _named(registration: Registration) -> str:
    kind = registration.inputs.get("kind", registration.type)
    return f"{kind} {_identity(registration) or registration.name}"
