"""The stand-in for azure-native over its gRPC interface: what it makes, tells, and refuses as Azure does."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2 as pb

from slipway.engine import UNKNOWN, Secret
from slipway.engine.graph import known
from slipway.engine.sdk import previewed
from slipway.plan.replacements import PATHS
from tests.engine.stand_in.client import AzureError, Client, Made, connected, urn_of
from tests.engine.stand_in.world import DEPLOYER, SUBSCRIPTION, World

RG, VNET, SUBNET, TABLE, ROUTE = (
    "resources:ResourceGroup",
    "network:VirtualNetwork",
    "network:Subnet",
    "network:RouteTable",
    "network:Route",
)
POLICY, RULES = "network:FirewallPolicy", "network:FirewallPolicyRuleCollectionGroup"
CLUSTER, POOL = "containerservice:ManagedCluster", "containerservice:AgentPool"
IDENTITY, ROLE = "managedidentity:UserAssignedIdentity", "authorization:RoleAssignment"
REGISTRY, STORE = "containerregistry:Registry", "storage:StorageAccount"
NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
GROUP = {"resourceGroupName": "rg"}
BASIC = GROUP | {"sku": {"name": "Basic"}}
LRS = GROUP | {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
Json = dict[str, Any]
HIDDEN = Secret("hidden")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def azure(world: World) -> Iterator[Client]:
    with subscription(world) as client:
        yield client


@contextmanager
def subscription(world: World) -> Generator[Client]:
    """Connect to a world with one resource group."""
    with connected(world) as client:
        client.configure(location="westeurope")
        client.create(RG, "rg", **GROUP)
        yield client


def vnet(azure: Client, *prefixes: str) -> Made:
    space = {"addressPrefixes": [*prefixes] or ["10.0.0.0/8"]}
    return azure.create(VNET, "vnet", **GROUP, virtualNetworkName="vnet", addressSpace=space)


def subnet(azure: Client, name: str, prefix: str, **more: Any) -> Made:
    given = {**GROUP, "virtualNetworkName": "vnet", "subnetName": name, "addressPrefix": prefix}
    return azure.create(SUBNET, name, **given, **more)


def role(azure: Client, who: Any, what: Any, which: str = NETWORK_CONTRIBUTOR, **more: Any) -> Made:
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{which}"
    given = {"principalId": who, "scope": what, "principalType": "ServicePrincipal"} | more
    return azure.create(ROLE, f"{which}{what}{who}", roleDefinitionId=definition, **given)


def policy(azure: Client, **more: Any) -> Made:
    return azure.create(POLICY, "policy", **GROUP, firewallPolicyName="policy", **more)


def rule(**more: Any) -> Json:
    given = {"ruleType": "NetworkRule", "name": "ntp", "ipProtocols": ["UDP"]}
    return (
        given | {"sourceAddresses": ["*"], "destinationAddresses": ["*"], "destinationPorts": ["123"]} | more
    )


def web(**more: Any) -> Json:
    https = {"protocolType": "Https", "port": 443}
    given = {"ruleType": "ApplicationRule", "name": "mcr", "protocols": [https]}
    return given | {"sourceAddresses": ["*"], "targetFqdns": ["mcr.microsoft.com"]} | more


def collection(*rules: Any, **more: Any) -> Json:
    kind = {"ruleCollectionType": "FirewallPolicyFilterRuleCollection", "name": "c"}
    return kind | {"action": {"type": "Allow"}, "priority": 100, "rules": [*rules]} | more


def rules(azure: Client, name: str, *collections: Any, **more: Any) -> Made:
    given = {**GROUP, "firewallPolicyName": "policy", "ruleCollectionGroupName": name, "priority": 200}
    return azure.create(RULES, name, **given | {"ruleCollections": [*collections]} | more)


class Kubenet:
    """All that a kubenet cluster behind a firewall needs, and its inputs."""

    def __init__(self, azure: Client, *, next_hop: str = "VirtualAppliance", rights: bool = True) -> None:
        self.azure = azure
        vnet(azure)
        self.table = azure.create(TABLE, "table", **GROUP, routeTableName="table")
        hop = {"nextHopType": next_hop, "routeTableName": "table", "routeName": "default"}
        if next_hop == "VirtualAppliance":
            hop["nextHopIpAddress"] = "10.1.0.4"
        self.route = azure.create(ROUTE, "default", **GROUP, addressPrefix="0.0.0.0/0", **hop)
        self.nodes = subnet(azure, "nodes", "10.2.0.0/16", routeTable=self.table.ref)
        self.identity = azure.create(IDENTITY, "aks", **GROUP, resourceName="aks")
        self.roles = [self.grant(self.table), self.grant(self.nodes)] if rights else []
        pool = {"name": "system", "mode": "System", "count": 3, "vmSize": "Standard_D4s_v5"}
        self.inputs: Json = {
            **GROUP,
            "dnsPrefix": "aks",
            "identity": {"type": "UserAssigned", "userAssignedIdentities": [self.identity.id]},
            "agentPoolProfiles": [pool | {"vnetSubnetID": self.nodes.id}],
            "networkProfile": {
                "networkPlugin": "kubenet",
                "networkPolicy": "calico",
                "outboundType": "userDefinedRouting",
                "podCidr": "172.20.0.0/14",
                "serviceCidr": "172.16.0.0/16",
                "dnsServiceIP": "172.16.0.10",
            },
        }

    def grant(self, what: Made) -> Made:
        return role(self.azure, self.identity.outputs["principalId"], what.id)

    def create(self, name: str = "aks", /, **changes: Any) -> Made:
        inputs: Any = copy.deepcopy(self.inputs)
        for path, value in changes.items():
            *outer, last = path.split("__")
            target = inputs
            for step in outer:
                target = target[int(step)] if step.isdigit() else target.setdefault(step, {})
            target[last] = value
        return self.azure.create(CLUSTER, name, resourceName=name, **inputs)


def everything(azure: Client) -> list[Made]:
    """Make one resource of every type that the stand-in knows, in the order of their dependencies."""
    made: list[Made] = []

    def make(type_: str, name: str, /, **inputs: Any) -> Made:
        made.append(azure.create(type_, name, **inputs))
        return made[-1]

    kubenet = Kubenet(azure, rights=False)
    made += [kubenet.table, kubenet.route, kubenet.nodes, kubenet.identity]
    net = azure.read(Made(urn_of(VNET, "vnet"), kubenet.nodes.id.rpartition("/subnets/")[0], {}, {}))
    assert net is not None
    made.insert(0, net)
    made += [kubenet.grant(kubenet.table), kubenet.grant(kubenet.nodes)]
    group = make("network:NetworkSecurityGroup", "nsg", **GROUP, networkSecurityGroupName="nsg").id
    traffic = {"access": "Allow", "direction": "Inbound", "priority": 100, "protocol": "Tcp"}
    make("network:SecurityRule", "https", **GROUP, networkSecurityGroupName="nsg", **traffic)
    standard = {"sku": {"name": "Standard"}, "publicIPAllocationMethod": "Static"}
    label = {"domainNameLabel": "models"}
    address = make("network:PublicIPAddress", "ip", **GROUP, **standard, dnsSettings=label)
    prefix = make("network:PublicIPPrefix", "prefix", **GROUP, prefixLength=30)
    make("network:NatGateway", "nat", **GROUP, publicIpPrefixes=[prefix.ref])
    outer = subnet(azure, "AzureFirewallSubnet", "10.1.0.0/26")
    ends = subnet(azure, "ends", "10.3.0.0/24", networkSecurityGroup={"id": group})
    made += [outer, ends, policy(azure, dnsSettings={"enableProxy": True})]
    place = [{"name": "outer", "subnet": outer.ref, "publicIPAddress": address.ref}]
    make("network:AzureFirewall", "firewall", **GROUP, firewallPolicy=made[-1].ref, ipConfigurations=place)
    made.append(rules(azure, "hosts", collection(web()), collection(rule(), priority=101)))
    registry = make(REGISTRY, "registry", **GROUP, sku={"name": "Premium"})
    link = [{"name": "l", "privateLinkServiceId": registry.id, "groupIds": ["registry"]}]
    endpoint = {**GROUP, "privateEndpointName": "pe", "subnet": ends.ref}
    make("network:PrivateEndpoint", "pe", **endpoint, privateLinkServiceConnections=link)
    zone = {**GROUP, "privateZoneName": "privatelink.azurecr.io"}
    private = make("privatedns:PrivateZone", "zone", **zone, location="Global")
    links = [{"name": "acr", "privateDnsZoneId": private.id}]
    make("network:PrivateDnsZoneGroup", "zg", **GROUP, privateEndpointName="pe", privateDnsZoneConfigs=links)
    on = {"id": net.id}
    make("privatedns:VirtualNetworkLink", "link", **zone, location="Global", virtualNetwork=on)
    record = {"recordType": "A", "relativeRecordSetName": "models", "ttl": 300}
    make("privatedns:PrivateRecordSet", "record", **zone, **record, aRecords=[{"ipv4Address": "10.3.0.9"}])
    make("dns:Zone", "public", **GROUP, zoneName="example.com", location="global")
    make("dns:RecordSet", "public", **GROUP, zoneName="example.com", **record)
    cluster = kubenet.create(oidcIssuerProfile={"enabled": True})
    made.append(cluster)
    inside = {**GROUP, "resourceName": "aks"}
    gpu = {"vmSize": "Standard_NC4as_T4_v3", "vnetSubnetID": kubenet.nodes.id}
    make(POOL, "gpu", **inside, agentPoolName="gpu", count=1, **gpu)
    make("containerservice:MaintenanceConfiguration", "window", **inside, configName="default")
    claim = {"subject": "system:serviceaccount:a:b", "audiences": ["api"]}
    issuer = cluster.outputs["oidcIssuerProfile"]["issuerURL"]
    federated = "managedidentity:FederatedIdentityCredential"
    make(federated, "fed", **inside, **claim, issuer=issuer)
    store = {**GROUP, "accountName": "store"}
    make(STORE, "store", **store, kind="StorageV2", sku={"name": "Standard_LRS"})
    make("storage:BlobServiceProperties", "blobs", **store)
    make("storage:BlobContainer", "models", **store, containerName="models")
    make("storage:ManagementPolicy", "life", **store, policy={"rules": []})
    sku = {"family": "A", "name": "standard"}
    vault = {**GROUP, "vaultName": "vault"}
    make("keyvault:Vault", "vault", **vault, properties={"sku": sku, "tenantId": "t"})
    make("keyvault:Secret", "key", **vault, properties={"value": HIDDEN})
    make("keyvault:Key", "key", **vault, properties={"kty": "RSA"})
    logs = make("operationalinsights:Workspace", "logs", **GROUP)
    ins = {"kind": "web", "applicationType": "web", "workspaceResourceId": logs.id}
    make("applicationinsights:Component", "insights", **GROUP, **ins)
    where = f"subscriptions/{SUBSCRIPTION}"
    make("security:Pricing", "Containers", scopeId=where, pricingName="Containers", pricingTier="Standard")
    make("monitor:DiagnosticSetting", "diag", resourceUri=cluster.id, name="diag", workspaceId=logs.id)
    collected = make("monitor:DataCollectionRule", "dcr", **GROUP)
    association = "monitor:DataCollectionRuleAssociation"
    make(association, "dcra", resourceUri=cluster.id, dataCollectionRuleId=collected.id)
    return made


def type_of(made: Made) -> str:
    return made.urn.split("::")[2].removeprefix("azure-native:")


def test_when_every_type_is_made_then_all_can_be_read_and_taken_down_in_turn(azure: Client) -> None:
    made = everything(azure)
    assert {type_of(each) for each in made} | {RG} == set(PATHS)
    for each in made:
        declared = previewed(f"azure-native:{type_of(each)}", {})
        assert declared is not None
        assert each.outputs.keys() <= declared.keys()
        assert known(each.outputs)
        assert azure.diff(each).changes == pb.DiffResponse.DIFF_NONE
        found = azure.read(each)
        assert found is not None
        assert (found.id, found.inputs) == (each.id, each.inputs)
    for each in reversed(made):
        azure.delete(each)
        assert azure.read(each) is None


def test_when_the_same_is_made_twice_then_ids_and_outputs_are_the_same() -> None:
    found: list[list[Made]] = []
    for _ in range(2):
        with subscription(World()) as client:
            found.append(everything(client))
    assert found[0] == found[1]


def test_when_a_file_is_given_then_what_exists_outlives_the_process(tmp_path: Path) -> None:
    file = tmp_path / "azure.json"
    with subscription(World(file)) as client:
        made = everything(client)
    with connected(World(file)) as client:
        assert [client.read(each) for each in made] == [client.read(each) for each in made]
        found = client.read(made[-1])
        assert found is not None
        assert found.outputs == made[-1].outputs
        client.delete(made[-1])
    with connected(World(file)) as client:
        assert client.read(made[-1]) is None


def test_when_outputs_are_read_then_they_look_like_azures(azure: Client) -> None:
    made = {type_of(each): each for each in everything(azure)}
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers"
    assert made[VNET].id == f"{group}/Microsoft.Network/virtualNetworks/vnet"
    assert made[SUBNET].id == f"{group}/Microsoft.Network/virtualNetworks/vnet/subnets/ends"
    assert made[SUBNET].outputs["type"] == "Microsoft.Network/virtualNetworks/subnets"
    assert made["dns:RecordSet"].id.endswith("/dnsZones/example.com/A/models")
    firewall = made["network:AzureFirewall"].outputs["ipConfigurations"][0]
    assert firewall["privateIPAddress"] == "10.1.0.4"
    cluster = made[CLUSTER].outputs
    assert cluster["fqdn"].startswith("aks-")
    assert cluster["fqdn"].endswith(".hcp.westeurope.azmk8s.io")
    assert cluster["nodeResourceGroup"] == "MC_rg_aks_westeurope"
    (assigned,) = cluster["identity"]["userAssignedIdentities"].values()
    assert assigned["principalId"] == made[IDENTITY].outputs["principalId"]
    assert made[REGISTRY].outputs["loginServer"].endswith(".azurecr.io")
    assert made[STORE].outputs["primaryEndpoints"]["blob"] == "https://store.blob.core.windows.net/"
    vault = made["keyvault:Vault"].outputs["properties"]
    assert vault["vaultUri"] == "https://vault.vault.azure.net/"
    assert vault["tenantId"] == "t"
    assert made["network:PublicIPAddress"].outputs["dnsSettings"]["fqdn"].startswith("models.westeurope.")
    assert made["privatedns:PrivateRecordSet"].outputs["fqdn"] == "models.privatelink.azurecr.io."


def test_when_an_input_is_secret_then_the_output_is_too(azure: Client) -> None:
    made = {type_of(each): each for each in everything(azure)}
    assert made["keyvault:Secret"].outputs["properties"]["value"] == HIDDEN


def test_when_a_resource_is_previewed_then_only_what_azure_makes_up_is_unknown(azure: Client) -> None:
    shown = azure.preview(IDENTITY, "aks", **GROUP, tags={"a": "b"}, resourceName=UNKNOWN)
    assert (shown["location"], shown["tags"]) == ("westeurope", {"a": "b"})
    assert shown["principalId"] is shown["clientId"] is UNKNOWN
    made = azure.create(IDENTITY, "aks", **GROUP, resourceName="aks")
    assert azure.update(made, preview=True, tags={"a": "c"})["principalId"] is UNKNOWN
    assert azure.read(made) == made


def test_when_a_type_is_not_known_then_it_is_refused_by_its_name(azure: Client) -> None:
    with pytest.raises(AzureError, match="does not know the type azure-native:search:Service"):
        azure.create("search:Service", "search", **GROUP)


@pytest.mark.parametrize(
    ("inputs", "line"),
    [
        ({"virtualNetworkName": "v"}, "resourceGroupName: is required"),
        (GROUP | {"virtualNetworkName": "v", "adressPrefix": "10.0.0.0/24"}, "did you mean `addressPrefix`"),
        (GROUP | {"virtualNetworkName": "v", "serviceEndpoints": "a"}, "give a list"),
        (GROUP | {"virtualNetworkName": "v", "sharingScope": "Tenants"}, "did you mean `Tenant`"),
    ],
)
def test_when_inputs_are_not_the_sdks_then_the_check_says_so(azure: Client, inputs: Json, line: str) -> None:
    with pytest.raises(AzureError, match=line):
        azure.preview(SUBNET, "nodes", **inputs)


def test_when_a_name_or_place_is_left_out_then_it_is_filled_in_and_kept(azure: Client) -> None:
    made = azure.create(TABLE, "table", **GROUP)
    assert str(made.inputs["routeTableName"]).startswith("table")
    assert len(str(made.inputs["routeTableName"])) == len("table") + 8
    assert made.inputs["location"] == "westeurope"
    again = azure.check(TABLE, "table", {**GROUP}, made.inputs)
    assert again == made.inputs
    with connected(World()) as bare:
        bare.create(RG, "rg", **GROUP, location="northeurope")
        assert bare.create(TABLE, "table", **GROUP).inputs["location"] == "northeurope"
        with pytest.raises(AzureError, match="LocationRequired"):
            bare.create(RG, "other", resourceGroupName="other")


def test_when_inputs_change_then_the_diff_tells_updates_from_replacements(azure: Client) -> None:
    table = azure.create(TABLE, "table", **GROUP, routeTableName="table")
    update = azure.diff(table, tags={"a": "b"})
    assert (update.changes, list(update.replaces)) == (pb.DiffResponse.DIFF_SOME, [])
    assert update.detailedDiff["tags"].kind == pb.PropertyDiff.ADD
    replace = azure.diff(table, routeTableName="other", tags={"a": "b"})
    assert list(replace.replaces) == ["routeTableName"]
    assert replace.deleteBeforeReplace
    assert replace.detailedDiff["routeTableName"].kind == pb.PropertyDiff.UPDATE_REPLACE
    assert azure.diff(table, location="West Europe").changes == pb.DiffResponse.DIFF_NONE
    assert list(azure.diff(table, location="northeurope").replaces) == ["location"]
    assert list(azure.diff(table, resourceGroupName=UNKNOWN).replaces) == ["resourceGroupName"]
    auto = azure.create(TABLE, "auto", **GROUP)
    assert not azure.diff(auto, location="northeurope").deleteBeforeReplace


def test_when_parts_of_a_cluster_change_then_only_the_listed_ones_replace_it(azure: Client) -> None:
    cluster = Kubenet(azure).create()
    profile, pools = cluster.inputs["networkProfile"], cluster.inputs["agentPoolProfiles"]
    changed = {**profile, "podCidr": Secret("10.9.0.0/16"), "ipFamilies": ["IPv4"]}
    found = azure.diff(cluster, networkProfile=changed, agentPoolProfiles=[*pools, {"name": "two"}])
    assert list(found.replaces) == ["networkProfile.podCidr"]
    assert sorted(found.diffs) == [
        "agentPoolProfiles[1]",
        "networkProfile.ipFamilies",
        "networkProfile.podCidr",
    ]


def test_when_a_resource_is_updated_then_it_keeps_its_id_and_has_the_new_inputs(azure: Client) -> None:
    table = azure.create(TABLE, "table", **GROUP, routeTableName="table")
    assert azure.update(table, tags={"a": "b"})["tags"] == {"a": "b"}
    found = azure.read(table)
    assert found is not None
    assert (found.id, found.inputs["tags"]) == (table.id, {"a": "b"})
    azure.delete(table)
    with pytest.raises(AzureError, match="ResourceNotFound"):
        azure.update(table, tags={})
    azure.delete(table)  # gone already


def test_when_a_name_is_taken_then_a_second_resource_is_refused_in_any_case(azure: Client) -> None:
    azure.create(TABLE, "one", **GROUP, routeTableName="table")
    with pytest.raises(AzureError, match="already existing resource"):
        azure.create(TABLE, "two", **GROUP, routeTableName="TABLE")
    azure.create(RG, "other", resourceGroupName="other")
    azure.create(TABLE, "three", resourceGroupName="other", routeTableName="table")


@pytest.mark.parametrize(
    ("type_", "inputs", "code"),
    [
        (TABLE, {"resourceGroupName": "nowhere"}, "ResourceGroupNotFound"),
        (
            SUBNET,
            GROUP | {"virtualNetworkName": "v", "addressPrefix": "10.0.0.0/24"},
            "ParentResourceNotFound",
        ),
        (POOL, GROUP | {"resourceName": "aks", "agentPoolName": "a"}, "ParentResourceNotFound"),
        ("monitor:DiagnosticSetting", {"resourceUri": "/subscriptions/a/resourceGroups/b"}, "NotFound"),
        ("privatedns:PrivateZone", GROUP | {"privateZoneName": "a.io"}, "LocationNotAvailable"),
        (
            STORE,
            GROUP | {"accountName": "Store", "kind": "Storage", "sku": {"name": "Standard_LRS"}},
            "InvalidRes",
        ),
        (REGISTRY, GROUP | {"registryName": "my-acr", "sku": {"name": "Basic"}}, "InvalidResourceName"),
        (
            REGISTRY,
            GROUP | {"registryName": "myacr", "sku": {"name": "Basic"}, "dataEndpointEnabled": True},
            "Prem",
        ),
        ("network:PublicIPAddress", GROUP | {"sku": {"name": "Standard"}}, "MustUseStaticAllocation"),
        (VNET, GROUP | {"addressSpace": {"addressPrefixes": ["10.0.0.1/8"]}}, "InvalidAddressPrefixFormat"),
    ],
)
def test_when_a_resource_cannot_stand_there_or_so_then_it_is_refused(
    azure: Client, type_: str, inputs: Json, code: str
) -> None:
    with pytest.raises(AzureError, match=code):
        azure.create(type_, "a", **inputs)


def test_when_an_id_leads_nowhere_then_it_is_refused_and_ids_have_no_case(azure: Client) -> None:
    vnet(azure)
    table = azure.create(TABLE, "table", **GROUP, routeTableName="table")
    with pytest.raises(AzureError, match="InvalidResourceReference"):
        subnet(azure, "a", "10.1.0.0/24", routeTable={"id": f"{table.id}s"})
    subnet(
        azure,
        "a",
        "10.1.0.0/24",
        routeTable={"id": table.id.upper().replace("/SUBSCRIPTIONS", "/subscriptions")},
    )


def test_when_a_resource_is_in_use_or_holds_others_then_it_is_not_deleted(azure: Client) -> None:
    net = vnet(azure)
    group = Made(urn_of(RG, "rg"), f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg", {}, {})
    table = azure.create(TABLE, "table", **GROUP, routeTableName="table")
    inner = subnet(azure, "inner", "10.1.0.0/24", routeTable=table.ref)
    for made, code in (
        (group, "ResourceGroupNotEmpty"),
        (net, "InUseVirtualNetwork"),
        (table, "InUseRouteTable"),
    ):
        with pytest.raises(AzureError, match=code):
            azure.delete(made)
    for made in (inner, table, net, group):
        azure.delete(made)


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
    ):
        with pytest.raises(AzureError, match=code):
            refused()
    made = role(azure, who, table.id)
    with pytest.raises(AzureError, match="RoleAssignmentExists"):
        role(azure, who, table.id, roleAssignmentName="99999999-9999-9999-9999-999999999999")
    with pytest.raises(AzureError, match="RoleAssignmentUpdateNotPermitted"):
        azure.update(made, description="other")
    role(azure, DEPLOYER, table.id, principalType="User")
    role(azure, who, table.id, ACR_PULL)


def test_when_a_cluster_exists_then_its_nodes_identity_can_be_given_a_role(azure: Client) -> None:
    cluster = Kubenet(azure).create()
    registry = azure.create(REGISTRY, "registry", **GROUP, sku={"name": "Basic"})
    role(azure, cluster.outputs["identityProfile"]["kubeletidentity"]["objectId"], registry.id, ACR_PULL)


@pytest.mark.parametrize(
    ("path", "inside", "outside", "code"),
    [
        ("agentPoolProfiles__0__count", 400, 401, "at most 400 nodes"),
        ("agentPoolProfiles__0__count", 1, 0, "at least one node"),
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
    base = {**GROUP, "resourceName": "aks", "vnetSubnetID": kubenet.nodes.id}

    def pool(name: str, **more: Any) -> Made:
        return azure.create(POOL, name, **base | {"agentPoolName": name, "count": 1} | more)

    refused: list[tuple[str, Json, str]] = [
        ("system", {}, "has an agent pool system already"),
        ("Gpu", {}, "InvalidResourceName"),
        ("gpus123456789", {}, "InvalidResourceName"),
        ("gpu", {"count": 398}, "at most 400 nodes"),
        ("gpu", {"vnetSubnetID": None}, "one virtual network"),
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
    role(azure, who, nodes.id, "f1a07417-d97a-45cb-824c-7a7467783830")
    with pytest.raises(AzureError, match="CustomPrivateDNSZoneMissingPermissionError"):
        kubenet.create(**changes)
    role(azure, who, zone.id, "b12aa53e-6015-4669-85d0-8515ebb3ae7f")
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


def test_when_functions_are_called_then_they_tell_what_exists(azure: Client) -> None:
    made = everything(azure)
    config = azure.invoke("authorization:getClientConfig")
    assert (config["subscriptionId"], config["objectId"]) == (SUBSCRIPTION, DEPLOYER)
    found = azure.invoke("containerservice:getManagedCluster", **GROUP, resourceName="aks")
    cluster = next(each for each in made if type_of(each) == CLUSTER)
    assert (found["id"], found["fqdn"]) == (cluster.id, cluster.outputs["fqdn"])
    assert len(azure.invoke("storage:listStorageAccountKeys", **GROUP, accountName="store")["keys"]) == 2
    assert "primarySharedKey" in azure.invoke(
        "operationalinsights:getSharedKeys",
        **GROUP,
        workspaceName=next(each.outputs["name"] for each in made if type_of(each).endswith("Workspace")),
    )
    registry = next(each for each in made if type_of(each) == REGISTRY)
    for function, given, code in (
        ("containerservice:getManagedCluster", {"resourceName": "other"}, "ResourceNotFound"),
        ("containerregistry:listRegistryCredentials", {"registryName": registry.outputs["name"]}, "disabled"),
        ("search:getService", {}, "does not know the function azure-native:search:getService"),
    ):
        with pytest.raises(AzureError, match=code):
            azure.invoke(function, **GROUP, **given)
    store = next(each for each in made if type_of(each) == STORE)
    azure.update(store, allowSharedKeyAccess=False)
    with pytest.raises(AzureError, match="KeyBasedAuthenticationNotPermitted"):
        azure.invoke("storage:listStorageAccountKeys", **GROUP, accountName="store")


def test_when_a_kubeconfig_is_given_then_clusters_hand_out_that() -> None:
    with subscription(World(kubeconfig="a real one")) as client:
        Kubenet(client).create()
        which = {**GROUP, "resourceName": "aks"}
        found = client.invoke("containerservice:listManagedClusterUserCredentials", **which)
        assert base64.b64decode(found["kubeconfigs"][0]["value"]) == b"a real one"
