"""What Azure refuses of networks, firewalls and roles, just inside and just outside."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.engine.stand_in.client import AzureError, Client, Made
from tests.engine.stand_in.samples import (
    GROUP,
    IDENTITY,
    REGISTRY,
    ROUTE,
    TABLE,
    Json,
    collection,
    policy,
    role,
    rule,
    rules,
    subnet,
    vnet,
    web,
)
from tests.engine.stand_in.world import DEPLOYER, World


@pytest.mark.parametrize(
    ("inside", "outside", "code"),
    [
        ("10.255.255.0/24", "11.0.0.0/24", "NetcfgInvalidSubnet"),
        ("10.0.0.0/8", "10.0.0.0/7", "NetcfgInvalidSubnet"),
        ("10.1.0.0/29", "10.1.0.0/30", "NetcfgInvalidSubnet"),
        ("10.3.0.0/16", "10.3.0.1/16", "NetcfgInvalidSubnet"),
    ],
)
def test_when_a_subnet_does_not_fit_its_network_then_it_is_refused(
    azure: Client, inside: str, outside: str, code: str
) -> None:
    vnet(azure)
    with pytest.raises(AzureError, match=code):
        subnet(azure, "a", outside)
    subnet(azure, "a", inside)


def test_when_subnets_overlap_then_the_second_is_refused(azure: Client) -> None:
    net = vnet(azure)
    first = subnet(azure, "a", "10.1.0.0/24")
    with pytest.raises(AzureError, match="NetcfgSubnetRangesOverlap"):
        subnet(azure, "b", "10.1.0.128/25")
    subnet(azure, "b", "10.1.1.0/24")
    azure.update(first, addressPrefix="10.1.2.0/24")
    with pytest.raises(AzureError, match="InUsePrefixCannotBeDeleted"):
        azure.update(net, addressSpace={"addressPrefixes": ["10.1.0.0/23"]})
    azure.update(net, addressSpace={"addressPrefixes": ["10.1.0.0/22"]})


def test_when_a_route_names_its_hop_wrongly_then_it_is_refused(azure: Client) -> None:
    azure.create(TABLE, "table", **GROUP, routeTableName="table")
    base = {**GROUP, "routeTableName": "table", "addressPrefix": "0.0.0.0/0"}
    for given in (
        {"nextHopType": "VirtualAppliance"},
        {"nextHopType": "Internet", "nextHopIpAddress": "10.0.0.4"},
    ):
        with pytest.raises(AzureError, match="Next hop type"):
            azure.create(ROUTE, "route", **base, **given)
    azure.create(ROUTE, "route", **base, nextHopType="Internet")  # of itself no mistake


def federated(azure: Client, name: str) -> Made:
    claim = {"issuer": "https://issuer", "subject": name, "audiences": ["a"]}
    kind = "managedidentity:FederatedIdentityCredential"
    return azure.create(kind, name, **GROUP, resourceName="id", **claim)


def group(azure: Client, name: str) -> Made:
    return rules(azure, name, collection(web()))


def inner(azure: Client, name: str) -> Made:
    return subnet(azure, name, f"10.{len(name)}.0.0/24")


@pytest.mark.parametrize("make", [federated, group, inner])
def test_when_two_writes_to_one_parent_overlap_then_one_is_refused_and_in_turn_both_pass(
    world: World, azure: Client, make: Callable[[Client, str], Made]
) -> None:
    vnet(azure)
    policy(azure)
    azure.create(IDENTITY, "id", **GROUP, resourceName="id")
    make(azure, "a")
    world.duration = 1.0
    with ThreadPoolExecutor(2) as both:
        futures = [both.submit(make, azure, name) for name in ("bb", "ccc")]
        errors = [error for future in futures if (error := future.exception())]
    (error,) = errors
    assert "AnotherOperationInProgress" in str(error)
    world.duration = 0.0
    make(azure, "dddd")
    make(azure, "eeeee")


NO_PROTOCOL = collection(web(targetFqdns=[], fqdnTags=["AzureKubernetesService"], protocols=[]))


def nat(**more: Any) -> Json:
    given = {"ruleType": "NatRule", "name": "dnat", "ipProtocols": ["TCP"], "sourceAddresses": ["*"]}
    given |= {"destinationAddresses": ["20.1.2.3"], "destinationPorts": ["443"]}
    given |= {"translatedAddress": "10.2.0.9", "translatedPort": "443"}
    kind = {"ruleCollectionType": "FirewallPolicyNatRuleCollection", "action": {"type": "DNAT"}}
    return collection(given | more, **kind)


@pytest.mark.parametrize(
    ("inside", "outside", "reason"),
    [
        (collection(web()), collection(), "is empty"),
        (collection(web()), collection(web(targetFqdns=[])), "no targetFqdns or fqdnTags"),
        (
            collection(web(targetFqdns=[], fqdnTags=["AzureKubernetesService"])),
            collection(web(protocols=[])),
            "protoc",
        ),
        (collection(web(sourceIpGroups=[])), collection(web(sourceAddresses=[])), "no sourceAddresses"),
        (collection(rule()), collection(rule(destinationAddresses=[])), "no destinationAddresses"),
        (collection(rule()), collection(rule(destinationPorts=[])), "no destinationPorts"),
        (collection(rule()), collection(rule(), web()), "mixes types"),
        (nat(), nat(translatedAddress=""), "no translatedAddress"),
        (nat(translatedAddress="", translatedFqdn="a.b"), nat(translatedPort=""), "no translatedPort"),
        (nat(), nat(destinationAddresses=[]), "no destinationAddresses"),
        (collection(rule(destinationFqdns=["a.b"])), collection(rule(destinationFqdns=["*.b"])), "wildcard"),
        (collection(web(), priority=65000), collection(web(), priority=65001), "from 100 to 65000"),
        (collection(web(), priority=100), collection(web(), priority=99), "from 100 to 65000"),
    ],
)
def test_when_a_firewall_rule_says_too_little_or_too_much_then_its_group_is_refused(
    azure: Client, inside: Any, outside: Any, reason: str
) -> None:
    policy(azure, dnsSettings={"enableProxy": True})
    with pytest.raises(AzureError, match=reason):
        rules(azure, "group", outside)
    rules(azure, "group", inside)


def test_when_groups_collections_share_a_priority_then_they_are_refused(azure: Client) -> None:
    policy(azure)
    with pytest.raises(AzureError, match="must be unique"):
        rules(azure, "group", collection(web()), collection(web()))
    rules(azure, "group", collection(web()), collection(web(), priority=101))


def test_when_a_network_rule_names_hosts_then_the_policy_must_be_dns_proxy(azure: Client) -> None:
    made = policy(azure)
    hosts = collection(rule(destinationFqdns=["ntp.ubuntu.com"]))
    with pytest.raises(AzureError, match="DNS Proxy must be enabled"):
        rules(azure, "group", hosts)
    azure.update(made, dnsSettings={"enableProxy": True})
    rules(azure, "group", hosts)


def test_when_a_firewall_stands_wrongly_then_it_is_refused(azure: Client) -> None:
    vnet(azure)
    good = subnet(azure, "AzureFirewallSubnet", "10.1.0.0/26")
    bad = subnet(azure, "firewall", "10.2.0.0/26")
    static = {"publicIPAllocationMethod": "Static"}
    address = azure.create("network:PublicIPAddress", "ip", **GROUP, **static, sku={"name": "Standard"})
    basic = azure.create("network:PublicIPAddress", "basic", **GROUP, **static)
    rules_ = policy(azure)

    def firewall(place: Made, ip: Made, tier: str) -> Made:
        ips = [{"name": "a", "subnet": place.ref, "publicIPAddress": ip.ref}]
        sku = {"name": "AZFW_VNet", "tier": tier}
        kind = "network:AzureFirewall"
        return azure.create(kind, "fw", **GROUP, sku=sku, ipConfigurations=ips, firewallPolicy=rules_.ref)

    for place, ip, tier in (
        (bad, address, "Standard"),
        (good, basic, "Standard"),
        (good, address, "Premium"),
    ):
        with pytest.raises(AzureError, match="BadRequest"):
            firewall(place, ip, tier)
    firewall(good, address, "Standard")


def test_when_a_registry_is_not_premium_then_it_has_no_private_endpoint(azure: Client) -> None:
    vnet(azure)
    ends = subnet(azure, "ends", "10.1.0.0/24")
    registry = azure.create(REGISTRY, "registry", **GROUP, sku={"name": "Standard"})
    link = [{"name": "l", "privateLinkServiceId": registry.id}]
    endpoint = {**GROUP, "subnet": ends.ref, "privateLinkServiceConnections": link}
    with pytest.raises(AzureError, match="Premium"):
        azure.create("network:PrivateEndpoint", "pe", **endpoint)
    azure.update(registry, sku={"name": "Premium"})
    azure.create("network:PrivateEndpoint", "pe", **endpoint)


def test_when_a_role_goes_to_no_one_or_twice_then_it_is_refused(azure: Client) -> None:
    table = azure.create(TABLE, "table", **GROUP)
    identity = azure.create(IDENTITY, "id", **GROUP, resourceName="id")
    who = identity.outputs["principalId"]
    for refused, code in (
        (lambda: role(azure, identity.outputs["clientId"], table.id), "PrincipalNotFound"),
        (lambda: role(azure, who, table.id, principalType=None), "PrincipalNotFound"),
        (lambda: role(azure, who, f"{table.id}s"), "InvalidResourceReference|ParentResourceNotFound"),
        (lambda: role(azure, who, table.id, roleAssignmentName="mine"), "InvalidRoleAssignmentId"),
        (lambda: role(azure, who, table.id, "7f951dda-0000-4680-a7ca-43fe172d538d"), "RoleDefinitionDoesNot"),
    ):
        with pytest.raises(AzureError, match=code):
            refused()
    made = role(azure, who, table.id)
    with pytest.raises(AzureError, match="RoleAssignmentExists"):
        role(azure, who, table.id, roleAssignmentName="99999999-9999-9999-9999-999999999999")
    with pytest.raises(AzureError, match="RoleAssignmentUpdateNotPermitted"):
        azure.update(made, description="other")
    role(azure, DEPLOYER, table.id, principalType="User")
    role(azure, who, table.id, "AcrPull")
