"""What Azure refuses to write or delete, with its kind of message: general, network, rights, stores.

Codes and messages are those that people report where we know them (terraform-provider-azurerm#8609 and
#15440, AKS-Construction#501, azure-docs#108240, azure-sdk-for-go#11094); `BadRequest` where we only know
the rule, from learn.microsoft.com. Clusters have rules of their own in `cluster.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal
from uuid import UUID

from slipway.engine.sdk import schema
from slipway.plan.replacements import PATHS
from tests.engine.stand_in.cluster import POOL, SUBNET, refuse_cluster, refuse_pool
from tests.engine.stand_in.identities import CLUSTER, IDENTITY, ROLES, node_group, principals, role_id
from tests.engine.stand_in.world import (
    DEPLOYER,
    Resource,
    World,
    at,
    azure,
    maps,
    network,
    parent,
    prefix_of,
    references,
    texts,
)

Request = Literal["create", "update", "delete"]
Rule = Callable[[Resource, Resource | None, World], Iterator[str]]
"""Gives what is refused of a resource as it shall be; the second one is what it is now."""

NAMES: Mapping[str, str] = {
    "containerregistry:Registry": "[a-zA-Z0-9]{5,50}",
    "containerservice:AgentPool": "[a-z][a-z0-9]{0,11}",
    "containerservice:MaintenanceConfiguration": "default|aksManaged(AutoUpgrade|NodeOSUpgrade)Schedule",
    "keyvault:Vault": "[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]",
    "storage:BlobContainer": r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]|\$root|\$web|\$logs",
    "storage:BlobServiceProperties": "default",
    "storage:ManagementPolicy": "default",
    "storage:StorageAccount": "[a-z0-9]{3,24}",
}
GLOBAL = {"privatedns:PrivateZone", "privatedns:VirtualNetworkLink", "dns:Zone"}
ALONE: Mapping[str, str] = {
    "network:FirewallPolicyRuleCollectionGroup": "network:FirewallPolicy",
    SUBNET: "network:VirtualNetwork",
    "managedidentity:FederatedIdentityCredential": IDENTITY,
}
"""Types of which a parent takes one write at a time."""


def refuse(request: Request, resource: Resource, world: World) -> str | None:
    """Give Azure's refusal of a request, if it refuses; a resource to delete comes as it is."""
    if request == "delete":
        return next(_deleted(resource, world), None)
    before = world.find(resource.id)
    if request == "create" and before is not None:
        return f"cannot create already existing resource '{resource.id}'"
    rules = [_written, *([OF_TYPE[resource.type]] if resource.type in OF_TYPE else [])]
    return next((line for rule in rules for line in rule(resource, before, world)), None)


def alone(resource: Resource) -> set[str]:
    """Name what no other write may touch meanwhile: the parent, or the resource itself if it is one."""
    if resource.type in ALONE:
        return {parent(resource.id).lower()}
    return {resource.id.lower()} if resource.type in ALONE.values() else set()


def _bad(message: str) -> str:
    return azure("BadRequest", message)


def _deleted(resource: Resource, world: World) -> Iterator[str]:
    inside = world.under(resource.id)
    if inside and resource.type == "resources:ResourceGroup":
        # Azure would delete it all, also what a stack retains
        yield azure("ResourceGroupNotEmpty", f"{inside[0].id} is still in the resource group.", 409)
    kind = PATHS[resource.type].rsplit("/", 2)[-2].removesuffix("s")
    for user in inside + world.users(resource.id):
        yield azure(
            f"InUse{kind[:1].upper()}{kind[1:]}CannotBeDeleted",
            f"{resource.name} is in use by {user.id} and cannot be deleted.",
        )


