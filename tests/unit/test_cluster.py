"""The cluster: what it is told, what is there before it, the way into it; attached, v1's rules."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.aks import attach_mistakes, dns_prefix, slots
from slipway.engine import UNKNOWN, EngineError, Graph, Registration, Secret
from slipway.kubeconfig import exec_kubeconfig
from slipway.plan import to_json
from slipway.roles import Role
from slipway.settings.cluster import Maintenance
from tests.engine.stand_in.world import DEPLOYER, TENANT
from tests.unit.azure_programs import (
    CLUSTERS,
    GROUP_ID,
    KUBECONFIG,
    PLANTED,
    azure,
    found,
    given,
    of,
    planned,
    realised,
)

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


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return planned(tmp_path_factory.mktemp("clusters"), STACKS, BODY)


def roles(graph: Graph, stack: str) -> dict[str, tuple[str, str]]:
    """Give each role assignment's role and the type of whom it is for."""
    return {
        one.name.removeprefix(f"{stack}-"): (
            str(one.inputs["roleDefinitionId"]).rpartition("/")[2][:8],
            str(one.inputs.get("principalType")),
        )
        for one in of(graph, "RoleAssignment", f"{stack}-")
    }


def before(graph: Graph, one: Registration) -> Iterator[Registration]:
    """Give all that must be there before a resource."""
    for urn in one.dependencies:
        yield graph[urn]
        yield from before(graph, graph[urn])


def test_identities_and_their_rights_are_there_before_the_cluster(graph: Graph) -> None:
    first = {one.name for one in before(graph, found(graph, "dev", "ManagedCluster"))}
    assert first >= {
        "dev-cluster-identity",
        "dev-kubelet-identity",
        "dev-kubelet-operator",
        "dev-route-table",
        *(f"dev-subnet-{role}" for role in ("system", "user", "router")),
    }
    assert roles(graph, "dev") == {
        "subnet-system": ("4d97b98b", "ServicePrincipal"),
        "subnet-user": ("4d97b98b", "ServicePrincipal"),
        "subnet-router": ("4d97b98b", "ServicePrincipal"),
        "route-table": ("4d97b98b", "ServicePrincipal"),
        "kubelet-operator": ("f1a07417", "ServicePrincipal"),
        "pull": ("7f951dda", "ServicePrincipal"),
        "admin": ("b1ff04bb", "None"),
    }


def test_rights_are_the_clusters_and_images_the_nodes(graph: Graph) -> None:
    nodes, own = (found(graph, f"prod-{use}-identity").urn for use in ("kubelet", "cluster"))
    operator, pull = found(graph, "prod-kubelet-operator"), found(graph, "prod-pull")
    assert operator.property_dependencies == {"principalId": (own,), "scope": (nodes,)}
    assert pull.property_dependencies == {"principalId": (nodes,)}
    assert pull.inputs["scope"] == REGISTRY
    cluster = found(graph, "prod", "ManagedCluster")
    assert cluster.property_dependencies["identity"] == (own,)
    assert cluster.property_dependencies["identityProfile"] == (nodes,)
    names = {given(graph, f"prod-{use}-identity")["resourceName"] for use in ("kubelet", "cluster", "router")}
    assert names == {"id-aks-kubelet", "id-aks-cluster", "id-aks-router"}


def test_people_log_in_with_entra_alone_and_pods_with_federation(graph: Graph) -> None:
    cluster = given(graph, "prod", "ManagedCluster")
    assert cluster["disableLocalAccounts"] is True
    assert cluster["enableRBAC"] is True
    assert cluster["aadProfile"] == {"managed": True, "enableAzureRBAC": True, "adminGroupObjectIDs": GROUPS}
    assert cluster["oidcIssuerProfile"] == {"enabled": True}
    assert cluster["securityProfile"]["workloadIdentity"] == {"enabled": True}
    assert roles(graph, "prod")[f"admin-{GROUPS[0]}"] == ("b1ff04bb", "Group")


def test_one_system_pool_is_inline_and_every_other_stands_apart(graph: Graph) -> None:
    (system,) = given(graph, "prod", "ManagedCluster")["agentPoolProfiles"]
    assert (system["name"], system["mode"], system["count"]) == ("system", "System", 3)
    assert system["vnetSubnetID"] == f"{VNET}/subnets/system"
    apart = of(graph, "AgentPool", "prod-")
    assert [one.inputs["agentPoolName"] for one in apart] == ["fixed", "fpga", "gpu", "scaled"]
    assert {str(one.inputs["vnetSubnetID"]) for one in apart} == {f"{VNET}/subnets/user"}
    assert {str(one.inputs["mode"]) for one in apart} == {"User"}


