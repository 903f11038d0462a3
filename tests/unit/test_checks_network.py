"""Address ranges and what is adopted: values just inside pass, those just outside are one line."""

from typing import Any

import pytest

from tests.unit.azure_stacks import (
    CLUSTER,
    PREMIUM,
    ROUTED,
    VNET,
    check,
    merged,
    net,
    pool,
    pools,
    subnet,
    subnet_id,
)

Change = dict[str, Any]


def adopted(**subnets: dict[str, str]) -> Change:
    given = {"system": {"id": subnet_id("system")}} | subnets
    return net(id=VNET, address_space="10.224.0.0/16", subnets=given)


ENDPOINTS: Change = {"workspace": {"registry": PREMIUM, "storage": PREMIUM}}
RANGES: list[tuple[Change, Change, str, str]] = [
    (
        net(address_space="10.1.0.0/16"),
        net(address_space="10.0.0.0/16"),
        "azure.network.address_space = 10.0.0.0/16 overlaps service_cidr = 10.0.0.0/16",
        "move one of the two",
    ),
    (
        net(pod_cidr="10.225.0.0/16"),
        net(pod_cidr="10.224.128.0/17"),
        "azure.network.address_space = 10.224.0.0/16 overlaps pod_cidr = 10.224.128.0/17",
        "move one of the two",
    ),
    (
        net(pod_cidr="10.1.0.0/16"),
        net(pod_cidr="10.0.128.0/17"),
        "azure.network.service_cidr = 10.0.0.0/16 overlaps pod_cidr = 10.0.128.0/17",
        "move one of the two",
    ),
    (
        merged(subnet("system", "10.224.64.0/22"), subnet("router", "10.224.68.0/24")),
        merged(subnet("system", "10.224.64.0/22"), subnet("router", "10.224.67.0/24")),
        "azure.network.subnets.system = 10.224.64.0/22 overlaps subnets.router = 10.224.67.0/24",
        "move one of the two",
    ),
    (
        net(service_cidr="172.29.0.0/16", dns_service_ip="172.29.0.10"),
        net(service_cidr="172.30.0.0/16", dns_service_ip="172.30.0.10"),
        "azure.network.service_cidr = 172.30.0.0/16 overlaps 172.30.0.0/16, which AKS keeps",
        "choose another range",
    ),
    (
        net(pod_cidr="172.28.0.0/15"),
        net(pod_cidr="172.28.0.0/14"),
        "azure.network.pod_cidr = 172.28.0.0/14 overlaps 172.30.0.0/16 and 172.31.0.0/16",
        "choose another range",
    ),
    (
        net(pod_cidr="192.0.4.0/22"),
        net(pod_cidr="192.0.0.0/22"),
        "azure.network.pod_cidr = 192.0.0.0/22 overlaps 192.0.2.0/24",
        "choose another range",
    ),
    (
        net(address_space="169.253.0.0/16"),
        net(address_space="169.254.0.0/16"),
        "azure.network.address_space = 169.254.0.0/16 overlaps 169.254.0.0/16",
        "choose another range",
    ),
    (
        net(address_space="223.0.0.0/8"),
        net(address_space="224.0.0.0/8"),
        "azure.network.address_space = 224.0.0.0/8 overlaps 224.0.0.0/4, which no network can have",
        "choose another range",
    ),
    (
        net(service_cidr="16.0.0.0/13", dns_service_ip="16.0.0.10"),
        net(service_cidr="16.0.0.0/12", dns_service_ip="16.0.0.10"),
        "azure.network.service_cidr = 16.0.0.0/12 is too large",
        "choose a /16",
    ),
    (
        net(service_cidr="10.0.0.0/28", dns_service_ip="10.0.0.10"),
        net(service_cidr="10.0.0.0/29", dns_service_ip="10.0.0.5"),
        "azure.network.service_cidr = 10.0.0.0/29 has 8 addresses",
        "choose a /24 or larger",
    ),
    (
        net(dns_service_ip="10.0.0.2"),
        net(dns_service_ip="10.0.0.1"),
        "azure.network.dns_service_ip = 10.0.0.1 is not free in service_cidr = 10.0.0.0/16",
        "such as 10.0.0.10",
    ),
    (
        net(dns_service_ip="10.0.255.254"),
        net(dns_service_ip="10.0.255.255"),
        "azure.network.dns_service_ip = 10.0.255.255 is not free",
        "such as 10.0.0.10",
    ),
    (
        net(dns_service_ip="10.0.255.254"),
        net(dns_service_ip="10.1.0.0"),
        "azure.network.dns_service_ip = 10.1.0.0 is not free",
        "such as 10.0.0.10",
    ),
    (
        subnet("system", "10.224.252.0/22"),
        subnet("system", "10.225.0.0/22"),
        "azure.network.subnets.system = 10.225.0.0/22 is outside address_space = 10.224.0.0/16",
        "choose a range inside",
    ),
    (
        merged(net(address_space="10.224.0.0/17"), pools(pool())),
        merged(net(address_space="10.224.0.0/18"), pools(pool())),
        "azure.network.address_space = 10.224.0.0/18 has no room for the subnets of system (/22) and router",
        "enlarge it",
    ),
    (
        net(address_space="10.224.0.0/21"),
        net(address_space="10.224.0.0/22"),
        "azure.network.address_space = 10.224.0.0/22 has no room for the subnets of router (/24)",
        "enlarge it",
    ),
    (
        merged(ROUTED, subnet("firewall", "10.224.200.0/26")),
        merged(ROUTED, subnet("firewall", "10.224.200.0/27")),
        "azure.network.subnets.firewall = 10.224.200.0/27 is too small for a firewall",
        "give a /26",
    ),
    (
        merged(ROUTED, subnet("router", "10.224.200.0/28")),
        merged(ROUTED, subnet("router", "10.224.200.0/29")),
        "azure.network.subnets.router = 10.224.200.0/29 is too small for the router",
        "give a /28 or larger",
    ),
    (
        merged(ENDPOINTS, subnet("private_endpoints", "10.224.200.0/29")),
        merged(
            merged(ENDPOINTS, {"workspace": {"key_vault": PREMIUM}}),
            subnet("private_endpoints", "10.224.200.0/29"),
        ),
        "azure.network.subnets.private_endpoints = 10.224.200.0/29 has 3 addresses",
        "need 4: give a /28 or larger",
    ),
    (
        merged(pools(pool()), subnet("user", "10.224.0.0/20")),
        subnet("user", "10.224.0.0/20"),
        "azure.network.subnets.user is given, and there are no pools",
        "remove it",
    ),
    (
        merged(ROUTED, subnet("firewall", "10.224.200.0/26")),
        subnet("firewall", "10.224.200.0/26"),
        "azure.network.subnets.firewall is given, and there is no firewall of ours",
        "remove it",
    ),
]


