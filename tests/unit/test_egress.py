"""Ways out: routes, addresses and rules of a firewall of ours, what an adopted one must do, a NAT gateway."""

from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from components.egress import public_ips
from components.firewall import Group, grouped, node_ranges
from slipway.engine import UNKNOWN, EngineError, Graph, Made, Registration
from slipway.hosts import CATALOGUE, Cloud, Destination, ModelHost, Needs, Protocol, RuleKind, required
from slipway.settings import Azure, Settings
from slipway.settings.derived import dns_servers
from slipway.settings.needs import needs
from tests.unit.azure_programs import GROUP_ID, azure, found, given, make, of, planned, realised

MODEL = ("features", "db.example.com", "looks up features", 5432)
BODY = f"""
from dataclasses import replace
from components.egress import Firewall, FirewallArgs, NatGateway, NatGatewayArgs
from slipway.hosts import ModelHost, Protocol
from slipway.settings import Settings
from slipway.settings.derived import dns_servers
from slipway.settings.needs import needs

for name, azure in stacks.items():
    if azure.egress.firewall is None:
        made = NatGateway(name, NatGatewayArgs(name, "rg", azure))
        pulumi.export(name, made.public_ips)
        continue
    asked = replace(needs(Settings(azure=azure), azure), models=(ModelHost(*{MODEL}, Protocol.TCP),))
    if name == "quiet":
        asked = replace(asked, models=(), router_ip=None)
    table = None if name == "untabled" else "rt"
    firewall = Firewall(name, FirewallArgs(name, "rg", azure, asked, "/subnet", table))
    pulumi.export(name, {{"rules": firewall.rules, "public_ips": firewall.public_ips}})
    # stands for a cluster
    az.network.RouteTable(f"{{name}}-after", resource_group_name="rg",
        opts=pulumi.ResourceOptions(depends_on=firewall.ready))
"""
REAL = """
from components.egress import Firewall, FirewallArgs, NatGateway, NatGatewayArgs
from components.network import Network, NetworkArgs
from slipway.settings import Settings
from slipway.settings.derived import dns_servers
from slipway.settings.needs import needs

group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
gateway = NatGateway("nat", NatGatewayArgs("nat", group.name, stacks["nat"]))
Network("nat", NetworkArgs("nat", group.name, stacks["nat"], nat_gateway_id=gateway.id))
for name in ("ours", "exact"):
    azure = stacks[name]
    network = Network(name, NetworkArgs(name, group.name, azure, dns_servers(azure)))
    asked = needs(Settings(azure=azure), azure)
    table = network.route_table.name
    Firewall(name, FirewallArgs(name, group.name, azure, asked, network.subnet_ids["firewall"], table))
"""
HUB = f"{GROUP_ID}/providers/Microsoft.Network/azureFirewalls/hub"


def routed(**firewall: Any) -> dict[str, Any]:
    return {"outbound_type": "userDefinedRouting", "firewall": firewall}


STACKS = {
    "ours": azure(egress=routed()),
    "exact": azure(
        egress=routed(aks_rules="exact", zones=["1", "2"], public_ips=2, sku="Premium"),
        dns={"servers": ["10.9.0.4", "10.9.0.5"]},
        cluster={"name": "aks", "pools": [{"name": "services"}]},
    ),
    "quiet": azure(egress=routed(public_ips=1)),
    "untabled": azure(egress=routed(public_ips=1)),
    "hub": azure(egress=routed(id=HUB, private_ip="10.1.0.4", public_ip="203.0.113.9")),
    "other": azure(egress=routed(private_ip="10.1.0.4")),
    "nat": azure(egress={"outbound_type": "userAssignedNATGateway", "public_ips": 3}),
}
FIXED = azure(egress=routed(), network={"subnets": {"firewall": {"prefix": "10.224.9.0/26"}}})
DNAT, NETWORK, APPLICATION = "dnat", "network", "application"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return planned(tmp_path_factory.mktemp("egress"), STACKS, BODY)