def test_only_the_number_of_autoscaled_nodes_is_azures(graph: Graph) -> None:
    ignored = {one.name: one.ignore_changes for one in graph.registrations if one.ignore_changes}
    assert ignored == {"prod-scaled": ("count",), "dev": ("agentPoolProfiles[0].count",)}
    scaled, fixed = given(graph, "prod-scaled"), given(graph, "prod-fixed")
    fields = ("count", "enableAutoScaling", "minCount", "maxCount", "availabilityZones", "osDiskSizeGB")
    assert [scaled.get(name) for name in fields] == [1, True, 0, 5, ["1", "3"], 64]
    assert [fixed.get(name) for name in fields] == [2, False, None, None, None, None]
    (system,) = given(graph, "dev", "ManagedCluster")["agentPoolProfiles"]
    assert [system[name] for name in fields[:4]] == [1, True, 1, 3]


def test_when_a_cluster_has_a_version_then_its_pools_have_it_too(graph: Graph) -> None:
    for stack, version in (("prod", "1.34"), ("dev", "1.34.2"), ("private", None)):
        cluster = given(graph, stack, "ManagedCluster")
        apart = [one.inputs for one in of(graph, "AgentPool", f"{stack}-")]
        assert cluster.get("kubernetesVersion") == version
        pools = [*cluster["agentPoolProfiles"], *apart]
        assert [pool.get("orchestratorVersion") for pool in pools] == [version] * len(pools)


def test_nodes_with_accelerators_say_so_and_keep_other_pods_away(graph: Graph) -> None:
    gpu, fpga, fixed = (given(graph, f"prod-{name}") for name in ("gpu", "fpga", "fixed"))
    assert gpu["nodeTaints"] == ["nvidia.com/gpu=present:NoSchedule"]
    assert gpu["nodeLabels"] == {"slipway/accelerator": "nvidia.com_gpu"}
    shell = POOLS[3]["accelerator"]
    assert fpga["nodeTaints"] == [f"{shell}=present:NoSchedule"]
    assert fpga["nodeLabels"] == {"slipway/accelerator": shell.replace("/", "_")}
    assert (fixed["nodeTaints"], fixed["nodeLabels"]) == (["a=b:NoSchedule"], {"team": "a"})


def test_pods_of_a_node_are_as_many_as_the_arithmetic_counts(graph: Graph) -> None:
    most = {
        stack: given(graph, stack, "ManagedCluster")["agentPoolProfiles"][0]["maxPods"]
        for stack in STACKS
        if stack not in {"attached", "pulling"}
    }
    assert most == {"prod": 30, "dev": 110, "private": 250, "hub": 250, "dns": 250}


def test_each_network_model_is_what_azure_calls_it(graph: Graph) -> None:
    names = ("networkPlugin", "networkPluginMode", "networkPolicy", "networkDataplane", "podCidr")
    profiles = {
        one: given(graph, one, "ManagedCluster")["networkProfile"] for one in ("prod", "dev", "private")
    }
    assert {one: [profile.get(name) for name in names] for one, profile in profiles.items()} == {
        "prod": ["azure", None, "cilium", "cilium", None],
        "dev": ["kubenet", None, "calico", None, "10.244.0.0/16"],
        "private": ["azure", "overlay", "cilium", "cilium", "10.244.0.0/16"],
    }


def test_the_api_server_takes_deployers_and_the_nodes_own_address(graph: Graph) -> None:
    profile = given(graph, "prod", "ManagedCluster")["apiServerAccessProfile"]
    assert profile == {"enablePrivateCluster": False, "authorizedIPRanges": ["203.0.113.0/24", UNKNOWN]}
    uses = found(graph, "prod", "ManagedCluster").property_dependencies["apiServerAccessProfile"]
    assert uses == (found(graph, "ip").urn,)
    assert given(graph, "dev", "ManagedCluster")["apiServerAccessProfile"] == {"enablePrivateCluster": False}


