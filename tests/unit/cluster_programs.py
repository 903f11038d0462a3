"""Programs that make, adopt and attach clusters on Azure."""

from collections.abc import Iterator
from typing import Any

from slipway.engine import Graph, Registration
from tests.unit.azure_programs import CLUSTERS, GROUP_ID, azure

VNET = f"{GROUP_ID}/providers/Microsoft.Network/virtualNetworks/v"
REGISTRY = f"{GROUP_ID}/providers/Microsoft.ContainerRegistry/registries/workspace"
ZONE = f"{GROUP_ID}/providers/Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io"
BODY = f"""
vnet, logs, vault = {VNET!r}, "/subscriptions/S/logs", "/subscriptions/S/vault"
ip = az.network.PublicIPAddress("ip", resource_group_name="rg", public_ip_address_name="ip")
for name, azure in stacks.items():
    cluster = Cluster(name, ClusterArgs(
        base="aks",
        resource_group="rg",
        azure=azure,
        registry_id={REGISTRY!r},
        subnets={{role: f"{{vnet}}/subnets/{{role}}" for role in ("system", "user", "router")}},
        route_table_id="/subscriptions/S/routeTables/rt" if azure.network.model == "kubenet" else None,
        network_id=vnet,
        egress_ips=[ip.ip_address.apply(str)],
        logs_id=logs,
        vault_id=vault if azure.cluster.production else None,
        storage_id="/subscriptions/S/storage",
        storage_namespaces=["a", "b"] if name == "prod" else [],
        uploads=name == "prod",
    ))
    pulumi.export(name, [cluster.id, cluster.kubeconfig, cluster.oidc_issuer, cluster.fqdn])
"""
GROUPS = ["11111111-2222-3333-4444-555555555555"]
POOLS: list[dict[str, Any]] = [
    {"name": "fixed", "count": 2, "labels": {"team": "a"}, "taints": ["a=b:NoSchedule"]},
    {"name": "scaled", "count": 1, "min_count": 0, "max_count": 5, "zones": ["1", "3"], "os_disk_gb": 64},
    {"name": "gpu", "vm_size": "Standard_NC8as_T4_v3", "count": 1},
    {
        "name": "fpga",
        "vm_size": "Standard_NP10s",
        "count": 1,
        "accelerator": "xilinx.com/fpga-xilinx_u250_gen3x16_xdma_shell_2_1-0",
    },
]
PROD = {
    "name": "aks",
    "pools": POOLS,
    "admin_group_ids": GROUPS,
    "kubernetes_version": "1.34",
    "defender": {"sensor": True, "plan": True},
    "monitor": True,
    "azure_policy": True,
}
DEV = {
    "name": "aks",
    "cluster_purpose": "DevTest",
    "kubernetes_version": "1.34.2",
    "system_pool": {"name": "system", "count": 1, "max_count": 3},
}
STACKS = {
    "prod": azure(cluster=PROD, deployer_ranges=["203.0.113.0/24"], network={"model": "azure"}),
    "dev": azure(cluster=DEV, network={"model": "kubenet"}),
    "private": azure(private=True),
    "hub": azure(private=True, dns={"private_zones": {"privatelink.westeurope.azmk8s.io": ZONE}}),
    "dns": azure(private=True, dns={"servers": ["10.1.0.53"]}),
    "attached": azure(cluster={"id": f"{CLUSTERS}/three"}),
    "pulling": azure(
        cluster={"id": f"{CLUSTERS}/three"},
        workspace={"name": "workspace", "registry": {"id": REGISTRY, "attached": True}},
    ),
}
REAL = """
group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
vnet = az.network.VirtualNetwork(
    "v",
    virtual_network_name="v",
    resource_group_name=group.name,
    address_space=az.network.AddressSpaceArgs(address_prefixes=["10.1.0.0/16"]),
)
table = az.network.RouteTable("rt", route_table_name="rt", resource_group_name=group.name)
subnets = {}
for number, role in enumerate(("system", "user", "router")):
    subnet = az.network.Subnet(
        role,
        subnet_name=role,
        virtual_network_name=vnet.name,
        resource_group_name=group.name,
        address_prefix=f"10.1.{number * 4}.0/22",
        route_table=az.network.RouteTableArgs(id=table.id),
        opts=pulumi.ResourceOptions(depends_on=list(subnets.values())),
    )
    subnets[role] = subnet
workspace = Workspace("ws", WorkspaceArgs("aks", group.name, stacks["real"]))
cluster = Cluster("aks", ClusterArgs(
    base="aks",
    resource_group=group.name,
    azure=stacks["real"],
    registry_id=workspace.registry_id,
    subnets={role: subnet.id for role, subnet in subnets.items()},
    route_table_id=table.id,
    logs_id=workspace.logs_id,
    vault_id=workspace.vault_id,
))
for name in ("id", "kubeconfig", "oidc_issuer", "fqdn", "router_client_id", "tenant_id"):
    pulumi.export(name, getattr(cluster, name))
"""


def before(graph: Graph, one: Registration) -> Iterator[Registration]:
    """Give all that must be there before a resource."""
    for urn in one.dependencies:
        yield graph[urn]
        yield from before(graph, graph[urn])