@pytest.mark.parametrize(("inside", "outside", "start", "remedy"), RANGES)
def test_ranges_lie_apart_inside_and_are_large_enough(
    inside: Change, outside: Change, start: str, remedy: str
) -> None:
    check(inside, outside, start, remedy)


ADOPTED: list[tuple[Change, Change, str, str]] = [
    (
        adopted(),
        net(id=VNET, subnets={"system": {"id": subnet_id("system")}}),
        "azure.network.address_space is not given, and azure.network.id is",
        "against which the others are checked",
    ),
    (
        adopted(user={"prefix": "10.224.8.0/22"}) | pools(pool()),
        adopted() | pools(pool()),
        "azure.network.subnets.user is not given, and azure.network.id is",
        "give prefix (a free range of that network), or id",
    ),
    (
        adopted(system={"id": subnet_id("system"), "size": "10.224.8.0/22"}),
        adopted(system={"id": subnet_id("system"), "size": "10.225.8.0/22"}),
        "azure.network.subnets.system = 10.225.8.0/22 is outside address_space = 10.224.0.0/16",
        "say the network's own range in address_space",
    ),
    (
        adopted(router={"id": subnet_id("router"), "size": "10.224.8.0/24"}),
        adopted(router={"id": subnet_id("router")}),
        "azure.network.subnets.router.id = ",
        "give size",
    ),
    (
        adopted(router={"prefix": "10.224.8.0/24"}),
        adopted(),
        "azure.network.subnets.router is not given, and the router's load balancer is internal",
        "give prefix, or id and size",
    ),
]


@pytest.mark.parametrize(("inside", "outside", "start", "remedy"), ADOPTED)
def test_what_is_adopted_says_what_follows_from_it(
    inside: Change, outside: Change, start: str, remedy: str
) -> None:
    router = {"internal": True} if "router" in start else {}
    check(inside, outside, start, remedy, router=router)


def test_an_adopted_subnet_of_a_firewall_has_azures_name_and_a_size() -> None:
    def with_firewall(name: str, **size: str) -> Change:
        subnets = {"firewall": {"id": subnet_id(name), **size}, "router": {"prefix": "10.224.8.0/24"}}
        return merged(ROUTED, adopted(**subnets))

    start = "azure.network.subnets.firewall.id = "
    inside = with_firewall("AzureFirewallSubnet", size="10.224.9.0/26")
    check(inside, with_firewall("firewall", size="10.224.9.0/26"), start, "give its id")
    check(inside, with_firewall("AzureFirewallSubnet"), start, "give size")


def test_pools_may_share_an_adopted_subnet_and_its_addresses() -> None:
    def both(count: int) -> Change:
        one = {"id": subnet_id("nodes"), "size": "10.224.0.0/28"}
        return adopted(system=one, user=one) | pools(pool(count=count))

    start = "azure.network.subnets.system = 10.224.0.0/28 has 11 addresses, and its nodes need 12"
    check(both(6), both(7), start, "give a /27")


def test_private_endpoints_of_an_attached_cluster_stand_in_its_network() -> None:
    attached = {"cluster": {"id": CLUSTER}, "workspace": {"registry": PREMIUM}}
    inside = attached | net(id=VNET, subnets={"private_endpoints": {"prefix": "10.224.0.0/28"}})
    check(inside, attached, "azure.network.id is not given", "give the id of the cluster's network")