def test_a_private_api_server_has_azures_zone_or_the_hubs(graph: Graph) -> None:
    closed = {"enablePrivateCluster": True, "enablePrivateClusterPublicFQDN": False}
    private, hub = (given(graph, stack, "ManagedCluster") for stack in ("private", "hub"))
    assert private["apiServerAccessProfile"] == closed | {"privateDNSZone": "system"}
    assert hub["apiServerAccessProfile"] == closed | {"privateDNSZone": ZONE}
    assert (private.get("dnsPrefix"), private.get("fqdnSubdomain")) == ("aks", None)
    assert (hub.get("dnsPrefix"), hub.get("fqdnSubdomain")) == (None, "aks")
    more = roles(graph, "hub").items() - roles(graph, "private").items()
    assert {(what, role) for what, (role, _) in more} == {
        ("api-server-zone", "b12aa53e"),
        ("network", "4d97b98b"),
    }
    first = {one.name for one in before(graph, found(graph, "hub", "ManagedCluster"))}
    assert first >= {"hub-api-server-zone", "hub-network"}
    assert roles(graph, "dns").items() - roles(graph, "private").items() == {
        ("network", ("4d97b98b", "ServicePrincipal"))
    }


def test_production_is_protected_and_paid_for(graph: Graph) -> None:
    clusters = {one.name: one for one in of(graph, "ManagedCluster")}
    protected = {name: one.protect for name, one in clusters.items()}
    assert {stack for stack, is_ in protected.items() if is_} == {"prod", "private", "hub", "dns"}
    tiers = [given(graph, one, "ManagedCluster")["sku"]["tier"] for one in ("prod", "dev")]
    assert tiers == ["Standard", "Free"]
    assert clusters["prod"].inputs["tags"] == {"slipway-stack": "small/test", "cluster-purpose": "FastProd"}
    assert clusters["prod"].inputs["nodeResourceGroup"] == "rg-aks-nodes"


def test_azure_patches_by_itself_unless_the_stack_names_its_patch(graph: Graph) -> None:
    profiles = [
        given(graph, one, "ManagedCluster")["autoUpgradeProfile"] for one in ("prod", "dev", "private")
    ]
    assert [one["upgradeChannel"] for one in profiles] == ["patch", "none", "patch"]
    assert {one["nodeOSUpgradeChannel"] for one in profiles} == {"NodeImage"}


def test_upgrades_come_in_the_window(graph: Graph) -> None:
    window = {
        "schedule": {"weekly": {"dayOfWeek": "Sunday", "intervalWeeks": 1}},
        "startTime": "02:00",
        "utcOffset": "+00:00",
        "durationHours": 4,
    }
    configs = {
        str(one.inputs["configName"]): one.inputs for one in of(graph, "MaintenanceConfiguration", "dev-")
    }
    assert configs["aksManagedAutoUpgradeSchedule"]["maintenanceWindow"] == window
    assert configs["aksManagedNodeOSUpgradeSchedule"]["maintenanceWindow"] == window
    assert configs["default"]["timeInWeek"] == [{"day": "Sunday", "hourSlots": [2, 3, 4, 5]}]


def test_a_window_goes_on_after_midnight() -> None:
    late = Maintenance(day="Sunday", start_time="22:30", duration_hours=6)
    assert slots(late) == {"Sunday": [22, 23], "Monday": [0, 1, 2, 3]}
    whole = slots(Maintenance(day="Friday", start_time="00:00", duration_hours=24))
    assert whole == {"Friday": list(range(24))}


def test_add_ons_are_those_that_the_stack_asks_for(graph: Graph) -> None:
    prod = given(graph, "prod", "ManagedCluster")
    insights = {"logAnalyticsWorkspaceResourceID": "/subscriptions/S/logs", "useAADAuth": "true"}
    rotation = {"enableSecretRotation": "true", "rotationPollInterval": "2m"}
    assert prod["addonProfiles"] == {
        "azureKeyvaultSecretsProvider": {"enabled": True, "config": rotation},
        "azurepolicy": {"enabled": True},
        "omsagent": {"enabled": True, "config": insights},
    }
    assert prod["securityProfile"]["defender"] == {
        "logAnalyticsWorkspaceResourceId": "/subscriptions/S/logs",
        "securityMonitoring": {"enabled": True},
    }
    dev = given(graph, "dev", "ManagedCluster")
    assert "addonProfiles" not in dev
    assert "defender" not in dev["securityProfile"]


def test_container_insights_has_a_rule_and_defender_a_plan_that_stays(graph: Graph) -> None:
    (link,) = of(graph, "DataCollectionRuleAssociation")
    rule = found(graph, "prod-rule", ":DataCollectionRule")
    assert link.property_dependencies == {
        "dataCollectionRuleId": (rule.urn,),
        "resourceUri": (found(graph, "prod", "ManagedCluster").urn,),
    }
    (plan,) = of(graph, "Pricing")
    assert (plan.inputs["pricingName"], plan.inputs["pricingTier"]) == ("Containers", "Standard")
    assert plan.options["retainOnDelete"] is True


