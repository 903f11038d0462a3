"""A graph as a tree: who belongs to whom, and beside each node what matters about it.

What matters is said by kind: replicas, image and ports of a Deployment, the type of a Service, who may
come in through a NetworkPolicy. Kinds without a rule show their name alone. Default providers and the
stack are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from slipway.engine.graph import Graph, Registration, secrets
from slipway.engine.mask import Mask
from slipway.engine.urns import STACK_TYPE, is_provider
from slipway.kube.render import autoscaled
from slipway.plan.values import masked

Properties = dict[str, Any]


def tree(graph: Graph) -> str:
    """Draw the graph, with the outputs of the stack and a line that says what a plan is not."""
    mask = Mask(secrets(graph))
    shown = [r for r in graph.registrations if r.type != STACK_TYPE and (r.parent or not is_provider(r.type))]
    children: dict[str, list[Registration]] = {}
    for registration in shown:
        children.setdefault(registration.parent, []).append(registration)
    there = {registration.urn for registration in shown}
    roots = [node for parent, nodes in children.items() if parent not in there for node in nodes]
    lines = [f"{graph.project} {graph.stack}", *_branches(roots, children, mask, "")]
    if graph.outputs:
        lines += ["", "outputs"]
        lines += [f"  {name}: {text}" for name, text in _flat(masked(graph.outputs, mask), "")]
    custom = sum(registration.custom for registration in shown)
    lines += ["", f"{custom} resources in {len(shown) - custom} components"]
    if graph.encrypted_config:
        lines.append(f"encrypted, so unknown here: {', '.join(graph.encrypted_config)}")
    if graph.unasked:
        lines.append(f"not asked, so unknown here: {', '.join(graph.unasked)}")
    lines.append("This is the graph alone: no provider was asked, so there is no diff and no drift.")
    return "\n".join(lines) + "\n"


def _branches(
    nodes: list[Registration], children: dict[str, list[Registration]], mask: Mask, indent: str
) -> Iterator[str]:
    nodes = sorted(nodes, key=lambda node: (node.custom, node.type, node.name))
    for node in nodes:
        last = node is nodes[-1]
        inputs = cast("Properties", masked(node.inputs, mask))
        details = "  ".join(text for text in _details(node, inputs) if text)
        head = f"{_short(node.type)} {mask(_name(node, inputs))}"
        yield f"{indent}{'└─ ' if last else '├─ '}{head}{'  ' if details else ''}{details}"
        below = children.get(node.urn, [])
        yield from _branches(below, children, mask, indent + ("   " if last else "│  "))


def _short(type_: str) -> str:
    """Give the last part of a type; that of a provider with its package."""
    return f"Provider {type_.rsplit(':', 1)[-1]}" if is_provider(type_) else type_.rsplit(":", 1)[-1]


def _name(node: Registration, inputs: Properties) -> str:
    """Give the name under which a cluster knows an object, else Pulumi's."""
    metadata = inputs.get("metadata")
    if not isinstance(metadata, dict) or "name" not in metadata:
        return node.name
    place = cast("dict[str, object]", metadata)
    return "/".join(str(place[key]) for key in ("namespace", "name") if key in place)


def _details(node: Registration, inputs: Properties) -> Iterator[str]:
    describe = KINDS.get(_short(node.type))
    if describe is not None:
        yield from describe(inputs)
    if node.protect:
        yield "protected"
    if node.external:
        yield "read only"
    if node.ignore_changes:
        yield f"ignores {', '.join(node.ignore_changes)}"


def _deployment(inputs: Properties) -> Iterator[str]:
    spec = _mapping(inputs.get("spec"))
    replicas = spec.get("replicas", 1)
    yield f"replicas {replicas}" + (" at first, then the router's" if autoscaled(inputs) else "")
    for container in _list(_mapping(_mapping(spec.get("template")).get("spec")).get("containers")):
        yield f"image {container.get('image')}"
        ports = [
            f"{port.get('name', 'port')} {port.get('containerPort')}"
            for port in _list(container.get("ports"))
        ]
        yield ", ".join(ports)
        requests = _mapping(_mapping(container.get("resources")).get("requests"))
        yield ", ".join(f"{name} {quantity}" for name, quantity in sorted(requests.items()))


def _service(inputs: Properties) -> Iterator[str]:
    spec = _mapping(inputs.get("spec"))
    yield "headless" if spec.get("clusterIP") == "None" else str(spec.get("type", "ClusterIP"))
    yield ", ".join(f"{port.get('port')} to {port.get('targetPort')}" for port in _list(spec.get("ports")))


def _secret(inputs: Properties) -> Iterator[str]:
    names = {*_mapping(inputs.get("stringData")), *_mapping(inputs.get("data"))}
    yield ", ".join(sorted(names)) or "[secret]"


def _policy(inputs: Properties) -> Iterator[str]:
    spec = _mapping(inputs.get("spec"))
    for rule in _list(spec.get("ingress")):
        peers = [" ".join(_peer(peer)) for peer in _list(rule.get("from"))]
        ports = [str(port.get("port")) for port in _list(rule.get("ports"))]
        yield f"from {' or '.join(peers) or 'anywhere'} to {', '.join(ports) or 'any port'}"
    if not spec.get("ingress") and "Egress" not in (spec.get("policyTypes") or []):
        yield "from nowhere"


def _peer(peer: Properties) -> Iterator[str]:
    block = _mapping(peer.get("ipBlock"))
    if block:
        yield str(block.get("cidr"))
    for key in ("namespaceSelector", "podSelector"):
        labels = _mapping(_mapping(peer.get(key)).get("matchLabels"))
        yield from (str(value) for value in labels.values())


def _rules(inputs: Properties) -> Iterator[str]:
    for rule in _list(inputs.get("rules")):
        yield f"{' '.join(rule.get('verbs', []))} {', '.join(rule.get('resources', []))}"


def _image(inputs: Properties) -> Iterator[str]:
    recipe = _mapping(inputs.get("recipe"))
    yield f"{inputs.get('repository')}, runtime {recipe.get('runtime')}"


def _random(inputs: Properties) -> Iterator[str]:
    yield f"{inputs.get('length')} characters"


KINDS: dict[str, Callable[[Properties], Iterable[str]]] = {
    "ClusterRole": _rules,
    "Deployment": _deployment,
    "Image": _image,
    "NetworkPolicy": _policy,
    "RandomPassword": _random,
    "RandomString": _random,
    "Role": _rules,
    "Secret": _secret,
    "Service": _service,
}
"""What matters about a resource, by the last part of its type."""


def _mapping(value: object) -> Properties:
    """Read a mapping that may be absent, unknown or masked."""
    return cast("Properties", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Properties]:
    """Read a list of mappings that may be absent, unknown or masked."""
    return [_mapping(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _flat(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Give each value inside with the path to it."""
    if isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            yield from _flat(item, f"{path}.{name}".removeprefix("."))
    else:
        yield path, str(value)
