"""What AKS refuses of clusters and node pools, just inside and just outside; their credentials."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from tests.engine.stand_in.client import AzureError, Client, Made, urn_of
from tests.engine.stand_in.samples import (
    GROUP,
    IDENTITY,
    POOL,
    REGISTRY,
    VNET,
    Json,
    Kubenet,
    role,
    subnet,
    subscription,
)
from tests.engine.stand_in.world import SUBSCRIPTION, World


def test_when_a_cluster_exists_then_its_nodes_identity_can_be_given_a_role(azure: Client) -> None:
    cluster = Kubenet(azure).create()
    registry = azure.create(REGISTRY, "registry", **GROUP, sku={"name": "Basic"})
    role(azure, cluster.outputs["identityProfile"]["kubeletidentity"]["objectId"], registry.id, "AcrPull")


@pytest.mark.parametrize(
    ("path", "inside", "outside", "code"),
    [
        ("agentPoolProfiles__0__count", 400, 401, "at most 400 nodes"),
        ("agentPoolProfiles__0__count", 1, 0, "at least one node"),
        ("agentPoolProfiles__0__vnetSubnetID", None, "", "needs a subnet of one's own"),
        ("agentPoolProfiles__0__mode", "System", "User", "at least one system pool"),
        ("dnsPrefix", "a", "", "dnsPrefix is missing"),
        ("networkProfile__networkPolicy", "calico", "azure", "not supported with kubenet"),
        ("networkProfile__podCidr", "10.3.0.0/16", "10.0.0.0/14", "PodCidrOverlapExistingSubnetsCidr"),
        ("networkProfile__dnsServiceIP", "172.16.0.2", "172.16.0.1", "dnsServiceIP"),
        ("networkProfile__dnsServiceIP", "172.16.255.254", "172.17.0.10", "dnsServiceIP"),
        ("identity", None, {"type": "SystemAssigned"}, "CustomRouteTableWithUnsupportedMSIType"),
        ("networkProfile__outboundType", "loadBalancer", "managedNATGateway", "not supported with a subnet"),
        ("networkProfile__outboundType", "loadBalancer", "userAssignedNATGateway", "has no NAT gateway"),
        ("disableLocalAccounts", False, True, "managed AAD"),
        (
            "securityProfile",
            {"workloadIdentity": {"enabled": False}},
            {"workloadIdentity": {"enabled": True}},
            "OIDC",
        ),
        (
            "apiServerAccessProfile",
            {"enablePrivateCluster": True},
            {"enablePrivateCluster": True, "authorizedIPRanges": ["1.2.3.4/32"]},
            "authorizedIPRanges",
        ),
    ],
)
def test_when_a_kubenet_cluster_is_made_wrongly_then_it_is_refused(
    azure: Client, path: str, inside: Any, outside: Any, code: str
) -> None:
    kubenet = Kubenet(azure)
    with pytest.raises(AzureError, match=code):
        kubenet.create(**{path: outside})
    kubenet.create(**{path: inside} if inside is not None else {})


def test_when_the_identity_has_no_rights_yet_then_a_kubenet_cluster_is_refused(azure: Client) -> None:
    kubenet = Kubenet(azure, rights=False)
    with pytest.raises(AzureError, match="CustomRouteTableMissingPermission"):
        kubenet.create()
    kubenet.grant(kubenet.table)
    with pytest.raises(AzureError, match="CustomSubnetMissingPermission"):
        kubenet.create()
    net = Made("", kubenet.nodes.id.rpartition("/subnets/")[0], {}, {})
    kubenet.grant(net)  # what holds for the network holds for its subnets
    kubenet.create()


def test_when_the_network_has_dns_servers_of_its_own_then_a_private_cluster_needs_more(azure: Client) -> None:
    kubenet, private = Kubenet(azure), {"apiServerAccessProfile": {"enablePrivateCluster": True}}
    overlay = {"networkProfile__networkPlugin": "azure", "networkProfile__networkPluginMode": "overlay"}
    identifier = kubenet.nodes.id.rpartition("/subnets/")[0]
    net = azure.read(Made(urn_of(VNET, "vnet"), identifier, {}, {}))
    assert net is not None
    azure.update(net, dhcpOptions={"dnsServers": ["10.0.0.53"]})
    with pytest.raises(AzureError, match="Kubenet with a route table and DNS servers"):
        kubenet.create(**private)
    with pytest.raises(AzureError, match="LinkedAuthorizationFailed"):
        kubenet.create(**private, **overlay)
    kubenet.grant(net)
    kubenet.create(**private, **overlay)


def test_when_the_subnet_has_no_route_table_then_kubenet_and_own_routes_are_refused(azure: Client) -> None:
    kubenet = Kubenet(azure)
    azure.update(kubenet.nodes, routeTable=None)
    for outbound in ("loadBalancer", "userDefinedRouting"):
        with pytest.raises(AzureError, match="ExistingRouteTableNotAssociatedWithSubnet"):
            kubenet.create(networkProfile__outboundType=outbound)
    azure.update(kubenet.nodes)
    kubenet.create()


@pytest.mark.parametrize(
    ("next_hop", "code"), [("Internet", "RouteTableInvalidNextHop"), ("None", "RouteTableInvalidNextHop")]
)
def test_when_the_default_route_does_not_lead_to_an_appliance_then_own_routes_are_refused(
    azure: Client, next_hop: str, code: str
) -> None:
    kubenet = Kubenet(azure, next_hop=next_hop)
    with pytest.raises(AzureError, match=code):
        kubenet.create()
    kubenet.create(networkProfile__outboundType="loadBalancer")


def test_when_a_cluster_has_an_identity_of_its_own_then_that_can_be_given_a_role(azure: Client) -> None:
    kubenet = Kubenet(azure)
    flat = {"networkPlugin": "azure", "networkPluginMode": "overlay", "serviceCidr": "172.16.0.0/16"}
    cluster = kubenet.create(identity={"type": "SystemAssigned"}, networkProfile=flat)
    role(azure, cluster.outputs["identity"]["principalId"], kubenet.nodes.id)


def test_when_the_subnet_has_a_nat_gateway_then_a_cluster_may_go_out_by_it(azure: Client) -> None:
    kubenet = Kubenet(azure)
    nat = azure.create("network:NatGateway", "nat", **GROUP)
    azure.update(kubenet.nodes, natGateway=nat.ref)
    kubenet.create(networkProfile__outboundType="userAssignedNATGateway")


def test_when_a_cluster_is_in_a_subnet_then_its_range_and_table_stay(azure: Client) -> None:
    kubenet = Kubenet(azure)
    azure.update(kubenet.nodes, addressPrefix="10.2.0.0/17")
    kubenet.create()
    with pytest.raises(AzureError, match="InUseSubnetCannotBeUpdated"):
        azure.update(kubenet.nodes, addressPrefix="10.2.0.0/18")
    with pytest.raises(AzureError, match="InUseSubnetCannotBeDeleted"):
        azure.delete(kubenet.nodes)


def test_when_aks_makes_resources_by_itself_then_others_may_refer_to_them(azure: Client) -> None:
    kubenet = Kubenet(azure)
    tags = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/made-for-nodes/providers/Microsoft.Network/a/b"
    with pytest.raises(AzureError, match="InvalidResourceReference"):
        azure.create("network:NatGateway", "nat", **GROUP, publicIpAddresses=[{"id": tags}])
    kubenet.create(nodeResourceGroup="made-for-nodes")
    azure.create("network:NatGateway", "nat", **GROUP, publicIpAddresses=[{"id": tags}])


def test_when_there_is_no_default_route_then_own_routes_are_refused(azure: Client) -> None:
    kubenet = Kubenet(azure)
    azure.delete(kubenet.route)
    with pytest.raises(AzureError, match="RouteTableMissingDefaultRouteError"):
        kubenet.create()
    kubenet.create(networkProfile__outboundType="loadBalancer")


def test_when_two_kubenet_clusters_share_a_route_table_then_the_second_is_refused(azure: Client) -> None:
    kubenet = Kubenet(azure)
    kubenet.create()
    other = subnet(azure, "other", "10.3.0.0/16", routeTable=kubenet.table.ref)
    kubenet.grant(other)
    with pytest.raises(AzureError, match="already used by cluster"):
        kubenet.create("two", agentPoolProfiles__0__vnetSubnetID=other.id)
    flat = {"networkPlugin": "azure", "networkPluginMode": "overlay", "serviceCidr": "172.16.0.0/16"}
    kubenet.create("two", agentPoolProfiles__0__vnetSubnetID=other.id, networkProfile=flat)


def test_when_a_service_range_meets_a_subnet_then_the_cluster_is_refused(azure: Client) -> None:
    kubenet = Kubenet(azure)
    with pytest.raises(AzureError, match="ServiceCidrOverlapExistingSubnetsCidr"):
        kubenet.create(
            networkProfile__serviceCidr="10.2.255.0/24", networkProfile__dnsServiceIP="10.2.255.10"
        )
    kubenet.create(networkProfile__serviceCidr="10.3.0.0/24", networkProfile__dnsServiceIP="10.3.0.10")


@pytest.mark.parametrize(
    ("mode", "nodes", "fits"),
    [(None, 8, True), (None, 9, False), ("overlay", 251, True), ("overlay", 252, False)],
)
def test_when_pods_live_in_the_subnet_then_it_must_hold_them_too(
    azure: Client, mode: str | None, nodes: int, fits: bool
) -> None:
    kubenet = Kubenet(azure)
    small = subnet(azure, "small", "10.9.0.0/24")
    profile = {"networkPlugin": "azure", "networkPluginMode": mode, "serviceCidr": "172.16.0.0/16"}
    changes = {"networkProfile": profile, "agentPoolProfiles__0__vnetSubnetID": small.id}
    changes |= {"agentPoolProfiles__0__count": nodes}
    if fits:
        kubenet.create(**changes)
    else:
        with pytest.raises(AzureError, match="InsufficientSubnetSize"):
            kubenet.create(**changes)


def test_when_pools_are_added_then_limits_and_names_hold_for_all_together(azure: Client) -> None:
    kubenet = Kubenet(azure)
    kubenet.create()
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    azure.create(VNET, "apart", **GROUP, virtualNetworkName="apart", addressSpace=space)
    apart = subnet(azure, "apart", "10.0.0.0/24", virtualNetworkName="apart")
    base = {**GROUP, "resourceName": "aks", "vnetSubnetID": kubenet.nodes.id}

    def pool(name: str, **more: Any) -> Made:
        return azure.create(POOL, name, **base | {"agentPoolName": name, "count": 1} | more)

    refused: list[tuple[str, Json, str]] = [
        ("system", {}, "has an agent pool system already"),
        ("Gpu", {}, "InvalidResourceName"),
        ("gpus123456789", {}, "InvalidResourceName"),
        ("gpu", {"count": 398}, "at most 400 nodes"),
        ("gpu", {"vnetSubnetID": None}, "one virtual network"),
        ("gpu", {"vnetSubnetID": apart.id}, "one virtual network"),
        ("gpu", {"minCount": 1, "maxCount": 2}, "need enableAutoScaling"),
        ("gpu", {"enableAutoScaling": True, "minCount": 3, "maxCount": 2}, "are no range"),
        ("gpu", {"enableAutoScaling": True, "minCount": 0, "maxCount": 398}, "at most 400 nodes"),
    ]
    for name, more, code in refused:
        with pytest.raises(AzureError, match=code):
            pool(name, **more)
    made = pool("gpu", count=397, vmSize="Standard_NC4as_T4_v3")
    with pytest.raises(AzureError, match="at most 400 nodes"):
        pool("more")
    azure.update(made, count=1)
    pool("more")
    with pytest.raises(AzureError, match="PropertyChangeNotAllowed"):
        azure.update(made, maxPods=40)


def test_when_a_cluster_moves_or_its_pool_changes_size_then_the_update_is_refused(azure: Client) -> None:
    cluster = Kubenet(azure).create()
    pools: Any = copy.deepcopy(cluster.inputs["agentPoolProfiles"])
    pools[0]["vmSize"] = "Standard_D8s_v5"
    with pytest.raises(AzureError, match="PropertyChangeNotAllowed"):
        azure.update(cluster, agentPoolProfiles=pools)
    with pytest.raises(AzureError, match="InvalidResourceLocation"):
        azure.update(cluster, location="northeurope")
    pools[0] |= {"vmSize": "Standard_D4s_v5", "count": 5}
    azure.update(cluster, agentPoolProfiles=pools)


def test_when_kubelet_identity_or_zone_are_ones_own_then_the_cluster_needs_rights_on_them(
    azure: Client,
) -> None:
    kubenet = Kubenet(azure)
    nodes = azure.create(IDENTITY, "nodes", **GROUP, resourceName="nodes")
    name = "privatelink.westeurope.azmk8s.io"
    zone = azure.create("privatedns:PrivateZone", "z", **GROUP, privateZoneName=name, location="global")
    changes = {
        "identityProfile": {"kubeletidentity": {"resourceId": nodes.id}},
        "apiServerAccessProfile": {"enablePrivateCluster": True, "privateDNSZone": zone.id},
    }
    who = kubenet.identity.outputs["principalId"]
    with pytest.raises(AzureError, match="CustomKubeletIdentityMissingPermissionError"):
        kubenet.create(**changes)
    role(azure, who, nodes.id, "Managed Identity Operator")
    with pytest.raises(AzureError, match="CustomPrivateDNSZoneMissingPermissionError"):
        kubenet.create(**changes)
    role(azure, who, zone.id, "Private DNS Zone Contributor")
    made = kubenet.create(**changes)
    kubelet = made.outputs["identityProfile"]["kubeletidentity"]
    assert kubelet["objectId"] == nodes.outputs["principalId"]


def test_when_credentials_are_asked_for_then_they_are_given_as_the_cluster_allows(azure: Client) -> None:
    cluster = Kubenet(azure).create()
    which = {**GROUP, "resourceName": "aks"}
    for kind in ("User", "Admin"):
        found = azure.invoke(f"containerservice:listManagedCluster{kind}Credentials", **which)
        config = json.loads(base64.b64decode(found["kubeconfigs"][0]["value"]))
        assert config["clusters"][0]["cluster"]["server"] == f"https://{cluster.outputs['fqdn']}:443"
    azure.update(cluster, disableLocalAccounts=True, aadProfile={"managed": True})
    found = azure.invoke("containerservice:listManagedClusterUserCredentials", **which)
    assert b"kubelogin" in base64.b64decode(found["kubeconfigs"][0]["value"])
    with pytest.raises(AzureError, match="disable local accounts"):
        azure.invoke("containerservice:listManagedClusterAdminCredentials", **which)


def test_when_a_kubeconfig_is_given_then_clusters_hand_out_that() -> None:
    with subscription(World(kubeconfig="a real one")) as client:
        Kubenet(client).create()
        which = {**GROUP, "resourceName": "aks"}
        found = client.invoke("containerservice:listManagedClusterUserCredentials", **which)
        assert base64.b64decode(found["kubeconfigs"][0]["value"]) == b"a real one"