def rules(graph: Graph, stack: str) -> dict[str, list[dict[str, Any]]]:
    """Give a firewall's rules by group."""
    groups = of(graph, "FirewallPolicyRuleCollectionGroup", f"{stack}-")
    return {
        str(group.inputs["ruleCollectionGroupName"]): [
            rule for collection in collections(group) for rule in collection["rules"]
        ]
        for group in groups
    }


def collections(group: Registration) -> list[dict[str, Any]]:
    found: Any = group.inputs["ruleCollections"]
    return found


def before(graph: Graph, one: Registration) -> Iterator[Registration]:
    """Give all that must be there before a resource."""
    for urn in one.dependencies:
        yield graph[urn]
        yield from before(graph, graph[urn])


def needs_of(stack: str) -> Needs:
    section = Azure.model_validate(STACKS[stack])
    return needs(Settings(azure=section), section)


def test_everything_leaves_by_the_firewall_but_what_is_for_itself(graph: Graph) -> None:
    default = given(graph, "ours-default")
    assert default["addressPrefix"] == "0.0.0.0/0"
    assert default["nextHopType"] == "VirtualAppliance"
    subnet = Azure.model_validate(STACKS["ours"])
    assert default["nextHopIpAddress"] == dns_servers(subnet)[0]
    itself = found(graph, "ours-itself")
    assert (itself.inputs["nextHopType"], itself.inputs["addressPrefix"]) == ("Internet", UNKNOWN)
    assert itself.property_dependencies["addressPrefix"] == (found(graph, "ours-1").urn,)
    assert default["routeTableName"] == itself.inputs["routeTableName"] == "rt"


def test_without_a_table_of_ours_the_routes_are_its_owners(graph: Graph) -> None:
    assert not of(graph, "Route", "untabled-")
    assert of(graph, "AzureFirewall", "untabled")


@pytest.mark.parametrize("stack", ["ours", "exact", "quiet"])
def test_rule_groups_follow_each_other_and_the_firewall_comes_last(graph: Graph, stack: str) -> None:
    groups = of(graph, "FirewallPolicyRuleCollectionGroup", f"{stack}-")
    groups.sort(key=lambda group: len(list(before(graph, group))))
    for first, second in pairwise(groups):
        assert first.urn in second.dependencies
    firewall = found(graph, stack, ":AzureFirewall")
    assert groups[-1].urn in firewall.dependencies


def test_what_waits_for_a_firewall_finds_it_with_its_rules_and_routes(graph: Graph) -> None:
    first = {one.name for one in before(graph, found(graph, "ours-after"))}
    assert first >= {"ours", "ours-default", "ours-itself", "ours-dnat", "ours-network", "ours-application"}


def test_priorities_say_the_order_in_which_azure_looks_at_rules(graph: Graph) -> None:
    groups = of(graph, "FirewallPolicyRuleCollectionGroup", "ours-")
    found = {str(one.inputs["ruleCollectionGroupName"]): one.inputs["priority"] for one in groups}
    assert found == {DNAT: 100, NETWORK: 200, APPLICATION: 300}
    assert sorted(Group) == [Group.DNAT, Group.NETWORK, Group.APPLICATION]
    for group in groups:
        (collection,) = collections(group)
        assert collection["priority"] == group.inputs["priority"]


def test_a_group_without_rules_is_not_made(graph: Graph) -> None:
    assert rules(graph, "quiet").keys() == {APPLICATION}
    assert not any(not group for stack in STACKS for group in rules(graph, stack).values())


def test_each_required_host_is_a_rule_that_says_why_and_no_other_is(graph: Graph) -> None:
    for stack in ("ours", "exact"):
        wanted = required(needs_of(stack), fqdn_tag=stack == "ours")
        named = {one.name: one for one in wanted if one.kind is not RuleKind.NONE}
        written = {rule["name"]: rule for group in rules(graph, stack).values() for rule in group}
        assert written.keys() - named.keys() == {"tcp-5432-db.example.com"}
        assert named.keys() <= written.keys()
        for name, one in named.items():
            assert one.why in written[name]["description"]
            assert one.source in written[name]["description"]


