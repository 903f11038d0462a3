"""The stand-in for azure-native over its gRPC interface: what it makes, tells, and refuses as Azure does."""

from __future__ import annotations

from pathlib import Path

import pytest
from pulumi.runtime.proto import provider_pb2 as pb

from slipway.engine import UNKNOWN, Secret
from slipway.engine.graph import known
from slipway.engine.sdk import previewed
from slipway.plan.replacements import PATHS
from tests.engine.stand_in.client import AzureError, Client, Made, connected, urn_of
from tests.engine.stand_in.samples import (
    CLUSTER,
    GROUP,
    HIDDEN,
    IDENTITY,
    POOL,
    REGISTRY,
    RG,
    STORE,
    SUBNET,
    TABLE,
    VNET,
    Json,
    Kubenet,
    everything,
    subnet,
    subscription,
    type_of,
    vnet,
)
from tests.engine.stand_in.world import DEPLOYER, SUBSCRIPTION, World


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
    changed = azure.update(made, preview=True, tags={"a": "c"})
    assert changed["principalId"] is UNKNOWN
    assert changed["name"] == made.outputs["name"]  # what stands under it is not replaced
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
def test_when_place_name_or_sku_are_wrong_then_the_resource_is_refused(
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
