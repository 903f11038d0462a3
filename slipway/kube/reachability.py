"""Who may talk to whom: what the NetworkPolicies of a set of objects allow, as a pure function.

Kubernetes' rules for traffic between pods: a pod that no policy selects takes everything; one that is
selected takes what the policies together allow. Ports may be named, which the receiving pod resolves.
Peers outside the cluster are addresses. Both directions count: what a policy of type Egress selects
sends only what it allows.

Left out: host networks, node addresses, `AdminNetworkPolicy` and what a particular plugin adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, cast

from slipway.kube.folder import Object

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every namespace has without being given it."""


@dataclass(frozen=True)
class Port:
    """A port on which a pod listens."""

    number: int
    name: str = ""
    protocol: str = "TCP"


@dataclass(frozen=True)
class Pod:
    """One end of a connection; inside the cluster, or an address outside with no namespace."""

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    ports: tuple[Port, ...] = ()
    address: str = ""

    def __hash__(self) -> int:
        return hash((self.namespace, self.name, self.address))


def outside(address: str) -> Pod:
    """Give the end of a connection that is no pod."""
    return Pod("", address, address=address)


def pods(objects: Iterable[Object]) -> list[Pod]:
    """Give one pod for each Pod and each pod template among the objects, named as its object."""
    found: list[Pod] = []
    for obj in objects:
        template: Object = obj if obj["kind"] == "Pod" else obj.get("spec", {}).get("template") or {}
        containers: list[Object] = template.get("spec", {}).get("containers") or []
        if containers:
            listens: list[Object] = [port for container in containers for port in container.get("ports", [])]
            labels: dict[str, str] = template.get("metadata", {}).get("labels", {})
            ports = [Port(p["containerPort"], p.get("name", ""), p.get("protocol", "TCP")) for p in listens]
            metadata = obj["metadata"]
            found.append(Pod(metadata.get("namespace", "default"), metadata["name"], labels, tuple(ports)))
    return found


def reachable(objects: Iterable[Object]) -> Iterator[tuple[Pod, Pod, Port]]:
    """Give each (from, to, port) that is allowed among the pods of the objects."""
    objects = list(objects)
    every = pods(objects)
    for source in every:
        for target in every:
            for port in target.ports:
                if allowed(objects, source, target, port):
                    yield source, target, port


def allowed(objects: Iterable[Object], source: Pod, target: Pod, port: Port) -> bool:
    """Tell whether `source` may open a connection to `port` of `target`."""
    objects = list(objects)
    namespaces = {obj["metadata"]["name"]: obj["metadata"] for obj in objects if obj["kind"] == "Namespace"}

    def permits(direction: str, pod: Pod, peer: Pod) -> bool:
        selecting = [
            obj
            for obj in objects
            if obj["kind"] == "NetworkPolicy" and direction in _types(obj["spec"]) and _selects(obj, pod)
        ]
        return not selecting or any(
            _matches_peer(rule.get("from" if direction == "Ingress" else "to"), policy, namespaces, peer)
            and _matches_port(rule.get("ports"), port)
            for policy in selecting
            for rule in _list(policy["spec"].get(direction.lower()))
        )

    return permits("Ingress", target, source) and permits("Egress", source, target)


def _list(value: object) -> list[Object]:
    """Read a list that may be absent or null."""
    return cast("list[Object]", value or [])


def _types(spec: Mapping[str, Any]) -> list[str]:
    return spec.get("policyTypes") or (["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _selects(policy: Object, pod: Pod) -> bool:
    namespace = policy["metadata"].get("namespace", "default")
    return namespace == pod.namespace and matches(policy["spec"].get("podSelector") or {}, pod.labels)


def _matches_peer(peers: object, policy: Object, namespaces: Mapping[str, Object], peer: Pod) -> bool:
    if not peers:
        return True
    own = policy["metadata"].get("namespace", "default")
    labels = {**namespaces.get(peer.namespace, {}).get("labels", {}), NAME_LABEL: peer.namespace}
    for rule in _list(peers):
        if "ipBlock" in rule:
            if peer.address and _in_block(rule["ipBlock"], peer.address):
                return True
            continue
        spaces, selector = rule.get("namespaceSelector"), rule.get("podSelector")
        right_namespace = matches(spaces, labels) if spaces is not None else peer.namespace == own
        if peer.namespace and right_namespace and (selector is None or matches(selector, peer.labels)):
            return True
    return False


def _in_block(block: Mapping[str, Any], address: str) -> bool:
    found = ip_address(address)
    return found in ip_network(block["cidr"]) and not any(
        found in ip_network(cidr) for cidr in block.get("except", [])
    )


def _matches_port(ports: object, port: Port) -> bool:
    if not ports:
        return True
    return any(r.get("protocol", "TCP") == port.protocol and _has_number(r, port) for r in _list(ports))


def _has_number(rule: Mapping[str, Any], port: Port) -> bool:
    wanted = rule.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return wanted == port.name
    return wanted <= port.number <= rule.get("endPort", wanted)


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector selects; an empty one selects everything."""
    exact: dict[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _matches_expression(expression, labels) for expression in _list(selector.get("matchExpressions"))
    )


def _matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key: str = expression["key"]
    values: list[str] = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case operator:
            raise ValueError(f"a label selector has the unknown operator {operator}")
