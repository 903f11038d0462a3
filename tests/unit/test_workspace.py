"""The workspace: who reaches it and how, what is kept, what is adopted."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.engine import UNKNOWN, Graph, Secret
from slipway.plan import to_json
from tests.engine.stand_in.world import made
from tests.unit.azure_programs import GROUP_ID, azure, found, given, of, planned, realised

BODY = """
subnet = "/subscriptions/S/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/pe"
for name, azure in stacks.items():
    ws = Workspace(name, WorkspaceArgs(base="aks", resource_group="rg", azure=azure, endpoint_subnet=subnet))
    pulumi.export(name, {
        "registry_id": ws.registry_id,
        "login_server": ws.login_server,
        "storage_id": ws.storage_id,
        "blob_endpoint": ws.blob_endpoint,
        "vault_id": ws.vault_id,
        "vault_uri": ws.vault_uri,
        "logs_id": ws.logs_id,
        "endpoints": sorted(ws.private_endpoints),
    })
"""
IN_A_GROUP = """
group = az.resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope")
vnet = az.network.VirtualNetwork(
    "v",
    virtual_network_name="v",
    resource_group_name=group.name,
    address_space=az.network.AddressSpaceArgs(address_prefixes=["10.1.0.0/16"]),
)
subnet = az.network.Subnet(
    "pe",
    subnet_name="pe",
    virtual_network_name=vnet.name,
    resource_group_name=group.name,
    address_prefix="10.1.0.0/24",
)
ws = Workspace("ws", WorkspaceArgs("aks", group.name, stacks["closed"], subnet.id))
pulumi.export("insights", ws.insights_connection_string)
pulumi.export("endpoints", {what: one.name for what, one in ws.private_endpoints.items()})
"""
PRIVATE: dict[str, Any] = {
    "name": "workspace",
    "registry": {"private_endpoint": True, "data_endpoint": True},
    "storage": {"private_endpoint": True, "redundancy": "ZRS"},
    "key_vault": {"private_endpoint": True},
}
ADOPTED = {
    "registry": f"{GROUP_ID}/providers/Microsoft.ContainerRegistry/registries/Shared",
    "storage": f"{GROUP_ID}/providers/Microsoft.Storage/storageAccounts/shared",
    "key_vault": f"{GROUP_ID}/providers/Microsoft.KeyVault/vaults/Shared",
    "logs": f"{GROUP_ID}/providers/Microsoft.OperationalInsights/workspaces/shared",
}
RANGES = ["203.0.113.0/24", "198.51.100.7/32", "198.51.100.8/31"]
STACKS = {
    "small": azure(),
    "closed": azure(workspace=PRIVATE, deployer_ranges=RANGES),
    "private": azure(workspace=PRIVATE, private=True),
    "elsewhere": azure(workspace=PRIVATE | {"location": "northeurope"}),
    "china": azure(cloud="China", location="chinanorth3"),
    "adopted": azure(
        workspace={"name": "workspace"}
        | {name: {"id": value} for name, value in ADOPTED.items()}
        | {"registry": {"id": ADOPTED["registry"], "private_endpoint": True}}
    ),
}
DATA = ("Registry", "StorageAccount", "BlobServiceProperties", "BlobContainer", "Vault", "Workspace")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return planned(tmp_path_factory.mktemp("workspaces"), STACKS, BODY)


def outputs(graph: Graph, stack: str) -> dict[str, Any]:
    found = graph.outputs[stack]
    assert isinstance(found, dict)
    return found


def access(graph: Graph, stack: str) -> list[tuple[str, str | None, list[str]]]:
    """Give who reaches registry, storage and vault from outside: whether at all, by default, and by rule."""
    registry, store = given(graph, f"{stack}-registry"), given(graph, f"{stack}-storage")
    vault = given(graph, f"{stack}-vault")["properties"]
    places = [
        (registry["publicNetworkAccess"], registry.get("networkRuleSet")),
        (store["publicNetworkAccess"], store["networkRuleSet"]),
        (vault["publicNetworkAccess"], vault["networkAcls"]),
    ]
    return [
        (
            public,
            rules["defaultAction"],
            [rule.get("iPAddressOrRange", rule.get("value")) for rule in rules["ipRules"]],
        )
        if rules
        else (public, None, [])
        for public, rules in places
    ]


def test_nothing_opens_to_a_key_an_admin_or_anyone(graph: Graph) -> None:
    wanted: dict[str, dict[str, Any]] = {
        "small-registry": {"adminUserEnabled": False, "anonymousPullEnabled": False},
        "small-storage": {
            "kind": "StorageV2",
            "allowSharedKeyAccess": False,
            "allowBlobPublicAccess": False,
            "enableHttpsTrafficOnly": True,
            "minimumTlsVersion": "TLS1_2",
        },
        "small-models": {"publicAccess": "None"},
    }
    for name, rules in wanted.items():
        assert {rule: given(graph, name)[rule] for rule in rules} == rules
    vault = given(graph, "small-vault")["properties"]
    rules = ("enableRbacAuthorization", "enablePurgeProtection", "enableSoftDelete")
    assert [vault[name] for name in rules] == [True, True, True]


def test_what_holds_data_is_protected_and_stays_in_azure(graph: Graph) -> None:
    kept = [resource for type_ in DATA for resource in of(graph, type_, "small-")]
    assert len(kept) == 8
    assert all(resource.protect and resource.options["retainOnDelete"] for resource in kept)
    assert not found(graph, "small-insights").protect


def test_the_state_holds_the_connection_string_encrypted(graph: Graph) -> None:
    hidden = found(graph, "small-insights").options["additionalSecretOutputs"]
    assert hidden == ["connectionString", "instrumentationKey"]


def test_storage_keeps_versions_and_has_the_three_containers(graph: Graph) -> None:
    names = [one.inputs["containerName"] for one in of(graph, "BlobContainer", "small-")]
    assert sorted(map(str, names)) == ["modeldata", "models", "outputs"]
    blobs = given(graph, "small-blobs")
    assert blobs["isVersioningEnabled"] is True
    assert blobs["deleteRetentionPolicy"] == {"enabled": True, "days": 14}
    assert blobs["containerDeleteRetentionPolicy"] == {"enabled": True, "days": 14}


def test_names_and_addresses_are_known_before_anything_exists(graph: Graph) -> None:
    known = {name: value for name, value in outputs(graph, "small").items() if not name.endswith("_id")}
    assert known == {
        "login_server": "workspace.azurecr.io",
        "blob_endpoint": "https://workspace.blob.core.windows.net/",
        "vault_uri": "https://workspace.vault.azure.net/",
        "endpoints": [],
    }
    assert outputs(graph, "small")["registry_id"] is UNKNOWN
    assert given(graph, "small-registry")["registryName"] == "workspace"
    assert given(graph, "small-storage")["accountName"] == "workspace"
    assert given(graph, "small-vault")["vaultName"] == "workspace"
    assert given(graph, "small-logs")["workspaceName"] == "log-workspace"
    assert given(graph, "small-insights")["resourceName"] == "appi-workspace"


def test_addresses_end_as_the_cloud_says(graph: Graph) -> None:
    china = outputs(graph, "china")
    assert china["login_server"] == "workspace.azurecr.cn"
    assert china["blob_endpoint"] == "https://workspace.blob.core.chinacloudapi.cn/"
    assert china["vault_uri"] == "https://workspace.vault.azure.cn/"


def test_without_a_private_endpoint_the_nodes_come_from_outside_too(graph: Graph) -> None:
    assert access(graph, "small") == [("Enabled", None, []), *[("Enabled", "Allow", [])] * 2]
    assert given(graph, "small-registry")["sku"] == {"name": "Standard"}


def test_with_private_endpoints_only_deployers_come_from_outside(graph: Graph) -> None:
    ranges = ["203.0.113.0/24", "198.51.100.7", "198.51.100.8", "198.51.100.9"]  # storage takes no /31, /32
    assert access(graph, "closed") == [("Enabled", "Deny", ranges)] * 3


def test_a_private_stack_is_reached_from_inside_alone(graph: Graph) -> None:
    assert access(graph, "private") == [("Disabled", "Deny", [])] * 3


def test_data_endpoint_and_redundancy_are_choices(graph: Graph) -> None:
    stacks = ("small", "closed")
    assert [given(graph, f"{one}-registry")["dataEndpointEnabled"] for one in stacks] == [False, True]
    names = [given(graph, f"{one}-storage")["sku"]["name"] for one in stacks]
    assert names == ["Standard_LRS", "Standard_ZRS"]


def test_each_private_endpoint_leads_to_its_service(graph: Graph) -> None:
    targets = {"registry": "closed-registry", "blob": "closed-storage", "vault": "closed-vault"}
    assert outputs(graph, "closed")["endpoints"] == sorted(targets)
    for what, target in targets.items():
        endpoint = found(graph, f"closed-{what}-endpoint")
        connections = endpoint.inputs["privateLinkServiceConnections"]
        assert connections == [{"name": what, "groupIds": [what], "privateLinkServiceId": UNKNOWN}]
        leads = endpoint.property_dependencies["privateLinkServiceConnections"]
        assert found(graph, target).urn in leads
        assert endpoint.inputs["privateEndpointName"] == f"pep-aks-{what}"


def test_a_workspace_in_another_region_keeps_its_endpoints_with_the_cluster(graph: Graph) -> None:
    located = [one for one in graph.registrations if one.name.startswith("elsewhere-")]
    places = {one.name: str(one.inputs["location"]) for one in located if "location" in one.inputs}
    endpoints = {name for name in places if name.endswith("-endpoint")}
    assert len(endpoints) == 3
    assert {places[name] for name in endpoints} == {"westeurope"}
    assert {places[name] for name in places.keys() - endpoints} == {"northeurope"}


def test_what_is_adopted_is_not_made(graph: Graph) -> None:
    made = {one.name for one in graph.registrations if one.custom and one.name.startswith("adopted-")}
    assert made == {"adopted-insights", "adopted-registry-endpoint"}
    assert given(graph, "adopted-insights")["workspaceResourceId"] == ADOPTED["logs"]
    assert outputs(graph, "adopted") == {
        "registry_id": ADOPTED["registry"],
        "login_server": "shared.azurecr.io",
        "storage_id": ADOPTED["storage"],
        "blob_endpoint": "https://shared.blob.core.windows.net/",
        "vault_id": ADOPTED["key_vault"],
        "vault_uri": "https://shared.vault.azure.net/",
        "logs_id": ADOPTED["logs"],
        "endpoints": ["registry"],
    }


def test_azure_takes_it_and_the_connection_string_is_nowhere_in_plain(tmp_path: Path) -> None:
    graph = realised(tmp_path, STACKS, IN_A_GROUP)
    assert graph.outputs["endpoints"] == {what: f"pep-aks-{what}" for what in ("registry", "blob", "vault")}
    key = made("instrumentation", f"{GROUP_ID}/providers/Microsoft.Insights/components/appi-workspace")
    secret = graph.outputs["insights"]
    assert isinstance(secret, Secret)
    assert key in str(secret.value)
    assert key not in json.dumps(to_json(graph))
