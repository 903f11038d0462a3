"""A graph as a picture: who leads where, in a syntax that Mermaid takes whatever things are called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.engine import UNKNOWN, Graph, Registration, Value
from slipway.plan import mermaid
from slipway.plan.picture.flowchart import Arrow, Box, flowchart

GROUP = "/subscriptions/s/resourceGroups/hub/providers"
ADOPTED_SUBNET = f"{GROUP}/Microsoft.Network/virtualNetworks/vnet-hub/subnets/nodes"
ADOPTED_REGISTRY = f"{GROUP}/Microsoft.ContainerRegistry/registries/shared"
INTERNAL = "service.beta.kubernetes.io/azure-load-balancer"


def azure(type_: str, name: str, inputs: dict[str, Value], **uses: Registration) -> Registration:
    urns = {key: (used.urn,) for key, used in uses.items()}
    full = f"azure-native:{type_}"
    return Registration(
        f"urn:pulumi:dev::test::{full}::{name}",
        full,
        name,
        True,
        inputs={**inputs, **dict.fromkeys(urns, UNKNOWN)},
        property_dependencies=urns,
    )


def kubernetes(kind: str, name: str, spec: Value, **metadata: Value) -> Registration:
    type_ = f"kubernetes:x/v1:{kind}"
    inputs: dict[str, Value] = {"kind": kind, "metadata": {"name": name, **metadata}, "spec": spec}
    return Registration(f"urn:pulumi:dev::test::{type_}::{name}", type_, name, True, inputs=inputs)


def router(**annotations: Value) -> list[Registration]:
    pods: Value = {"metadata": {"labels": {"app": "router"}}}
    ports: Value = [{"port": 80}, {"port": 443}]
    balancer: Value = {"type": "LoadBalancer", "selector": {"app": "router"}, "ports": ports}
    return [
        kubernetes("Service", "router", balancer, annotations=annotations),
        kubernetes("Deployment", "router", {"replicas": 3, "template": pods}),
    ]


def service(name: str) -> Registration:
    return kubernetes("Deployment", name, {"replicas": 1}, labels={"slipway/webservice": name})


def cluster(outbound: str, **uses: Registration) -> Registration:
    profile: Value = {"networkPlugin": "azure", "networkPluginMode": "overlay", "outboundType": outbound}
    access: Value = {"authorizedIPRanges": ["203.0.113.0/24", UNKNOWN]}
    inputs: dict[str, Value] = {
        "resourceName": "test",
        "networkProfile": profile,
        "apiServerAccessProfile": access,
    }
    return azure("containerservice:ManagedCluster", "cluster", inputs, **uses)


def drawn(*registrations: Registration) -> tuple[set[tuple[str, str, str]], dict[str, str]]:
    """Read a picture: arrows as (from, label, to), and for each node the frame in which it stands."""
    return read(mermaid(Graph("test", "dev", registrations, {})))


def read(text: str) -> tuple[set[tuple[str, str, str]], dict[str, str]]:
    first, *lines = text.removesuffix("\n").split("\n")
    assert first == "flowchart LR"
    labels: dict[str, str] = {}
    frames: list[str] = [""]
    inside: dict[str, str] = {}
    arrows: set[tuple[str, str, str]] = set()
    for line in map(str.strip, lines):
        if frame := re.fullmatch(r'subgraph (n\d+)\["([^"]*)"\]', line):
            labels[frame[1]] = frame[2]
            inside[frame[2]] = frames[-1]
            frames.append(frame[2])
        elif line == "end":
            frames.pop()
        elif node := re.fullmatch(r'(n\d+)(?:\["([^"]*)"\]|\(\["([^"]*)"\]\))', line):
            labels[node[1]] = node[2] or node[3]
            inside[labels[node[1]]] = frames[-1]
        else:
            arrow = re.fullmatch(r'(n\d+) (?:-->(?:\|"([^"]+)"\|)?|(-\.-)) (n\d+)', line)
            assert arrow is not None, line
            arrows.add((labels[arrow[1]], arrow[2] or arrow[3] or "", labels[arrow[4]]))
    assert frames == [""]
    return arrows, inside


def test_when_there_is_no_azure_then_clients_reach_web_services_through_the_router() -> None:
    arrows, inside = drawn(*router(), service("a"), service("b"))
    assert arrows >= {
        ("Clients", "80, 443", "Public load balancer"),
        ("Public load balancer", "", "router<br/>3 pods"),
        ("router<br/>3 pods", "", "Web service a<br/>1 pod"),
        ("router<br/>3 pods", "", "Web service b<br/>1 pod"),
        ("All nodes and pods", "", "Internet"),
    }
    assert inside["Web service a<br/>1 pod"] == "Kubernetes"
    assert inside["Kubernetes"] == inside["Clients"] == ""


def test_when_web_services_are_many_then_they_are_one_node() -> None:
    arrows, _ = drawn(*router(), *(service(f"s{number}") for number in range(13)))
    assert ("router<br/>3 pods", "", "13 web services") in arrows
    assert not any("Web service s1<" in target for _, _, target in arrows)


def test_when_a_firewall_stands_in_the_network_then_all_that_comes_or_goes_passes_it() -> None:
    vnet = azure("network:VirtualNetwork", "v", {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}})
    subnets = {
        name: azure("network:Subnet", name, {"subnetName": name, "addressPrefix": "10.0.0.0/24"})
        for name in ("AzureFirewallSubnet", "snet-router", "snet-system")
    }
    nat: Value = {"ruleType": "NatRule", "destinationPorts": ["443"]}
    hosts: Value = {"ruleType": "ApplicationRule", "targetFqdns": ["a", "b"], "fqdnTags": ["c"]}
    collections: Value = [{"rules": [nat]}, {"rules": [hosts]}]
    firewall = azure(
        "network:AzureFirewall",
        "afw",
        {"sku": {"tier": "Premium"}},
        ipConfigurations=subnets["AzureFirewallSubnet"],
    )
    pool: Value = [{"name": "system", "count": 3, "vmSize": "Standard_D4s_v5"}]
    aks = cluster("userDefinedRouting", agentPoolProfiles=subnets["snet-system"])
    aks.inputs["agentPoolProfiles"] = pool
    annotations: dict[str, Value] = {
        f"{INTERNAL}-internal": "true",
        f"{INTERNAL}-internal-subnet": "snet-router",
        f"{INTERNAL}-ipv4": "10.0.0.10",
    }
    route: dict[str, Value] = {"nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.0.4"}
    arrows, inside = drawn(
        vnet,
        *subnets.values(),
        firewall,
        azure("network:FirewallPolicyRuleCollectionGroup", "rules", {"ruleCollections": collections}),
        azure("network:Route", "default", route),
        aks,
        *router(**annotations),
    )
    here, balancer = "Azure Firewall Premium<br/>afw", "Internal load balancer<br/>10.0.0.10"
    assert arrows >= {
        ("Clients", "443", here),
        (here, "DNAT", balancer),
        ("All nodes and pods", "0.0.0.0/0", here),
        (here, "3 allowed destinations", "Internet"),
        ("Deployers<br/>203.0.113.0/24", "", "API server"),
    }
    assert inside[here] == "AzureFirewallSubnet 10.0.0.0/24"
    assert inside[balancer] == "snet-router 10.0.0.0/24"
    assert inside["Pool system<br/>3 x Standard_D4s_v5"] == "snet-system 10.0.0.0/24"
    assert inside[inside[balancer]] == "v 10.0.0.0/16"


@pytest.mark.parametrize(
    ("outbound", "node"),
    [
        ("loadBalancer", "AKS's outbound<br/>load balancer"),
        ("managedNATGateway", "AKS's NAT gateway"),
        ("userDefinedRouting", "Firewall 10.9.0.4<br/>adopted"),
        ("userAssignedNATGateway", "NAT gateway<br/>ng"),
    ],
)
def test_when_traffic_leaves_another_way_then_it_is_named(outbound: str, node: str) -> None:
    route: dict[str, Value] = {"nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.9.0.4"}
    more = {
        "userDefinedRouting": [azure("network:Route", "default", route)],
        "userAssignedNATGateway": [azure("network:NatGateway", "ng", {})],
    }
    arrows, _ = drawn(cluster(outbound), *more.get(outbound, []))
    assert {(source, target) for source, _, target in arrows} >= {
        ("All nodes and pods", node),
        (node, "Internet"),
    }


def test_when_a_part_of_the_workspace_has_a_private_endpoint_then_data_goes_that_way() -> None:
    registry = azure("containerregistry:Registry", "r", {"registryName": "images"})
    storage = azure("storage:StorageAccount", "s", {"accountName": "data"})
    pep = azure("network:PrivateEndpoint", "pep", {}, privateLinkServiceConnections=registry)
    arrows, _ = drawn(cluster("loadBalancer"), registry, storage, pep)
    assert arrows >= {
        ("All nodes and pods", "images", "Private endpoint<br/>pep"),
        ("Private endpoint<br/>pep", "", "Registry<br/>images"),
        ("AKS's outbound<br/>load balancer", "models, data", "Storage<br/>data"),
    }


def test_when_things_are_adopted_then_they_are_drawn_by_their_ids() -> None:
    pool: dict[str, Value] = {
        "agentPoolName": "gpu",
        "vnetSubnetID": ADOPTED_SUBNET,
        "vmSize": "x",
        "count": 1,
    }
    role = azure("authorization:RoleAssignment", "pull", {"scope": ADOPTED_REGISTRY})
    arrows, inside = drawn(cluster("loadBalancer"), azure("containerservice:AgentPool", "p", pool), role)
    assert inside["Pool gpu<br/>1 x x"] == "nodes, adopted"
    assert inside["nodes, adopted"] == "vnet-hub, adopted"
    assert ("AKS's outbound<br/>load balancer", "images", "Registry<br/>shared, adopted") in arrows


def test_when_names_are_private_then_zones_and_own_records_are_shown() -> None:
    zone = azure("privatedns:PrivateZone", "z", {"privateZoneName": "example.com"})
    record: dict[str, Value] = {
        "relativeRecordSetName": "@",
        "aRecords": [{"ipv4Address": "10.0.0.10"}],
    }
    _, inside = drawn(zone, azure("privatedns:PrivateRecordSet", "r", record, privateZoneName=zone))
    assert inside["example.com<br/>@ is 10.0.0.10"] == "Private DNS zones"


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_when_labels_hold_anything_then_the_syntax_stays(
    names: list[str], pairs: list[tuple[int, int]]
) -> None:
    nodes = {str(number): name for number, name in enumerate(names)}
    arrows: list[Arrow] = [(str(source), str(target), names[0]) for source, target in pairs]
    box = Box("box", names[-1], nodes, (Box("empty", "nothing"), Box("inner", "x", {"y": "y"})))
    text = flowchart({}, [box], arrows)
    read(text)
    drawn_lines = [line for line in text.split("\n") if re.match(r"  n\d+ -->", line)]
    assert len(drawn_lines) == len({pair for pair in pairs if max(pair) < len(names)})
