"""What matters about Kubernetes objects, and about what their pods are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from slipway.kube.render import autoscaled
from slipway.plan.details.read import Properties, mappings, properties
from slipway.spec import AFTER_BUILD


def _deployment(inputs: Properties) -> Iterator[str]:
    replicas = properties(inputs.get("spec")).get("replicas", 1)
    yield f"replicas {replicas}" + (" at first, then the router's" if autoscaled(inputs) else "")
    yield from _containers(inputs)


def _daemon_set(inputs: Properties) -> Iterator[str]:
    labels = properties(_pod(inputs).get("nodeSelector"))
    yield f"on nodes with {', '.join(f'{name}={value}' for name, value in labels.items())}" * bool(labels)
    yield from _containers(inputs)


def _pod(inputs: Properties) -> Properties:
    return properties(properties(properties(inputs.get("spec")).get("template")).get("spec"))


def _containers(inputs: Properties) -> Iterator[str]:
    for container in mappings(_pod(inputs).get("containers")):
        yield f"image {container.get('image')}"
        ports = [
            f"{port.get('name', 'port')} {port.get('containerPort')}"
            for port in mappings(container.get("ports"))
        ]
        yield ", ".join(ports)
        requests = properties(properties(container.get("resources")).get("requests"))
        yield ", ".join(f"{name} {quantity}" for name, quantity in sorted(requests.items()))


def _service(inputs: Properties) -> Iterator[str]:
    spec = properties(inputs.get("spec"))
    yield "headless" if spec.get("clusterIP") == "None" else str(spec.get("type", "ClusterIP"))
    yield ", ".join(f"{port.get('port')} to {port.get('targetPort')}" for port in mappings(spec.get("ports")))


def _secret(inputs: Properties) -> Iterator[str]:
    names = {*properties(inputs.get("stringData")), *properties(inputs.get("data"))}
    yield ", ".join(sorted(names)) or "[secret]"


def _policy(inputs: Properties) -> Iterator[str]:
    spec = properties(inputs.get("spec"))
    for rule in mappings(spec.get("ingress")):
        peers = [" ".join(_peer(peer)) for peer in mappings(rule.get("from"))]
        ports = [str(port.get("port")) for port in mappings(rule.get("ports"))]
        yield f"from {' or '.join(peers) or 'anywhere'} to {', '.join(ports) or 'any port'}"
    if not spec.get("ingress") and "Egress" not in (spec.get("policyTypes") or []):
        yield "from nowhere"


def _peer(peer: Properties) -> Iterator[str]:
    block = properties(peer.get("ipBlock"))
    if block:
        yield str(block.get("cidr"))
    for key in ("namespaceSelector", "podSelector"):
        labels = properties(properties(peer.get(key)).get("matchLabels"))
        yield from (str(value) for value in labels.values())


def _rules(inputs: Properties) -> Iterator[str]:
    for rule in mappings(inputs.get("rules")):
        yield f"{' '.join(rule.get('verbs', []))} {', '.join(rule.get('resources', []))}"


def _image(inputs: Properties) -> Iterator[str]:
    recipe = properties(inputs.get("recipe"))
    yield f"{inputs.get('repository')}, runtime {recipe.get('runtime')}"


def _push(inputs: Properties) -> Iterator[str]:
    digest = str(inputs.get("digest"))
    known = digest.startswith("sha256:")
    yield f"{inputs.get('repository')}{f'@{digest[:19]}...' if known else ''}"
    yield "" if known else AFTER_BUILD
    yield ", ".join(str(tag) for tag in inputs.get("tags") or ())


def _random(inputs: Properties) -> Iterator[str]:
    yield f"{inputs.get('length')} characters"


KINDS: dict[str, Callable[[Properties], Iterable[str]]] = {
    "ClusterRole": _rules,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "Image": _image,
    "ImagePush": _push,
    "NetworkPolicy": _policy,
    "RandomPassword": _random,
    "RandomString": _random,
    "Role": _rules,
    "Secret": _secret,
    "Service": _service,
}
"""By the last part of the type."""
