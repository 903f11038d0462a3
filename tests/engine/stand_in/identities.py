"""Managed identities and whom Entra knows: given ones, resources' own, and those that AKS makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.engine.stand_in.world import DEPLOYER, SUBSCRIPTION, TENANT, Json, Resource, World, at, made, texts

CLUSTER = "containerservice:ManagedCluster"
IDENTITY = "managedidentity:UserAssignedIdentity"
WITH_OWN = (CLUSTER, "containerregistry:Registry", "operationalinsights:Workspace", "storage:StorageAccount")
"""Types that may have an identity of their own."""


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
    place = f"{scope.lower()}/"
    return any(
        found.given["principalId"] in who
        and found.given["roleDefinitionId"].lower().rpartition("/")[2] in roles
        and place.startswith(f"/{found.given['scope'].lower().strip('/')}/")
        for found in world.of("authorization:RoleAssignment")
    )


def _assigned(resource: Resource) -> list[str]:
    return texts(resource.given, "identity.userAssignedIdentities")


def _profile(identifier: str) -> Mapping[str, str]:
    ids = ids_of(identifier)
    return {"clientId": ids["clientId"], "objectId": ids["principalId"], "resourceId": identifier}