def test_an_aks_tag_or_each_host_by_name_is_a_choice(graph: Graph) -> None:
    def tags(stack: str) -> list[Any]:
        return [rule["fqdnTags"] for rule in rules(graph, stack)[APPLICATION] if "fqdnTags" in rule]

    assert tags("ours") == [["AzureKubernetesService"]]
    assert tags("exact") == []
    exact = [host for rule in rules(graph, "exact")[APPLICATION] for host in rule["targetFqdns"]]
    assert {"*.hcp.westeurope.azmk8s.io", "management.azure.com"} <= set(exact)


def test_a_rule_is_written_as_azure_takes_it(graph: Graph) -> None:
    exact = {rule["name"]: rule for group in rules(graph, "exact").values() for rule in group}
    nodes = node_ranges(Azure.model_validate(STACKS["exact"]))
    for rule in exact.values():
        rule.pop("description")
    assert exact["http-80-security.ubuntu.com"] == {
        "ruleType": "ApplicationRule",
        "name": "http-80-security.ubuntu.com",
        "sourceAddresses": nodes,
        "protocols": [{"protocolType": "Http", "port": 80}],
        "targetFqdns": ["security.ubuntu.com"],
    }
    assert exact["tcp-5432-db.example.com"] == {
        "ruleType": "NetworkRule",
        "name": "tcp-5432-db.example.com",
        "sourceAddresses": nodes,
        "ipProtocols": ["TCP"],
        "destinationFqdns": ["db.example.com"],
        "destinationPorts": ["5432"],
    }
    assert exact["udp-53-10.9.0.4"]["destinationAddresses"] == ["10.9.0.4"]
    router = needs_of("exact").router_ip
    assert exact[f"tcp-443-{router}"] == {
        "ruleType": "NatRule",
        "name": f"tcp-443-{router}",
        "sourceAddresses": ["*"],
        "ipProtocols": ["TCP"],
        "destinationAddresses": [UNKNOWN],
        "destinationPorts": ["443"],
        "translatedAddress": router,
        "translatedPort": "443",
    }


def test_dnat_leads_from_the_first_public_address_to_the_router(graph: Graph) -> None:
    ports = {str(rule["translatedPort"]) for rule in rules(graph, "exact")[DNAT]}
    assert ports == {"80", "443"}
    group = found(graph, "exact-dnat")
    assert found(graph, "exact-1").urn in group.property_dependencies["ruleCollections"]
    assert found(graph, "exact-2").urn not in group.property_dependencies["ruleCollections"]


def test_the_firewall_answers_for_dns_and_asks_the_servers_of_ones_own(graph: Graph) -> None:
    assert given(graph, "ours-policy")["dnsSettings"] == {"enableProxy": True}
    asked = {"enableProxy": True, "servers": ["10.9.0.4", "10.9.0.5"]}
    assert given(graph, "exact-policy")["dnsSettings"] == asked


def test_names_of_azure_follow_the_cloud_adoption_framework(graph: Graph) -> None:
    assert given(graph, "exact", ":AzureFirewall")["azureFirewallName"] == "afw-exact"
    assert given(graph, "exact-policy")["firewallPolicyName"] == "afwp-exact"
    assert given(graph, "nat", "network:NatGateway")["natGatewayName"] == "ng-nat"
    addresses = [str(one.inputs["publicIpAddressName"]) for one in of(graph, "PublicIPAddress", "exact-")]
    assert addresses == ["pip-exact-firewall-1", "pip-exact-firewall-2"]


def test_zones_and_tier_are_the_firewalls_and_addresses_are_in_all_zones(graph: Graph) -> None:
    firewall = given(graph, "exact", ":AzureFirewall")
    assert firewall["zones"] == ["1", "2"]
    assert firewall["sku"] == {"name": "AZFW_VNet", "tier": "Premium"}
    assert given(graph, "exact-policy")["sku"] == {"tier": "Premium"}
    assert given(graph, "exact-1")["zones"] == ["1", "2", "3"]
    assert "zones" not in given(graph, "ours-1")


