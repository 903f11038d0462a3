"""The network: where nodes stand, who may enter there, what is made one after another, what is adopted."""

from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from components.network import Inbound, InboundRule, inbound, needs_route_table
from slipway.engine import UNKNOWN, Graph, Registration
from slipway.settings import Azure, Settings
from slipway.settings.derived import public_ports
from tests.unit.azure_programs import GROUP_ID, azure, found, given, of, planned, realised

BODY = """
from components.network import Network, NetworkArgs

for name, azure in stacks.items():
    more = {"gateway": dict(nat_gateway_id="/ng"), "proxy": dict(dns_servers=("10.224.8.4",))}.get(name, {})
    network = Network(name, NetworkArgs(name, "rg", azure, **more))
    pulumi.export(name, network.subnet_ids | {"vnet": network.vnet_id})
"""
REAL = """
from components.network import Network, NetworkArgs

group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
for name in ("kubenet", "firewall", "everything"):
    made = Network(name, NetworkArgs(name, group.name, stacks[name]))
    pulumi.export(name, made.subnet_ids)
"""
VNET = f"{GROUP_ID.removesuffix('rg')}hub/providers/Microsoft.Network/virtualNetworks/shared"
POOLS = {"name": "aks", "pools": [{"name": "services"}]}
ROUTED = {"outbound_type": "userDefinedRouting"}
CLOSED = {"name": "workspace", "storage": {"private_endpoint": True}}
STACKS = {
    "overlay": azure(),
    "kubenet": azure(network={"model": "kubenet"}, cluster=POOLS),
    "cni": azure(network={"model": "azure", "address_space": "10.0.0.0/8"}, cluster=POOLS),
    "gateway": azure(egress={"outbound_type": "userAssignedNATGateway"}, cluster=POOLS),
    "firewall": azure(egress=ROUTED, cluster=POOLS),
    "proxy": azure(egress=ROUTED),
    "everything": azure(egress=ROUTED, cluster=POOLS, workspace=CLOSED),
    "adopted": azure(
        egress=ROUTED,
        network={
            "id": VNET,
            "subnets": {
                "system": {"id": f"{VNET}/subnets/nodes", "size": "10.224.0.0/22"},
                "router": {"id": f"{VNET}/subnets/lb", "size": "10.224.4.0/24"},
                "firewall": {"id": f"{VNET}/subnets/AzureFirewallSubnet", "size": "10.224.5.0/26"},
            },
        },
    ),
    "half": azure(
        egress={"outbound_type": "userDefinedRouting", "firewall": {"private_ip": "10.1.0.4"}},
        cluster=POOLS,
        network={
            "id": VNET,
            "subnets": {
                "system": {"id": f"{VNET}/subnets/nodes"},
                "user": {"prefix": "10.224.8.0/22"},
                "router": {"prefix": "10.224.4.0/24"},
            },
        },
    ),
}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return planned(tmp_path_factory.mktemp("networks"), STACKS, BODY)


def subnets(graph: Graph, stack: str) -> dict[str, Registration]:
    """Give the subnets of a stack by role."""
    return {one.name.removeprefix(f"{stack}-"): one for one in of(graph, "Subnet", f"{stack}-")}


def before(graph: Graph, one: Registration) -> Iterator[Registration]:
    """Give all that must be there before a resource."""
    for urn in one.dependencies:
        yield graph[urn]
        yield from before(graph, graph[urn])


def behind(graph: Graph, one: Registration, name: str) -> list[Registration]:
    """Give the resources of which an input is made."""
    return [graph[urn] for urn in one.property_dependencies.get(name, ())]


def test_each_subnet_is_made_after_the_one_before_it(graph: Graph) -> None:
    made = sorted(of(graph, "Subnet", "everything-"), key=lambda one: len(list(before(graph, one))))
    assert len(made) == 5
    for first, second in pairwise(made):
        assert first.urn in second.dependencies


def test_subnets_and_routes_are_never_lists_inside_another_resource(graph: Graph) -> None:
    assert not any("subnets" in one.inputs for one in of(graph, "VirtualNetwork"))
    assert not any("routes" in one.inputs for one in of(graph, "RouteTable"))
    assert of(graph, "RouteTable")