def test_the_router_reads_its_certificate_as_an_identity_of_its_own(graph: Graph) -> None:
    credential, identity = found(graph, "prod-router"), found(graph, "prod-router-identity")
    assert credential.inputs["subject"] == "system:serviceaccount:slipway:slipway-router"
    assert credential.inputs["audiences"] == ["api://AzureADTokenExchange"]
    assert credential.property_dependencies["issuer"] == (found(graph, "prod", "ManagedCluster").urn,)
    reads = found(graph, "prod-certificate")
    assert reads.inputs["scope"] == "/subscriptions/S/vault"
    assert reads.property_dependencies == {"principalId": (identity.urn,)}
    assert not [one for one in graph.registrations if one.name.startswith("dev-router")]


def test_web_services_fetch_models_as_an_identity_of_their_own(graph: Graph) -> None:
    first, second = found(graph, "prod-webservices-a"), found(graph, "prod-webservices-b")
    subjects = [one.inputs["subject"] for one in (first, second)]
    assert subjects == [f"system:serviceaccount:{name}:slipway-webservice" for name in "ab"]
    assert first.urn in second.dependencies, "Azure takes one at a time of an identity"
    reads = found(graph, "prod-models")
    assert reads.inputs["scope"] == "/subscriptions/S/storage"
    assert str(reads.inputs["roleDefinitionId"]).endswith(Role.STORAGE_BLOB_DATA_READER.value)
    assert reads.property_dependencies == {"principalId": (found(graph, "prod-webservices-identity").urn,)}
    writes = found(graph, "prod-uploads")
    assert writes.inputs["scope"] == "/subscriptions/S/storage"
    assert str(writes.inputs["roleDefinitionId"]).endswith(Role.STORAGE_BLOB_DATA_CONTRIBUTOR.value)
    assert not [one for one in graph.registrations if one.name.startswith("dev-webservices")]


def test_an_attached_cluster_is_read_and_only_lets_its_nodes_pull(graph: Graph) -> None:
    mine = [one for one in graph.registrations if one.name.startswith("attached") and one.custom]
    cluster = found(graph, "attached", "ManagedCluster")
    assert cluster.external
    assert cluster.id == f"{CLUSTERS}/three"
    others = {one.name for one in mine if one is not cluster}
    assert others == {"attached-pull", "attached-router", "attached-router-identity", "attached-certificate"}
    assert roles(graph, "attached").keys() - roles(graph, "pulling").keys() == {"pull"}


def test_azure_takes_it_with_its_rights_and_gives_a_way_in_that_is_secret(tmp_path: Path) -> None:
    settings = azure(cluster=PROD | {"pools": POOLS[:3]}, network={"model": "kubenet"})
    graph = realised(tmp_path, {"real": settings}, REAL)
    outputs = graph.outputs
    assert outputs["id"] == f"{CLUSTERS}/aks"
    assert str(outputs["oidc_issuer"]).startswith("https://westeurope.oic.prod-aks.azure.com/")
    assert str(outputs["fqdn"]).endswith(".hcp.westeurope.azmk8s.io")
    assert outputs["tenant_id"] == TENANT
    secret = outputs["kubeconfig"]
    assert isinstance(secret, Secret)
    assert PLANTED in str(secret.value)
    everything = json.dumps(to_json(graph))
    encoded = base64.b64encode(json.dumps(KUBECONFIG).encode()).decode()
    assert PLANTED not in everything
    assert encoded not in everything
    assert encoded not in str(graph.outputs)


def test_who_deploys_administers_a_cluster_without_groups(tmp_path: Path) -> None:
    graph = realised(tmp_path, {"real": azure(cluster=DEV, network={"model": "kubenet"})}, REAL)
    assert given(graph, "aks-admin")["principalId"] == DEPLOYER
    assert given(graph, "aks-admin")["scope"] == GROUP_ID
    assert found(graph, "aks-admin") in before(graph, found(graph, "aks", "ManagedCluster"))


def test_who_deploys_administers_no_other_cluster_of_a_group_that_exists(tmp_path: Path) -> None:
    adopted = azure(cluster=DEV, network={"model": "kubenet"}, resource_group={"id": GROUP_ID})
    graph = realised(tmp_path, {"real": adopted}, REAL)
    assert given(graph, "aks-admin")["scope"] == f"{CLUSTERS}/aks"


SLOW = """
slow = az.resources.ResourceGroup("slow", resource_group_name="slow", location="westeurope")
args = ClusterArgs("aks", "rg", stacks["real"], "registry", {"system": "subnet"})
Cluster("aks", args, pulumi.ResourceOptions(depends_on=[slow]))
"""


