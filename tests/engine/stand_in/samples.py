"""Requests that Azure takes: a network, firewall rules, a kubenet cluster, one resource of every type."""

from __future__ import annotations

import copy
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from slipway.engine import Secret
from tests.engine.stand_in.client import Client, Made, connected, urn_of
from tests.engine.stand_in.identities import ROLES
from tests.engine.stand_in.world import SUBSCRIPTION, World

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
GROUP = {"resourceGroupName": "rg"}
BASIC = GROUP | {"sku": {"name": "Basic"}}
LRS = GROUP | {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
Json = dict[str, Any]
HIDDEN = Secret("hidden")


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
    return azure.create(SUBNET, name, **given | more)


def role(azure: Client, who: Any, what: Any, which: str = "Network Contributor", **more: Any) -> Made:
    roles = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
    definition = f"{roles}/{ROLES.get(which, which)}"
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
