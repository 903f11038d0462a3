"""What a stack builds or adopts on Azure, section by section.

Every section that can be adopted takes an `id`; then nothing of it is created. Rules inside a section
are checked here, rules between sections in `slipway.settings.checks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.problems import Checked, Many
from slipway.settings.kinds import Address, Cidr, Domain, EntraId, Region, ResourceName, id_of

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$")]
PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,11}$")]
"""Azure's rule for Linux agent pools."""
ClusterPurpose = Literal["FastProd", "DenseProd", "DevTest"]
OutboundType = Literal["loadBalancer", "managedNATGateway", "userAssignedNATGateway", "userDefinedRouting"]
NetworkModel = Literal["kubenet", "azure", "overlay"]
Zone = Literal["1", "2", "3"]
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
GroupId = Annotated[str, id_of("Microsoft.Resources/resourceGroups")]
NetworkId = Annotated[str, id_of("Microsoft.Network/virtualNetworks")]
SubnetId = Annotated[str, id_of("Microsoft.Network/virtualNetworks/subnets")]
FirewallId = Annotated[str, id_of("Microsoft.Network/azureFirewalls")]
ClusterId = Annotated[str, id_of("Microsoft.ContainerService/managedClusters")]
RegistryId = Annotated[str, id_of("Microsoft.ContainerRegistry/registries")]
StorageId = Annotated[str, id_of("Microsoft.Storage/storageAccounts")]
VaultId = Annotated[str, id_of("Microsoft.KeyVault/vaults")]
LogsId = Annotated[str, id_of("Microsoft.OperationalInsights/workspaces")]
PrivateZoneId = Annotated[str, id_of("Microsoft.Network/privateDnsZones")]


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
    zones: Many[Zone] = ()
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
        if routed and self.public_ips is not None:
            mistakes.append("public_ips with userDefinedRouting: set firewall.public_ips instead")
        if self.outbound_type == "managedNATGateway" and (self.public_ips or 1) > 16:
            mistakes.append(f"public_ips = {self.public_ips}: a NAT gateway takes at most 16; lower it")
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


class Registry(Checked):
    """The workspace's container registry."""

    id: RegistryId | None = None
    """the id of a registry that exists"""
    sku: Literal["Basic", "Standard", "Premium"] = "Standard"
    """one of Basic, Standard, Premium; private endpoints need Premium"""
    private_endpoint: bool = False
    """true or false"""
    data_endpoint: bool = False
    """true or false: a host of its own for layers, so that a firewall needs no wildcard; needs Premium"""

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        premium = given.get("private_endpoint") is True or given.get("data_endpoint") is True
        return {"sku": "Premium"} if premium else {}

    def mistakes(self) -> list[str]:
        return [
            f"{name} = true with sku = {self.sku}: only Premium has it; set sku: Premium"
            for name in ("private_endpoint", "data_endpoint")
            if getattr(self, name) and self.sku != "Premium"
        ]


class Storage(Checked):
    """The workspace's storage: models, outputs, collected data."""

    id: StorageId | None = None
    """the id of a storage account that exists"""
    private_endpoint: bool = False
    """true or false"""
    redundancy: Literal["LRS", "ZRS", "GRS", "GZRS"] = "LRS"
    """one of LRS, ZRS, GRS, GZRS"""


class KeyVault(Checked):
    """The workspace's key vault: certificates and secrets."""

    id: VaultId | None = None
    """the id of a key vault that exists"""
    private_endpoint: bool = False
    """true or false"""


class Logs(Checked):
    """Log Analytics and Application Insights."""

    id: LogsId | None = None
    """the id of a Log Analytics workspace that exists"""
    retention_days: Annotated[int, Field(ge=30, le=730)] = 30
    """days from 30 to 730"""


class Workspace(Checked):
    """What v1 called a workspace: registry, storage, key vault, logs."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{4,23}$")] = Field(examples=["workspace"])
    """5 to 24 lower-case letters and digits, unique in Azure; registry, storage and key vault are named so"""
    location: Region | None = None
    """an Azure region; the cluster's without it"""
    registry: Registry = Registry()
    """a mapping: id, sku, private_endpoint, data_endpoint"""
    storage: Storage = Storage()
    """a mapping: id, private_endpoint, redundancy"""
    key_vault: KeyVault = KeyVault()
    """a mapping: id, private_endpoint"""
    logs: Logs = Logs()
    """a mapping: id, retention_days"""


