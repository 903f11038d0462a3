"""The cluster: what it is told, what is there before it, the way into it; attached, v1's rules."""

import pytest

from components.aks import slots
from slipway.engine import UNKNOWN, Graph
from slipway.roles import Role
from slipway.settings.cluster import Maintenance
from tests.unit.azure_programs import CLUSTERS, found, given, of, planned
from tests.unit.cluster_programs import BODY, GROUPS, POOLS, REGISTRY, STACKS, VNET, ZONE, before


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