def test_names_and_ranges_are_known_before_anything_exists(graph: Graph) -> None:
    assert given(graph, "everything", ":VirtualNetwork")["virtualNetworkName"] == "vnet-everything"
    assert given(graph, "everything-nodes")["routeTableName"] == "rt-everything-nodes"
    groups = of(graph, "NetworkSecurityGroup", "everything-")
    names = {str(one.inputs["networkSecurityGroupName"]) for one in groups}
    assert names == {"nsg-everything-system", "nsg-everything-user"}
    named = {role: str(one.inputs["subnetName"]) for role, one in subnets(graph, "everything").items()}
    assert named == {
        "system": "snet-system",
        "user": "snet-user",
        "router": "snet-router",
        "firewall": "AzureFirewallSubnet",
        "private_endpoints": "snet-private-endpoints",
    }
    ranges = [IPv4Network(str(one.inputs["addressPrefix"])) for one in subnets(graph, "everything").values()]
    assert all(one.subnet_of(IPv4Network("10.224.0.0/16")) for one in ranges)


@pytest.mark.parametrize("stack", ["kubenet", "firewall"])
def test_where_routes_are_needed_then_all_node_subnets_have_the_one_table_of_the_cluster(
    graph: Graph, stack: str
) -> None:
    (table,) = of(graph, "RouteTable", f"{stack}-")
    assert "disableBgpRoutePropagation" not in table.inputs
    of_role = {role: behind(graph, one, "routeTable") for role, one in subnets(graph, stack).items()}
    assert of_role["system"] == of_role["user"] == [table]
    assert not any(tables for role, tables in of_role.items() if role not in {"system", "user"})


@pytest.mark.parametrize("stack", ["overlay", "cni", "gateway"])
def test_where_no_routes_are_needed_then_there_is_no_table(graph: Graph, stack: str) -> None:
    assert not of(graph, "RouteTable", f"{stack}-")
    assert not any("routeTable" in one.inputs for one in subnets(graph, stack).values())


def test_a_nat_gateway_is_given_to_the_subnets_of_nodes_alone(graph: Graph) -> None:
    gateways = {role: one.inputs.get("natGateway") for role, one in subnets(graph, "gateway").items()}
    assert gateways == {"system": {"id": "/ng"}, "user": {"id": "/ng"}, "router": None}
    assert not any("natGateway" in one.inputs for one in subnets(graph, "overlay").values())


def test_each_node_subnet_has_a_security_group_of_its_own_and_no_other_subnet_has_one(graph: Graph) -> None:
    groups = {
        role: [group.name for group in behind(graph, one, "networkSecurityGroup")]
        for role, one in subnets(graph, "everything").items()
    }
    assert {role: names for role, names in groups.items() if names} == {
        "system": ["everything-system"],
        "user": ["everything-user"],
    }


def test_the_network_asks_the_dns_servers_that_are_given_or_azures(graph: Graph) -> None:
    asked = given(graph, "proxy", ":VirtualNetwork")["dhcpOptions"]
    assert asked == {"dnsServers": ["10.224.8.4"]}
    assert "dhcpOptions" not in given(graph, "overlay", ":VirtualNetwork")


def test_when_everything_is_adopted_then_nothing_is_made(graph: Graph) -> None:
    assert [one.name for one in graph.registrations if one.custom and one.name.startswith("adopted")] == []
    assert graph.outputs["adopted"] == {
        "vnet": VNET,
        "system": f"{VNET}/subnets/nodes",
        "router": f"{VNET}/subnets/lb",
        "firewall": f"{VNET}/subnets/AzureFirewallSubnet",
    }


def test_when_a_range_of_an_adopted_network_is_given_then_the_subnet_is_made_there(graph: Graph) -> None:
    assert subnets(graph, "half").keys() == {"user", "router"}
    user = given(graph, "half-user", ":Subnet")
    place = {name: user[name] for name in ("resourceGroupName", "virtualNetworkName", "addressPrefix")}
    assert place == {
        "resourceGroupName": "hub",
        "virtualNetworkName": "shared",
        "addressPrefix": "10.224.8.0/22",
    }
    assert behind(graph, found(graph, "half-user", ":Subnet"), "routeTable")
    outputs = graph.outputs["half"]
    assert isinstance(outputs, dict)
    assert outputs["system"] == f"{VNET}/subnets/nodes"
    assert outputs["user"] is UNKNOWN