class AgentPool(Checked):
    """Nodes of one kind."""

    name: PoolName = Field(examples=["pool"])
    """1 to 12 lower-case letters and digits, a letter first"""
    vm_size: str = "Standard_D4s_v5"
    """a VM size such as Standard_D4s_v5"""
    vcpu: Annotated[int, Field(gt=0)] | None = None
    """a number of cores, for a VM size that Slipway's table lacks"""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """gigabytes, for a VM size that Slipway's table lacks"""
    accelerator: str | None = None
    """an extended resource such as nvidia.com/gpu; what the VM size has without it"""
    accelerators: Annotated[int, Field(ge=0)] | None = None
    """accelerators of one node, for a VM size that Slipway's table lacks"""
    count: Annotated[int, Field(ge=0, le=1000)] = 1
    """a number of nodes; with max_count, the first number"""
    min_count: Annotated[int, Field(ge=0, le=1000)] | None = None
    """the least nodes of AKS's cluster autoscaler; count without it"""
    max_count: Annotated[int, Field(ge=1, le=1000)] | None = None
    """the most nodes of AKS's cluster autoscaler, which is off without it"""
    max_surge: Annotated[int, Field(ge=1)] = 1
    """nodes added while a pool is upgraded"""
    max_pods: Annotated[int, Field(ge=10, le=250)] | None = None
    """pods a node from 10 to 250; AKS's default of the network model without it"""
    zones: Many[Zone] = ()
    """a list of zones: "1", "2", "3\""""
    os_disk_gb: Annotated[int, Field(ge=30, le=2048)] | None = None
    """gigabytes from 30 to 2048; AKS's default without it"""
    labels: dict[str, str] = Field(default_factory=dict)
    """a mapping of node labels"""
    taints: Many[str] = ()
    """a list such as dedicated=team-a:NoSchedule; accelerators get theirs by themselves"""

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        least = self.min_count if self.min_count is not None else self.count
        if self.max_count is None and self.min_count is not None:
            mistakes.append(f"min_count = {self.min_count} without max_count: give both, or only count")
        if self.max_count is not None and not least <= self.count <= self.max_count:
            mistakes.append(
                f"count = {self.count} is not between min_count = {least} and max_count = {self.max_count}: "
                "choose one that is"
            )
        if (self.vcpu is None) != (self.memory_gb is None):
            mistakes.append("vcpu and memory_gb go together: give both, or neither")
        return mistakes

    @property
    def least(self) -> int:
        """The fewest nodes that the pool can have."""
        if self.max_count is None or self.min_count is None:
            return self.count
        return self.min_count

    @property
    def most(self) -> int:
        """The most nodes that the pool can have, a surge apart."""
        return self.max_count if self.max_count is not None else self.count


class Maintenance(Checked):
    """When AKS may upgrade by itself."""

    day: Day = "Sunday"
    """a day of the week"""
    start_time: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "02:00"
    """hours and minutes such as 02:00, UTC"""
    duration_hours: Annotated[int, Field(ge=4, le=24)] = 4
    """hours from 4 to 24"""


class Defender(Checked):
    """Microsoft Defender for Containers."""

    sensor: bool = False
    """true or false: the sensor on the nodes"""
    plan: bool = False
    """true or false: the plan of the whole subscription, which costs by core"""


class Cluster(Checked):
    """The AKS cluster: created, or attached by `id`."""

    id: ClusterId | None = None
    """the id of an AKS cluster that exists"""
    name: ResourceName = "slipway"
    """the name of the cluster to create"""
    cluster_purpose: ClusterPurpose = "FastProd"
    """one of FastProd, DenseProd, DevTest"""
    kubernetes_version: Annotated[str, StringConstraints(pattern=r"^1\.\d+(\.\d+)?$")] | None = None
    """a version such as "1.34"; AKS's default without it"""
    system_pool: AgentPool = AgentPool(name="system", count=3)
    """a mapping, as in pools; it always has nodes"""
    pools: Many[AgentPool] = ()
    """a list of agent pools for web services; without one they stand in the system pool"""
    admin_group_ids: Many[EntraId] = ()
    """a list of object ids of Entra groups whose members administer the cluster"""
    maintenance: Maintenance = Maintenance()
    """a mapping: day, start_time, duration_hours"""
    defender: Defender = Defender()
    """a mapping: sensor, plan"""
    monitor: bool = False
    """true or false: Container insights into the workspace's logs"""
    azure_policy: bool = False
    """true or false: the Azure Policy add-on"""

    def mistakes(self) -> list[str]:
        names = [self.system_pool.name, *(pool.name for pool in self.pools)]
        mistakes = [
            f"pools: two pools are named `{name}`; rename one"
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        if self.system_pool.least < 1:
            mistakes.append("system_pool: a cluster without a system node stands still; give it one or more")
        return mistakes

    @property
    def production(self) -> bool:
        """Tell whether v1's rules for production hold."""
        return self.cluster_purpose != "DevTest"


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


def one_of(value: Checked, first: str, second: str) -> list[str]:
    """Say it when not exactly one of two fields is given."""
    given = [name for name in (first, second) if getattr(value, name) is not None]
    if len(given) == 1:
        return []
    return [f"{first} and {second}: give one of them, not {'both' if given else 'neither'}"]
