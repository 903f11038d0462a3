"""What a stack builds or adopts on Azure, section by section.

Every section that can be adopted takes an `id`; then nothing of it is created. Rules inside a section
are checked here, rules between sections in `slipway.settings.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from slipway.problems import Checked, Many
from slipway.settings.cluster import Cluster, Zones
from slipway.settings.kinds import Address, Cidr, Domain, Region, ResourceName, id_of, name_of
from slipway.settings.workspace import Workspace

OutboundType = Literal["loadBalancer", "managedNATGateway", "userAssignedNATGateway", "userDefinedRouting"]
NetworkModel = Literal["kubenet", "azure", "overlay"]
GroupId = Annotated[str, id_of("Microsoft.Resources/resourceGroups")]
NetworkId = Annotated[str, id_of("Microsoft.Network/virtualNetworks")]
SubnetId = Annotated[str, id_of("Microsoft.Network/virtualNetworks/subnets")]
FirewallId = Annotated[str, id_of("Microsoft.Network/azureFirewalls")]
PrivateZoneId = Annotated[str, id_of("Microsoft.Network/privateDnsZones")]
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")))
"""Addresses that no one comes from over the internet (RFC 1918, RFC 6598)."""
NAT_GATEWAY_IPS = 16
"""The most public addresses of a NAT gateway (MicrosoftDocs/azure-aks-docs, nat-gateway.md)."""


class ResourceGroup(Checked):
    """Where everything of a stack lies."""

    name: ResourceName | None = None
    """the name of a resource group to create"""
    id: GroupId | None = None
    """the id of a resource group that exists"""

    def mistakes(self) -> list[str]:
        return one_of(self, "name", "id")


class Subnet(Checked):
    """One subnet: made with `prefix`, or adopted by `id`."""

    prefix: Cidr | None = None
    """an address range such as 10.224.0.0/22, inside `address_space`; a free one is chosen without it"""
    id: SubnetId | None = None
    """the id of a subnet that exists"""
    size: Cidr | None = None
    """the address range of the adopted subnet, so that addresses can be counted before anything exists"""

    def mistakes(self) -> list[str]:
        mistakes = [] if self.id is None or self.prefix is None else one_of(self, "prefix", "id")
        if self.size is not None and self.id is None:
            mistakes.append(f"size = {self.size} is for an adopted subnet; use prefix, or give id too")
        return mistakes


class Subnets(Checked):
    """The subnets of a cluster, by what stands in them."""

    system: Subnet = Subnet()
    """a mapping: prefix, or id and size; nodes of the system pool"""
    user: Subnet = Subnet()
    """a mapping: prefix, or id and size; nodes of all other pools"""
    router: Subnet = Subnet()
    """a mapping: prefix, or id and size; the router's internal load balancer"""
    firewall: Subnet = Subnet()
    """a mapping: prefix, or id and size; AzureFirewallSubnet, with a firewall of ours only"""
    private_endpoints: Subnet = Subnet()
    """a mapping: prefix, or id and size; with private endpoints only"""


class Network(Checked):
    """The virtual network and how pods stand in it."""

    id: NetworkId | None = None
    """the id of a virtual network that exists"""
    address_space: Cidr = "10.224.0.0/16"
    """the address range of the virtual network; of an adopted one too"""
    subnets: Subnets = Subnets()
    """a mapping: system, user, router, firewall, private_endpoints"""
    model: NetworkModel = "overlay"
    """one of kubenet, azure (pods take addresses of the subnet), overlay"""
    network_policy: Literal["calico", "cilium", "azure"] = "cilium"
    """one of calico, cilium, azure; kubenet knows calico only"""
    pod_cidr: Cidr = "10.244.0.0/16"
    """the address range of pods, with kubenet and overlay"""
    service_cidr: Cidr = "10.0.0.0/16"
    """the address range of Kubernetes services, used by nothing else"""
    dns_service_ip: Address = "10.0.0.10"
    """an address inside service_cidr, not the first"""

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        return {"network_policy": "calico" if given.get("model") == "kubenet" else "cilium"}

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        if self.model == "kubenet" and self.network_policy != "calico":
            mistakes.append(
                f"network_policy = {self.network_policy} with model = kubenet: kubenet enforces calico only; "
                "set network_policy: calico, or model: overlay"
            )
        if self.model == "azure" and self.pod_cidr != Network.model_fields["pod_cidr"].default:
            mistakes.append(
                f"pod_cidr = {self.pod_cidr} with model = azure: pods take addresses of the subnet; remove it"
            )
        if self.id is None:
            mistakes += [
                f"subnets.{role}.id without id: a subnet is adopted with its network; give the network's id"
                for role, subnet in self.subnets
                if subnet.id is not None
            ]
        else:
            mistakes += [
                f"subnets.{role}.id = {subnet.id} is not in the network {self.id}: give one of its own"
                for role, subnet in self.subnets
                if subnet.id is not None and not subnet.id.lower().startswith(f"{self.id.lower()}/")
            ]
        return mistakes