def test_every_public_address_is_the_firewalls_and_the_first_says_where_it_stands(graph: Graph) -> None:
    configurations = given(graph, "exact", ":AzureFirewall")["ipConfigurations"]
    assert [one.get("subnet") for one in configurations] == [{"id": "/subnet"}, None]
    firewall = found(graph, "exact", ":AzureFirewall")
    addresses = {one.urn for one in of(graph, "PublicIPAddress", "exact-")}
    assert len(addresses) == 2
    assert addresses <= set(firewall.property_dependencies["ipConfigurations"])


def test_an_adopted_firewall_gets_routes_and_its_owner_a_table(graph: Graph) -> None:
    made = {one.name for one in graph.registrations if one.custom and one.name.startswith("hub-")}
    assert made == {"hub-default", "hub-itself", "hub-after"}
    assert given(graph, "hub-default")["nextHopIpAddress"] == "10.1.0.4"
    assert given(graph, "hub-itself")["addressPrefix"] == "203.0.113.9/32"
    outputs = graph.outputs["hub"]
    assert isinstance(outputs, dict)
    assert outputs["public_ips"] == ["203.0.113.9"]
    table = str(outputs["rules"])
    assert "AzureKubernetesService" in table
    assert "db.example.com" in table


def test_a_firewall_of_another_maker_is_told_no_tags_of_azures(graph: Graph) -> None:
    outputs = graph.outputs["other"]
    assert isinstance(outputs, dict)
    assert outputs["public_ips"] == []
    assert "AzureKubernetesService" not in str(outputs["rules"])
    assert "*.hcp.westeurope.azmk8s.io" in str(outputs["rules"])
    assert not [one for one in of(graph, "Route", "other-") if one.name == "other-itself"]


def test_a_nat_gateway_has_the_addresses_that_are_asked_for(graph: Graph) -> None:
    gateway, addresses = found(graph, "nat", "network:NatGateway"), of(graph, "PublicIPAddress", "nat-")
    assert [one.inputs["publicIPAllocationMethod"] for one in addresses] == ["Static"] * 3
    behind = set(gateway.property_dependencies["publicIpAddresses"])
    assert behind == {one.urn for one in addresses}
    assert graph.outputs["nat"] == [UNKNOWN] * 3


def test_azure_takes_it_and_gives_the_firewall_the_address_that_routes_name(tmp_path: Path) -> None:
    graph = realised(tmp_path, STACKS, REAL)
    planned = given(graph, "ours-default")["nextHopIpAddress"]
    assert found(graph, "ours", ":Firewall").outputs["private_ip"] == planned
    made: Any = found(graph, "ours", ":AzureFirewall").outputs["ipConfigurations"]
    assert made[0]["privateIPAddress"] == planned
    assert given(graph, "ours", ":VirtualNetwork")["dhcpOptions"] == {"dnsServers": [planned]}


def moved(registration: Registration) -> Made | None:
    """Make resources as Azure does, but for a firewall that gets the next address."""
    answer = make(registration)
    if answer is not None and registration.type.endswith(":AzureFirewall"):
        configurations: Any = answer.outputs["ipConfigurations"]
        configurations[0]["privateIPAddress"] = "10.224.200.5"
    return answer


def test_when_azure_gives_the_firewall_another_address_then_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Azure gave the firewall 10\.224\.200\.5, and routes lead to 10"):
        realised(tmp_path, STACKS, REAL, resolve=moved)