def test_azure_takes_it(tmp_path: Path) -> None:
    outputs = realised(tmp_path, STACKS, REAL).outputs
    for stack in ("kubenet", "firewall", "everything"):
        ids = outputs[stack]
        assert isinstance(ids, dict)
        network = f"{GROUP_ID}/providers/Microsoft.Network/virtualNetworks/vnet-{stack}/subnets/"
        assert all(str(identity).startswith(network) for identity in ids.values())


def settings(**router: Any) -> Settings:
    egress = {"egress": router.pop("egress")} if "egress" in router else {}
    return Settings.model_validate({"azure": azure(**egress), "router": router})


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        (settings(), (80,)),
        (settings(tls={"leaf_domain_label": "models", "http": "serve"}), (80,)),
        (settings(tls={"leaf_domain_label": "models", "secrets": ["a"]}), (80, 443)),
        (settings(tls={"domains": ["models.example.com"], "secrets": ["a"]}), (80, 443)),
        (settings(tls={"domains": ["models.example.com"], "secrets": ["a"]}, internal=True), ()),
        (settings(egress=ROUTED), ()),
        (settings(service_type="ClusterIP"), ()),
    ],
)
def test_the_internet_reaches_the_ports_of_a_public_router_and_no_others(
    given: Settings, ports: tuple[int, ...]
) -> None:
    assert public_ports(given) == ports


def rules(ports: tuple[int, ...] = (), **network: Any) -> dict[str, InboundRule]:
    of_node = inbound(Azure.model_validate(azure(network=network)), ports)
    return {rule.name: rule for rule in of_node}


def test_only_the_router_is_open_to_the_internet_and_only_if_its_load_balancer_is_public() -> None:
    assert rules(model="azure") == {}
    (router,) = rules((80, 443), model="azure").values()
    assert (router.sources, router.ports) == (("Internet",), (80, 443))


@pytest.mark.parametrize("model", ["kubenet", "overlay"])
def test_pods_with_a_range_of_their_own_are_let_in(model: str) -> None:
    pods = rules(model=model, pod_cidr="10.99.0.0/16")["AllowPods"]
    both = {"10.224.0.0/16", "10.99.0.0/16"}
    assert (set(pods.sources), set(pods.destinations), pods.ports) == (both, both, ())


def test_security_rules_reach_azure_as_they_were_decided(graph: Graph) -> None:
    (pods,) = given(graph, "overlay-system", ":NetworkSecurityGroup")["securityRules"]
    assert pods == {
        "name": "AllowPods",
        "description": "nodes and pods talk to each other",
        "priority": 100,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "*",
        "sourcePortRange": "*",
        "sourceAddressPrefixes": ["10.224.0.0/16", "10.244.0.0/16"],
        "destinationAddressPrefixes": ["10.224.0.0/16", "10.244.0.0/16"],
        "destinationPortRange": "*",
    }


@given_any(
    model=st.sampled_from(["kubenet", "azure", "overlay"]),
    ports=st.lists(st.sampled_from([80, 443]), unique=True).map(tuple),
)
def test_no_rule_opens_to_anyone_but_the_routers_and_priorities_are_azures(
    model: str, ports: tuple[int, ...]
) -> None:
    network = {"network": {"model": model, "network_policy": "calico"}}
    found = inbound(Azure.model_validate(azure(**network)), ports)
    priorities = [rule.priority for rule in found]
    assert len(set(priorities)) == len(priorities)
    assert all(100 <= priority <= 4096 for priority in Inbound)
    for rule in found:
        public = not all("/" in source and ip_network(source).is_private for source in rule.sources)
        assert public == (rule.priority is Inbound.ROUTER)
        assert len(rule.why) <= 140  # Azure's limit


@pytest.mark.parametrize(
    ("model", "outbound", "needed"),
    [
        ("kubenet", "loadBalancer", True),
        ("kubenet", "userDefinedRouting", True),
        ("overlay", "userDefinedRouting", True),
        ("azure", "userDefinedRouting", True),
        ("overlay", "loadBalancer", False),
        ("azure", "userAssignedNATGateway", False),
    ],
)
def test_kubenet_and_a_firewall_ask_for_routes(model: str, outbound: str, *, needed: bool) -> None:
    given = azure(network={"model": model}, egress={"outbound_type": outbound})
    assert needs_route_table(Azure.model_validate(given)) is needed