class Firewall(Checked):
    """Azure Firewall of ours, or one that exists: then its rules are handed over as a table."""

    id: FirewallId | None = None
    """the id of an Azure Firewall that exists"""
    private_ip: Address | None = None
    """the private address of a firewall that exists, of Azure or another maker"""
    public_ip: Address | None = None
    """the public address of a firewall that exists, where the API server sees the nodes come from"""
    sku: Literal["Standard", "Premium"] = "Standard"
    """one of Standard, Premium"""
    aks_rules: Literal["fqdn_tag", "exact"] = "fqdn_tag"
    """fqdn_tag (AzureKubernetesService, kept by Azure) or exact (each host by name)"""
    public_ips: Annotated[int, Field(ge=1, le=250)] | None = None
    """a number of public addresses from 1 to 250; what the nodes need for SNAT without it"""
    zones: Zones = ()
    """a list of zones: "1", "2", "3\""""

    def mistakes(self) -> list[str]:
        adopted = self.id is not None or self.private_ip is not None
        mistakes: list[str] = []
        if self.id is not None and self.private_ip is None:
            mistakes.append(f"id = {self.id} without private_ip: routes lead to an address; give private_ip")
        if self.public_ip is not None and not adopted:
            mistakes.append(
                "public_ip without private_ip: it is of a firewall that exists; give private_ip too"
            )
        if adopted:
            mistakes += [
                f"{name} = {getattr(self, name)} with a firewall that exists: it has no effect; remove it"
                for name in ("public_ips", "zones")
                if getattr(self, name)
            ]
        return mistakes

    @property
    def ours(self) -> bool:
        """Tell whether the firewall is created."""
        return self.id is None and self.private_ip is None


class Egress(Checked):
    """How nodes and pods reach the outside, in AKS's words."""

    outbound_type: OutboundType = "loadBalancer"
    """one of loadBalancer, managedNATGateway, userAssignedNATGateway, userDefinedRouting"""
    public_ips: Annotated[int, Field(ge=1, le=100)] | None = None
    """a number of outbound addresses from 1 to 100; what the nodes need for SNAT without it"""
    firewall: Firewall | None = None
    """a mapping: id, private_ip, public_ip, sku, aks_rules, public_ips, zones"""

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        return {"firewall": {}} if given.get("outbound_type") == "userDefinedRouting" else {}

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        routed = self.outbound_type == "userDefinedRouting"
        if self.firewall is not None and not routed:
            mistakes.append(
                f"firewall with outbound_type = {self.outbound_type}: nothing would pass it; "
                "set outbound_type: userDefinedRouting, or remove firewall"
            )
        if self.firewall is None and routed:
            mistakes.append(
                "firewall = null with outbound_type = userDefinedRouting: nothing would leave; remove it for "
                "a firewall of ours, or give private_ip of one that exists"
            )
        if routed and self.public_ips is not None:
            mistakes.append(
                f"public_ips = {self.public_ips} with outbound_type = userDefinedRouting: addresses are the "
                "firewall's; set firewall.public_ips instead"
            )
        if self.outbound_type.endswith("NATGateway") and (self.public_ips or 1) > NAT_GATEWAY_IPS:
            mistakes.append(
                f"public_ips = {self.public_ips} with outbound_type = {self.outbound_type}: a NAT gateway "
                f"takes at most {NAT_GATEWAY_IPS}; lower it"
            )
        return mistakes


class Hosts(Checked):
    """Which optional groups of required hosts are allowed."""

    azureml: bool = True
    """true or false: Azure ML v1's own table, telemetry included"""
    os_updates: bool = True
    """true or false: security updates of the nodes' Ubuntu"""


class Dns(Checked):
    """Names inside the network."""

    servers: Many[Address] = ()
    """a list of DNS servers of your own; they must know what `slipway hosts --format dns` lists"""
    private_zones: dict[Domain, PrivateZoneId] = Field(default_factory=dict)
    """a mapping of zone names to ids of private DNS zones that exist, as a hub network has them"""
    zone: Domain | None = None
    """the zone of the router's own domain, such as models.example.com; made as a private zone"""

    def mistakes(self) -> list[str]:
        return [
            f"private_zones.{zone} = {id_} is another zone: give the id of {zone}"
            for zone, id_ in self.private_zones.items()
            if name_of(id_).lower() != zone
        ]


class Azure(Checked):
    """Everything of a stack on Azure."""

    cloud: Literal["Public", "USGovernment", "China"] = "Public"
    """one of Public, USGovernment, China"""
    location: Region = Field(examples=["westeurope"])
    """an Azure region such as westeurope"""
    resource_group: ResourceGroup = Field(examples=[{"name": "example"}])
    """a mapping: name, or id"""
    network: Network = Network()
    """a mapping: id, address_space, subnets, model, network_policy, pod_cidr, service_cidr, dns_service_ip"""
    egress: Egress = Egress()
    """a mapping: outbound_type, public_ips, firewall"""
    hosts: Hosts = Hosts()
    """a mapping: azureml, os_updates"""
    dns: Dns = Dns()
    """a mapping: servers, private_zones, zone"""
    workspace: Workspace = Field(examples=[{"name": "workspace"}])
    """a mapping: name, location, registry, storage, key_vault, logs"""
    cluster: Cluster = Cluster()
    """a mapping: id, name, cluster_purpose, kubernetes_version, system_pool, pools, admin_group_ids, ..."""
    private: bool = False
    """true or false: a private API server; whoever deploys must stand inside the network"""
    deployer_ranges: Many[Cidr] = ()
    """a list of address ranges from which people and pipelines deploy; public endpoints take these alone"""

    def mistakes(self) -> list[str]:
        if self.private and self.deployer_ranges:
            return [
                f"deployer_ranges = {', '.join(self.deployer_ranges)} with private = true: AKS limits public "
                "API servers alone; remove one of the two"
            ]
        return [
            f"deployer_ranges = {range_} is no range of the internet, from which deployers are seen to come: "
            "give their public range, or set private: true"
            for range_ in self.deployer_ranges
            if any(IPv4Network(range_).subnet_of(private) for private in PRIVATE)
        ]


def one_of(value: Checked, first: str, second: str) -> list[str]:
    """Say it when not exactly one of two fields is given."""
    given = [name for name in (first, second) if getattr(value, name) is not None]
    if len(given) == 1:
        return []
    return [f"{first} and {second}: give one of them, not {'both' if given else 'neither'}"]