@pytest.mark.parametrize(
    ("section", "servers"),
    [
        (azure(), ()),
        (azure(dns={"servers": ["10.9.0.4"]}), ("10.9.0.4",)),
        (azure(egress=routed(private_ip="10.1.0.4"), dns={"servers": ["10.9.0.4"]}), ("10.9.0.4",)),
        (azure(egress=routed(private_ip="10.1.0.4")), ()),
        (FIXED, ("10.224.9.4",)),
    ],
)
def test_the_network_asks_a_firewall_of_ours_for_names_or_the_servers_of_ones_own(
    section: dict[str, Any], servers: tuple[str, ...]
) -> None:
    assert dns_servers(Azure.model_validate(section)) == servers


@given_any(
    purpose=st.sampled_from(["FastProd", "DevTest"]),
    pools=st.lists(st.integers(1, 1000), max_size=3),
    system=st.integers(1, 1000),
    firewall=st.booleans(),
)
def test_the_public_addresses_carry_the_connections_of_all_nodes(
    purpose: str, pools: list[int], system: int, *, firewall: bool
) -> None:
    cluster = {
        "name": "aks",
        "cluster_purpose": purpose,
        "system_pool": {"name": "system", "count": system},
        "pools": [{"name": f"pool{number}", "count": count} for number, count in enumerate(pools)],
    }
    egress = routed() if firewall else {"outbound_type": "userAssignedNATGateway"}
    count = public_ips(Azure.model_validate(azure(cluster=cluster, egress=egress)))
    nodes = system + sum(pools) + 1 + len(pools)  # one of each pool while it is upgraded
    ports, least, most = (4992, 20 if purpose == "FastProd" else 1, 250) if firewall else (64_512, 1, 16)
    assert count == min(most, max(least, ceil(nodes * 1024 / ports)))


@pytest.mark.parametrize(
    "egress", [routed(public_ips=7), {"outbound_type": "userAssignedNATGateway", "public_ips": 7}]
)
def test_a_number_of_addresses_in_the_stack_file_wins(egress: dict[str, Any]) -> None:
    assert public_ips(Azure.model_validate(azure(egress=egress))) == 7


@given_any(st.data())
def test_each_host_that_passes_a_firewall_is_in_the_one_group_of_its_kind(data: st.DataObject) -> None:
    cloud = data.draw(st.sampled_from(list(Cloud)))
    known = sorted({entry.feature for entry in CATALOGUE if cloud in entry.clouds})
    hosts = required(
        Needs(
            cloud,
            "westeurope",
            data.draw(st.frozensets(st.sampled_from(known))),
            registry="r",
            storage="s",
            vault="v",
            api_server_ip="20.1.2.3",
            router_name="label",
            router_ip="10.0.0.9",
            dns_servers=("10.9.0.4",),
            models=(ModelHost("a", "a.example.com", "why", data.draw(st.sampled_from([443, 8443]))),),
        ),
        fqdn_tag=data.draw(st.booleans()),
    )
    groups = grouped(hosts)
    assert list(groups) == sorted(groups)
    assert all(groups.values())
    passing = [one for one in hosts if one.kind is not RuleKind.NONE]
    assert sorted(map(id, passing)) == sorted(id(one) for group in groups.values() for one in group)
    names = [one.name for one in passing]
    assert len(set(names)) == len(names)
    for one in groups.get(Group.NETWORK, []):
        assert not (one.destination is Destination.FQDN and "*" in one.host)
    assert all(one.protocol in {Protocol.HTTP, Protocol.HTTPS} for one in groups.get(Group.APPLICATION, []))


def test_rules_are_for_the_nodes_alone_and_for_the_network_where_their_range_is_not_told() -> None:
    pools = {"name": "aks", "pools": [{"name": "services"}]}
    two = node_ranges(Azure.model_validate(azure(cluster=pools)))
    assert len(two) == 2
    assert node_ranges(Azure.model_validate(azure())) == two[:1]
    vnet = f"{GROUP_ID}/providers/Microsoft.Network/virtualNetworks/v"
    adopted = {"id": vnet, "subnets": {"system": {"id": f"{vnet}/subnets/nodes"}}}
    assert node_ranges(Azure.model_validate(azure(network=adopted))) == ["10.224.0.0/16"]