def _written(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    above, found = parent(resource.id), schema(f"azure-native:{resource.type}")
    if world.find(above) is None and above.count("/") > 2:
        if "/providers/" not in above:
            group = above.rpartition("/")[2]
            yield azure("ResourceGroupNotFound", f"Resource group '{group}' could not be found.", 404)
        message = f"Failed to perform 'write' because the parent resource '{above}' could not be found."
        yield azure("ParentResourceNotFound", message, 404)
    if (pattern := NAMES.get(resource.type)) and re.fullmatch(pattern, resource.name) is None:
        yield azure("InvalidResourceName", f"Resource name {resource.name} is invalid.")
    place = _place(resource)
    if before is not None and place != _place(before):
        message = f"The resource '{resource.name}' already exists in location '{_place(before)}'."
        yield azure("InvalidResourceLocation", message, 409)
    if not place and found is not None and "location" in found.properties:
        yield azure("LocationRequired", "The location property is required for this definition.")
    if resource.type in GLOBAL and place != "global":
        yield azure(
            "LocationNotAvailableForResourceType",
            f"The provided location '{place}' is not available for the type of '{resource.name}'. "
            "List of available regions for the resource type is 'global'.",
        )
    groups = [f"/resourcegroups/{node_group(cluster).lower()}/" for cluster in world.of(CLUSTER)]
    for reference in references(resource.given):
        by_aks = any(group in f"{reference.lower()}/" for group in groups)
        if world.find(reference) is None and not by_aks and reference != resource.id:
            message = f"Resource {reference} referenced by resource {resource.id} was not found."
            yield azure("InvalidResourceReference", message)


def _place(resource: Resource) -> str:
    return at(resource.given, "location", "").lower().replace(" ", "")


def _network(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    prefixes = texts(resource.given, "addressSpace.addressPrefixes")
    if not prefixes or None in map(network, prefixes):
        yield azure("InvalidAddressPrefixFormat", f"Address prefixes {prefixes} are no valid CIDR notation.")
    for subnet in world.under(resource.id):
        if subnet.type == SUBNET and not _inside(prefix_of(subnet.given), prefixes):
            yield azure("InUsePrefixCannotBeDeleted", f"{resource.name} still has subnet {subnet.name}.")


def _subnet(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    prefix, above = prefix_of(resource.given), world.find(parent(resource.id))
    assert above is not None
    own = network(prefix)
    if (
        own is None
        or own.prefixlen > 29
        or not _inside(prefix, texts(above.given, "addressSpace.addressPrefixes"))
    ):
        message = f"Subnet '{resource.name}' is not valid in virtual network '{above.name}'."
        yield azure("NetcfgInvalidSubnet", message)
        return
    for other in world.under(above.id):
        taken = network(prefix_of(other.given)) if other.type == SUBNET else None
        if other.id.lower() != resource.id.lower() and taken is not None and own.overlaps(taken):
            yield azure(
                "NetcfgSubnetRangesOverlap",
                f"Subnet '{resource.name}' is not valid because its IP address range overlaps with that of "
                f"an existing subnet in virtual network '{above.name}'.",
            )
    users = world.users(resource.id)
    if before is not None and prefix_of(before.given) != prefix and users:
        yield azure("InUseSubnetCannotBeUpdated", f"{resource.name} is in use by {users[0].id}.")


def _route(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    hop, address = resource.given["nextHopType"], at(resource.given, "nextHopIpAddress")
    if (hop == "VirtualAppliance") != bool(address):
        yield _bad(f"Next hop type {hop} of {resource.name} does not go with the address {address}.")


def _address(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    if _sku(resource) == "Standard" and at(resource.given, "publicIPAllocationMethod") != "Static":
        message = f"Standard sku publicIp {resource.id} must have AllocationMethod set to Static."
        yield azure("PublicIPAddressWithStandardSkuMustUseStaticAllocation", message)


def _sku(resource: Resource, field: str = "name", default: str = "Basic") -> str:
    return at(resource.given, f"sku.{field}", default)


def _firewall(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    for found in maps(resource.given, "ipConfigurations"):
        subnet = world.find(at(found, "subnet.id", ""), SUBNET)
        whole = network(prefix_of(subnet.given)) if subnet else None
        if subnet and (subnet.name != "AzureFirewallSubnet" or whole is None or whole.prefixlen > 26):
            yield _bad(f"{subnet.name} of {whole}: a firewall's is AzureFirewallSubnet, /26 or larger.")
        address = world.find(at(found, "publicIPAddress.id", ""))
        if address and _sku(address) != "Standard":
            yield _bad(f"{address.name} must have sku Standard.")
    policy = world.find(at(resource.given, "firewallPolicy.id", ""))
    tier = _sku(resource, "tier", "Standard")
    if policy and _sku(policy, "tier", "Standard") != tier:
        yield _bad(f"A firewall of tier {tier} takes no policy of another tier.")


_TRAFFIC = (("destinationPorts",), ("ipProtocols",))
NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "ApplicationRule": (("targetFqdns", "fqdnTags", "targetUrls", "webCategories"), ("protocols",)),
    "NetworkRule": (("destinationAddresses", "destinationFqdns", "destinationIpGroups"), *_TRAFFIC),
    "NatRule": (
        ("destinationAddresses",),
        ("translatedAddress", "translatedFqdn"),
        ("translatedPort",),
        *_TRAFFIC,
    ),
}
"""Of each kind of rule, the inputs of which one must hold something."""


def _rules(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    collections, policy = maps(resource.given, "ruleCollections"), world.find(parent(resource.id))
    priorities = [found.get("priority", 0) for found in collections]
    if not all(100 <= priority <= 65000 for priority in [at(resource.given, "priority", 0), *priorities]):
        yield _bad(f"Priorities in {resource.name} must be from 100 to 65000.")
    if len(set(priorities)) < len(priorities):
        yield _bad(f"Priorities of the collections in {resource.name} must be unique.")
    for collection in collections:
        rules, where = maps(collection, "rules"), f"rule collection {collection.get('name')}"
        if not rules:
            yield _bad(f"The {where} is empty.")
        if len({rule["ruleType"] for rule in rules}) > 1:
            yield _bad(f"The {where} mixes types of rules.")
        for rule in rules:
            who, fqdns = f"rule {rule.get('name')} in {where}", texts(rule, "destinationFqdns")
            for names in (("sourceAddresses", "sourceIpGroups"), *NEEDS[rule["ruleType"]]):
                if not any(rule.get(name) for name in names):
                    yield _bad(f"The {who} has no {' or '.join(names)}.")
            if fqdns and not (policy and at(policy.given, "dnsSettings.enableProxy")):
                message = "In order to use DestinationFqdns in Network Rules, DNS Proxy must be enabled."
                yield _bad(f"{message} See {who}.")
            if any("*" in fqdn for fqdn in fqdns):
                yield _bad(f"The {who} has a wildcard, which network rules do not take.")


def _endpoint(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    for connection in maps(resource.given, "privateLinkServiceConnections"):
        target = world.find(connection.get("privateLinkServiceId", ""), "containerregistry:Registry")
        if target and _sku(target) != "Premium":
            yield _bad(f"{target.name}: private endpoints need sku Premium.")


def _registry(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    closed = at(resource.given, "publicNetworkAccess") == "Disabled"
    if _sku(resource) != "Premium" and (closed or at(resource.given, "dataEndpointEnabled")):
        yield _bad(f"{resource.name}: a closed network and data endpoints need sku Premium.")


def _role(resource: Resource, before: Resource | None, world: World) -> Iterator[str]:
    given, same = resource.given, ("principalId", "roleDefinitionId", "scope")
    try:
        UUID(resource.name)
    except ValueError:
        yield azure("InvalidRoleAssignmentId", f"The role assignment ID '{resource.name}' is not a GUID.")
    if before is not None:
        yield azure("RoleAssignmentUpdateNotPermitted", "A role assignment is not allowed to be updated.")
    elif any(all(other.given[name] == given[name] for name in same) for other in world.of(resource.type)):
        yield azure("RoleAssignmentExists", "The role assignment already exists.", 409)
    if role_id(resource) not in ROLES.values():
        message = f"The specified role definition with ID '{role_id(resource)}' does not exist."
        yield azure("RoleDefinitionDoesNotExist", message)
    # a new principal takes minutes to be known everywhere, unless its type is given; groups are Entra's own
    new, kind = given["principalId"] != DEPLOYER, at(given, "principalType")
    if kind != "Group" and (given["principalId"] not in principals(world) or (new and not kind)):
        message = f"Principal {given['principalId']} does not exist in the directory; if it is new, specify "
        yield azure("PrincipalNotFound", f"{message}principalType 'ServicePrincipal'.")


def _inside(prefix: str, prefixes: list[str]) -> bool:
    own = network(prefix)
    return own is not None and any(own.subnet_of(outer) for outer in map(network, prefixes) if outer)


OF_TYPE: Mapping[str, Rule] = {
    "network:VirtualNetwork": _network,
    SUBNET: _subnet,
    "network:Route": _route,
    "network:PublicIPAddress": _address,
    "network:AzureFirewall": _firewall,
    "network:FirewallPolicyRuleCollectionGroup": _rules,
    "network:PrivateEndpoint": _endpoint,
    "containerregistry:Registry": _registry,
    "authorization:RoleAssignment": _role,
    CLUSTER: refuse_cluster,
    POOL: refuse_pool,
}