def test_rights_do_not_wait_for_what_the_cluster_waits_for(tmp_path: Path) -> None:
    graph = planned(tmp_path, {"real": azure(cluster=DEV)}, SLOW)
    slow = found(graph, "slow")
    assert slow in before(graph, found(graph, "aks", "ManagedCluster"))
    for right in ("aks-admin", "aks-subnet-system", "aks-kubelet-operator"):
        assert slow not in before(graph, found(graph, right))


ATTACH = """
group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
workspace = Workspace("ws", WorkspaceArgs("aks", group.name, stacks["real"]))
cluster = Cluster("aks", ClusterArgs("aks", group.name, stacks["real"], workspace.registry_id))
pulumi.export("id", cluster.id)
pulumi.export("kubeconfig", cluster.kubeconfig)
"""


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("three", ""), ("two", "takes 3 nodes and 12 cores at least, and the cluster has 2 nodes and 16 cores")],
)
def test_an_attached_cluster_must_fit_v1s_rules(tmp_path: Path, name: str, refusal: str) -> None:
    stacks = {"real": azure(cluster={"id": f"{CLUSTERS}/{name}"})}
    if refusal:
        with pytest.raises(EngineError, match=refusal):
            realised(tmp_path, stacks, ATTACH)
        return
    graph = realised(tmp_path, stacks, ATTACH)
    assert graph.outputs["id"] == f"{CLUSTERS}/{name}"
    assert isinstance(graph.outputs["kubeconfig"], Secret)


@pytest.mark.parametrize(
    ("purpose", "pools", "fits"),
    [
        ("FastProd", [("Standard_D4s_v5", 3)], True),
        ("DenseProd", [("Standard_D4s_v5", 2), ("Standard_D4s_v5", 1)], True),
        ("FastProd", [("Standard_D8s_v5", 2)], False),  # 16 cores, 2 nodes
        ("FastProd", [("Standard_D2s_v5", 5)], False),  # 10 cores
        ("FastProd", [("Standard_D2s_v5", 6)], True),
        ("FastProd", [("Standard_Own", 3)], True),  # nobody knows its cores
        ("FastProd", [("Standard_Own", 2)], False),
        ("DevTest", [("Standard_D2s_v5", 1)], True),
        ("DevTest", [("Standard_D2s_v5", 0)], False),
    ],
)
def test_v1s_rules_hold_just_inside_and_not_just_outside(purpose: Any, pools: Any, fits: bool) -> None:
    assert (attach_mistakes("id", purpose, pools) == []) is fits


def test_the_kubeconfig_logs_in_through_our_command_in_the_clusters_tenant() -> None:
    config = yaml.safe_load(exec_kubeconfig(yaml.safe_dump(KUBECONFIG), "USGovernment"))
    (user,) = config["users"]
    plugin = user["user"]["exec"]
    assert plugin["command"] == "slipway"
    assert plugin["args"] == ["kube-token", "--cloud", "USGovernment", "--tenant", TENANT]
    assert plugin["apiVersion"] == "client.authentication.k8s.io/v1"
    assert plugin["interactiveMode"] == "Never"
    assert {name: config[name] for name in config if name != "users"} == {
        name: value for name, value in KUBECONFIG.items() if name != "users"
    }


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ({"auth-provider": {"name": "azure", "config": {"tenant-id": "T"}}}, ["--tenant", "T"]),
        ({"exec": {"command": "kubelogin"}}, []),
        ({"client-certificate-data": "C", "token": "T"}, None),
    ],
)
def test_older_logins_are_replaced_and_credentials_of_a_cluster_without_entra_kept(
    user: dict[str, Any], arguments: list[str] | None
) -> None:
    config = yaml.safe_load(
        exec_kubeconfig(yaml.safe_dump({"users": [{"name": "a", "user": user}]}), "Public")
    )
    (after,) = config["users"]
    if arguments is None:
        assert after == {"name": "a", "user": user}
    else:
        assert list(after["user"]) == ["exec"]
        assert after["user"]["exec"]["args"] == ["kube-token", "--cloud", "Public", *arguments]


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("slipway-prod", "slipway-prod"),
        ("a_b.c", "a-b-c"),
        ("x" * 60, "x" * 54),
        ("x" * 53 + "-y", "x" * 53),
        ("a_", "a"),
    ],
)
def test_the_api_servers_name_begins_as_azure_allows(base: str, prefix: str) -> None:
    assert dns_prefix(base) == prefix
