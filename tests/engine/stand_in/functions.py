"""The functions of azure-native that the stand-in answers: who deploys, credentials, what exists."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping

from slipway.engine.graph import Value
from slipway.plan.replacements import PATHS
from tests.engine.stand_in.identities import CLUSTER
from tests.engine.stand_in.resources import computed, outputs
from tests.engine.stand_in.world import (
    DEPLOYER,
    SUBSCRIPTION,
    TENANT,
    Json,
    Resource,
    World,
    at,
    azure,
    identity,
    made,
)


class Refused(Exception):
    """What Azure says instead of an answer."""


def invoke(function: str, given: Json, world: World) -> dict[str, Value]:
    """Answer a function, `module:name`. Raises `Refused`; for one that is not known, by its name."""
    if function in FUNCTIONS:
        type_, answer = FUNCTIONS[function]
        return answer(_existing(type_, given, world), world)
    if function == "authorization:getClientConfig":
        return {
            "clientId": made("client", DEPLOYER),
            "objectId": DEPLOYER,
            "subscriptionId": SUBSCRIPTION,
            "tenantId": TENANT,
        }
    type_ = re.sub(":get([A-Z])", r":\1", function)
    if type_ == function or type_ not in PATHS:
        raise Refused(f"the stand-in does not know the function azure-native:{function}")
    found = _existing(type_, given, world)
    return {**outputs(found, world), "id": found.id}


def _existing(type_: str, given: Json, world: World) -> Resource:
    wanted = identity(type_, given)
    found = world.find(wanted, type_)
    if found is None:
        raise Refused(azure("ResourceNotFound", f"The Resource '{wanted}' was not found.", 404))
    return found


def _users(cluster: Resource, world: World) -> dict[str, Value]:
    if not at(cluster.given, "aadProfile.managed"):
        return _kubeconfig(cluster, "clusterUser", {"token": made("user", cluster.id)}, world)
    login = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin"}
    return _kubeconfig(cluster, "clusterUser", {"exec": {**login, "args": ["get-token"]}}, world)


def _admins(cluster: Resource, world: World) -> dict[str, Value]:
    if at(cluster.given, "disableLocalAccounts"):
        message = (
            "Getting static credential is not allowed because this cluster is set to disable local accounts."
        )
        raise Refused(azure("BadRequest", message))
    return _kubeconfig(cluster, "clusterAdmin", {"token": made("admin", cluster.id)}, world)


def _kubeconfig(cluster: Resource, name: str, user: Json, world: World) -> dict[str, Value]:
    found = computed(cluster, world)
    server = {"server": f"https://{found.get('privateFQDN', found['fqdn'])}:443"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster.name, "cluster": server}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": cluster.name, "context": {"cluster": cluster.name, "user": name}}],
        "current-context": cluster.name,
    }
    content = world.kubeconfig or json.dumps(config)
    return {"kubeconfigs": [{"name": name, "value": base64.b64encode(content.encode()).decode()}]}


def _store_keys(store: Resource, world: World) -> dict[str, Value]:
    if at(store.given, "allowSharedKeyAccess") is False:
        message = "Key based authentication is not permitted on this storage account."
        raise Refused(azure("KeyBasedAuthenticationNotPermitted", message, 403))
    return {"keys": [{"keyName": name, "value": made(name, store.id)} for name in ("key1", "key2")]}


def _registry_keys(registry: Resource, world: World) -> dict[str, Value]:
    if not at(registry.given, "adminUserEnabled"):
        message = f"The admin user of registry {registry.name} is disabled."
        raise Refused(azure("UnAuthorizedForCredentialOperations", message))
    keys = ("password", "password2")
    passwords: list[Value] = [{"name": name, "value": made(name, registry.id)} for name in keys]
    return {"username": registry.name, "passwords": passwords}


def _workspace_keys(workspace: Resource, world: World) -> dict[str, Value]:
    return {"primarySharedKey": made("key1", workspace.id), "secondarySharedKey": made("key2", workspace.id)}


FUNCTIONS: Mapping[str, tuple[str, Callable[[Resource, World], dict[str, Value]]]] = {
    "containerservice:listManagedClusterUserCredentials": (CLUSTER, _users),
    "containerservice:listManagedClusterAdminCredentials": (CLUSTER, _admins),
    "storage:listStorageAccountKeys": ("storage:StorageAccount", _store_keys),
    "containerregistry:listRegistryCredentials": ("containerregistry:Registry", _registry_keys),
    "operationalinsights:getSharedKeys": ("operationalinsights:Workspace", _workspace_keys),
}
