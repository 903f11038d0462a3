"""Who may talk to whom, against a tiny model that enumerates everything."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.kube.reachability import Pod, Port, allowed, matches, outside, pods, reachable

Object = dict[str, Any]
NAMESPACES = ("front", "back")
PORTS = (Port(80, "http"), Port(81, "admin"), Port(80, "dns", "UDP"))
LABELS: list[dict[str, str]] = [{}, {"app": "a"}, {"app": "b"}, {"app": "a", "tier": "x"}]
SELECTORS: list[Object] = [
    {},
    {"matchLabels": {"app": "a"}},
    {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]},
    {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]},
]
SPACES: list[Object] = [
    {},
    {"matchLabels": {"kubernetes.io/metadata.name": "back"}},
    {"matchLabels": {"team": "x"}},
]
ENDS = [Pod(space, str(index), labels, PORTS) for space in NAMESPACES for index, labels in enumerate(LABELS)]
OUTSIDE = [outside("10.0.0.1"), outside("10.0.1.1"), outside("192.168.0.1")]

peers = st.one_of(
    st.fixed_dictionaries({"podSelector": st.sampled_from(SELECTORS)}),
    st.fixed_dictionaries({"namespaceSelector": st.sampled_from(SPACES)}),
    st.fixed_dictionaries(
        {"namespaceSelector": st.sampled_from(SPACES), "podSelector": st.sampled_from(SELECTORS)}
    ),
    st.fixed_dictionaries(
        {
            "ipBlock": st.sampled_from(
                [{"cidr": "10.0.0.0/8", "except": ["10.0.1.0/24"]}, {"cidr": "0.0.0.0/0"}]
            )
        }
    ),
)
PORT_RULES: list[Object] = [
    {},
    {"port": 80},
    {"port": "http"},
    {"port": "dns", "protocol": "UDP"},
    {"port": 80, "endPort": 90, "protocol": "TCP"},
    {"protocol": "UDP"},
]
ports = st.sampled_from(PORT_RULES)


def rules(direction: str) -> st.SearchStrategy[list[Object]]:
    fields = {direction: st.lists(peers, max_size=2), "ports": st.lists(ports, max_size=2)}
    return st.lists(st.fixed_dictionaries({}, optional=fields), max_size=2)


policies: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {
        "kind": st.just("NetworkPolicy"),
        "metadata": st.fixed_dictionaries({"name": st.just("p"), "namespace": st.sampled_from(NAMESPACES)}),
        "spec": st.fixed_dictionaries(
            {"podSelector": st.sampled_from(SELECTORS)},
            optional={
                "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
                "ingress": rules("from"),
                "egress": rules("to"),
            },
        ),
    }
)
NAMESPACE_OBJECTS: list[Object] = [
    {"kind": "Namespace", "metadata": {"name": "front", "labels": {"team": "x"}}},
    {"kind": "Namespace", "metadata": {"name": "back"}},
]
SPACE_LABELS = {
    "front": {"team": "x", "kubernetes.io/metadata.name": "front"},
    "back": {"kubernetes.io/metadata.name": "back"},
}


def chosen(selector: Object) -> set[Pod]:
    """Enumerate the pods of a pod selector by its meaning in words."""
    words = {
        0: ENDS,
        1: [pod for pod in ENDS if pod.labels.get("app") == "a"],
        2: [pod for pod in ENDS if pod.labels.get("app") != "a"],
        3: [pod for pod in ENDS if pod.labels == {"app": "a", "tier": "x"}],
    }
    return set(words[SELECTORS.index(selector)])


def namespaces(selector: Object) -> set[str]:
    return [{"front", "back"}, {"back"}, {"front"}][SPACES.index(selector)]


def ends_of(peer: Object, own: str) -> set[Pod]:
    """Enumerate the ends that a peer of a rule names."""
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        inside = {end for end in OUTSIDE if ip_address(end.address) in ip_network(block["cidr"])}
        return inside - ({OUTSIDE[1]} if "except" in block else set())
    spaces = namespaces(peer["namespaceSelector"]) if "namespaceSelector" in peer else {own}
    return {pod for pod in chosen(peer.get("podSelector", {})) if pod.namespace in spaces}


def ports_of(rule: Object) -> set[Port]:
    """Enumerate the ports that a port of a rule names."""
    protocol = {port for port in PORTS if port.protocol == rule.get("protocol", "TCP")}
    match rule.get("port"):
        case None:
            return protocol
        case str(name):
            return {port for port in protocol if port.name == name}
        case number:
            return {
                port for port in protocol if port.number in range(number, rule.get("endPort", number) + 1)
            }


def model(objects: list[Object]) -> set[tuple[Pod, Pod, Port]]:
    """Enumerate every allowed connection: all, less what an isolated pod does not list."""
    every = {(a, b, port) for a in [*ENDS, *OUTSIDE] for b in ENDS for port in PORTS}
    for direction, key, side in (("Ingress", "from", 1), ("Egress", "to", 0)):
        for pod in ENDS:
            own = [p for p in objects if p["metadata"]["namespace"] == pod.namespace]
            own = [p for p in own if pod in chosen(p["spec"]["podSelector"])]
            default = [{"Ingress"}, {"Ingress", "Egress"}]
            own = [
                p for p in own if direction in p["spec"].get("policyTypes", default["egress" in p["spec"]])
            ]
            if not own:
                continue
            listed: set[tuple[Pod, Port]] = set()
            for policy in own:
                for rule in policy["spec"].get(direction.lower(), []):
                    sides: list[Object] = rule.get(key) or []
                    named = [ends_of(peer, pod.namespace) for peer in sides]
                    others = set[Pod]().union(*named) if sides else {*ENDS, *OUTSIDE}
                    numbers: list[Object] = rule.get("ports") or []
                    opened = [ports_of(port) for port in numbers]
                    open_ports = set[Port]().union(*opened) if numbers else set(PORTS)
                    listed |= {(other, port) for other in others for port in open_ports}
            every = {e for e in every if e[side] is not pod or (e[1 - side], e[2]) in listed}
    return every


@settings(max_examples=150)
@given(st.lists(policies, max_size=4))
def test_when_policies_are_any_then_connections_are_those_of_the_model(found: list[Object]) -> None:
    objects = [*NAMESPACE_OBJECTS, *found]
    ours = {
        (source, target, port)
        for source in [*ENDS, *OUTSIDE]
        for target in ENDS
        for port in PORTS
        if allowed(objects, source, target, port)
    }
    assert ours == model(found)


def test_when_no_policy_selects_a_pod_then_it_takes_everything() -> None:
    assert all(allowed([], source, ENDS[0], port) for source in [*ENDS, *OUTSIDE] for port in PORTS)


def test_when_a_policy_has_no_rule_then_its_pods_take_nothing() -> None:
    policy: Object = {
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "front"},
        "spec": {"podSelector": {}},
    }
    inside = [pod for pod in ENDS if pod.namespace == "front"]
    assert not any(allowed([policy], source, pod, PORTS[0]) for source in [*ENDS, *OUTSIDE] for pod in inside)
    assert allowed([policy], inside[0], ENDS[-1], PORTS[0])


def test_when_objects_have_pod_templates_then_each_is_a_pod_with_its_ports() -> None:
    containers: list[Object] = [
        {"ports": [{"name": "http", "containerPort": 80}]},
        {"ports": [{"containerPort": 53, "protocol": "UDP"}]},
    ]
    template: Object = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": containers}}
    metadata = {"name": "a", "namespace": "front"}
    objects: list[Object] = [
        {"kind": "Deployment", "metadata": metadata, "spec": {"template": template}},
        {"kind": "Service", "metadata": metadata, "spec": {}},
        {"kind": "Pod", "metadata": {"name": "b"}, "spec": {"containers": [{}]}},
    ]
    assert pods(objects) == [
        Pod("front", "a", {"app": "a"}, (Port(80, "http"), Port(53, "", "UDP"))),
        Pod("default", "b"),
    ]
    assert len(list(reachable(objects))) == 4


def test_when_a_selector_has_an_unknown_operator_then_it_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown operator Like"):
        matches({"matchExpressions": [{"key": "a", "operator": "Like"}]}, {})
