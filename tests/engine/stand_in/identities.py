"""Managed identities and whom Entra knows: given ones, resources' own, and those that AKS makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.engine.stand_in.world import DEPLOYER, SUBSCRIPTION, TENANT, Json, Resource, World, at, made, texts

CLUSTER = "containerservice:ManagedCluster"
IDENTITY = "managedidentity:UserAssignedIdentity"
WITH_OWN = (CLUSTER, "containerregistry:Registry", "operationalinsights:Workspace", "storage:StorageAccount")
"""Types that may have an identity of their own."""
ROLES: Mapping[str, str] = {
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "AcrPush": "8311e382-0749-4cb8-b61a-304f252e45ec",
    "Azure Kubernetes Service Cluster User Role": "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
    "Azure Kubernetes Service RBAC Cluster Admin": "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
    "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "DNS Zone Contributor": "befefa01-2a29-4197-83a8-272ff33ce314",
    "Key Vault Certificate User": "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Log Analytics Contributor": "92aaf0da-9dab-42b6-94a3-d43ce8d16293",
    "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
    "Owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "Private DNS Zone Contributor": "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
}
"""Built-in roles that stacks may give; learn.microsoft.com, built-in-roles, 2026-11-24."""


def ids_of(identifier: str) -> Mapping[str, str]:
    """Give the ids that Entra has of the identity of a resource."""
    return {"principalId": made("principal", identifier), "clientId": made("client", identifier)}


def own_identity(resource: Resource) -> Mapping[str, Any]:
    """Give what a resource tells of the identities that it was given or has by itself."""
    kind = at(resource.given, "identity.type", "")
    users = {identifier: ids_of(identifier) for identifier in _assigned(resource)}
    own = {"principalId": ids_of(resource.id)["principalId"], "tenantId": TENANT}
    found = {
        **({"userAssignedIdentities": users} if users else {}),
        **(own if "SystemAssigned" in kind else {}),
    }
    return {"identity": found} if found else {}


def node_group(cluster: Resource) -> str:
    """Name the resource group that AKS makes for the nodes."""
    given = cluster.given
    default = f"MC_{given['resourceGroupName']}_{cluster.name}_{at(given, 'location')}"
    return at(given, "nodeResourceGroup", default)


def made_by_aks(cluster: Resource, name: str) -> Mapping[str, str]:
    """Give an identity that AKS makes: the nodes', or an add-on's."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{node_group(cluster)}"
    return _profile(f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")


def kubelet(cluster: Resource) -> Mapping[str, str]:
    """Give the identity with which a cluster's nodes pull images."""
    given = at(cluster.given, "identityProfile.kubeletidentity.resourceId")
    return _profile(given) if given else made_by_aks(cluster, f"{cluster.name}-agentpool")


def addons(cluster: Resource) -> Mapping[str, Json]:
    """Give a cluster's add-ons, those that are on with their identities."""
    given: Mapping[str, Json] = at(cluster.given, "addonProfiles", {})
    return {
        name: {**addon, "identity": made_by_aks(cluster, f"{name.lower()}-{cluster.name}")}
        for name, addon in given.items()
        if addon.get("enabled")
    }


def principals(world: World) -> set[str]:
    """Give every principal that exists: whoever deploys, and the identities of resources."""
    found = {DEPLOYER, *(ids_of(identity.id)["principalId"] for identity in world.of(IDENTITY))}
    for resource in (each for type_ in WITH_OWN for each in world.of(type_)):
        if "SystemAssigned" in at(resource.given, "identity.type", ""):
            found.add(ids_of(resource.id)["principalId"])
    for cluster in world.of(CLUSTER):
        found |= {
            kubelet(cluster)["objectId"],
            *(addon["identity"]["objectId"] for addon in addons(cluster).values()),
        }
    return found


def control_plane(cluster: Resource) -> set[str]:
    """Give the principals with which a cluster acts on Azure that may be known before it exists."""
    return {ids_of(identifier)["principalId"] for identifier in _assigned(cluster)}


def may(who: set[str], scope: str, roles: set[str], world: World) -> bool:
    """Tell whether one of the principals has one of the roles on a scope, or on one that it lies in."""
    place, wanted = f"{scope.lower()}/", {ROLES[role] for role in roles}
    return any(
        found.given["principalId"] in who
        and role_id(found) in wanted
        and place.startswith(f"/{found.given['scope'].lower().strip('/')}/")
        for found in world.of("authorization:RoleAssignment")
    )


def role_id(assignment: Resource) -> str:
    """Give the UUID of the role that is given."""
    return assignment.given["roleDefinitionId"].lower().rpartition("/")[2]


def _assigned(resource: Resource) -> list[str]:
    return texts(resource.given, "identity.userAssignedIdentities")


def _profile(identifier: str) -> Mapping[str, str]:
    ids = ids_of(identifier)
    return {"clientId": ids["clientId"], "objectId": ids["principalId"], "resourceId": identifier}
