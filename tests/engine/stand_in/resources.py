"""The outputs of each type that the stand-in knows, the same for the same id and inputs.

What an input has already, and the SDK declares as an output, needs no line here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any, cast

from slipway.engine.graph import UNKNOWN, Secret, Value
from slipway.engine.sdk import previewed
from tests.engine.stand_in.identities import (
    CLUSTER,
    IDENTITY,
    addons,
    ids_of,
    kubelet,
    node_group,
    own_identity,
)
from tests.engine.stand_in.world import TENANT, Json, Resource, World, at, made, maps, prefix_of

STORES = ("blob", "dfs", "file", "queue", "table", "web")


def outputs(resource: Resource, world: World) -> dict[str, Value]:
    """Give all outputs of a resource that exists; what was a secret input stays a secret."""
    shown = previewed(f"azure-native:{resource.type}", resource.inputs)
    assert shown is not None
    own: dict[str, Any] = {
        "name": resource.name,
        "type": _type(resource.id),
        "provisioningState": "Succeeded",
        "etag": f'W/"{made("etag", resource.id)}"',
    }
    known = {name: _known(value) for name, value in shown.items() if value is not UNKNOWN}
    general = {name: value for name, value in own.items() if name in shown and name not in known}
    return _merged(general | known, computed(resource, world))


def computed(resource: Resource, world: World) -> Json:
    """Give the outputs that Azure makes up."""
    return OUTPUTS[resource.type](resource, world) if resource.type in OUTPUTS else {}


def _type(identifier: str) -> str:
    """Give Azure's type of an id: `Microsoft.Network/virtualNetworks/subnets`."""
    above, _, last = identifier.rpartition("/providers/")
    provider, *names = last.split("/")
    return "/".join([provider, *names[::2]]) if above else "Microsoft.Resources/resourceGroups"


def _known(value: Value) -> Value:
    """Leave out what is unknown inside a value."""
    match value:
        case Secret(inner):
            return Secret(_known(inner))
        case dict():
            return {name: _known(inner) for name, inner in value.items() if inner is not UNKNOWN}
        case list():
            return [_known(inner) for inner in value]
        case _:
            return value


def _merged(value: Mapping[str, Any], more: Json) -> dict[str, Any]:
    merged = dict(value)
    for name, inner in more.items():
        both = isinstance(inner, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], cast("Json", inner)) if both else inner
    return merged


def _number(identifier: str) -> int:
    """Give a number that is always the same for an id."""
    return int(hashlib.sha256(identifier.lower().encode()).hexdigest()[:8], 16)


def _place(resource: Resource) -> str:
    return at(resource.given, "location", "")


def _address(subnet: str, index: int, world: World) -> str:
    """Give an address of a subnet; Azure keeps the first four and the last."""
    found = world.find(subnet)
    return str(ip_network(prefix_of(found.given))[index]) if found else ""


def _group(resource: Resource, world: World) -> Json:
    return {"properties": {"provisioningState": "Succeeded"}}


def _public_ip(resource: Resource, world: World) -> Json:
    seed, label = _number(resource.id), at(resource.given, "dnsSettings.domainNameLabel")
    fqdn = {"dnsSettings": {"fqdn": f"{label}.{_place(resource)}.cloudapp.azure.com"}} if label else {}
    return {"ipAddress": f"20.{seed >> 16 & 255}.{seed >> 8 & 255}.{seed & 255}", **fqdn}


def _public_prefix(resource: Resource, world: World) -> Json:
    seed = _number(resource.id)
    range_ = ip_network(f"20.{seed >> 8 & 255}.{seed & 255}.0/{at(resource.given, 'prefixLength', 28)}")
    return {"ipPrefix": str(range_)}


def _firewall(resource: Resource, world: World) -> Json:
    return {
        "ipConfigurations": [
            {**found, "privateIPAddress": _address(at(found, "subnet.id", ""), 4, world)}
            for found in maps(resource.given, "ipConfigurations")
        ]
    }


def _endpoint(resource: Resource, world: World) -> Json:
    address = _address(at(resource.given, "subnet.id", ""), 5 + _number(resource.id) % 16, world)
    connections = maps(resource.given, "privateLinkServiceConnections")
    return {
        "networkInterfaces": [{"id": resource.id.replace("privateEndpoints", "networkInterfaces") + ".nic"}],
        "customDnsConfigs": [
            {"fqdn": found["privateLinkServiceId"].rpartition("/")[2], "ipAddresses": [address]}
            for found in connections
        ],
    }


def _zone(resource: Resource, world: World) -> Json:
    ends = enumerate(("com", "net", "org", "info"), 1)
    return {"nameServers": [f"ns{n}-01.azure-dns.{end}." for n, end in ends]}


def _record(resource: Resource, world: World) -> Json:
    zone = at(resource.given, "privateZoneName") or at(resource.given, "zoneName")
    return {"fqdn": f"{zone}." if resource.name == "@" else f"{resource.name}.{zone}."}


def _identity(resource: Resource, world: World) -> Json:
    return {**ids_of(resource.id), "tenantId": TENANT}


def _cluster(resource: Resource, world: World) -> Json:
    given, place = resource.given, _place(resource)
    host = f"{at(given, 'dnsPrefix', resource.name)}-{_number(resource.id):08x}"
    private = f"{host}.{made('zone', resource.id)}.privatelink.{place}.azmk8s.io"
    issuer = f"https://{place}.oic.prod-aks.azure.com/{TENANT}/{made('issuer', resource.id)}/"
    is_private = at(given, "apiServerAccessProfile.enablePrivateCluster", False)
    return {
        **own_identity(resource),
        **({"privateFQDN": private} if is_private else {}),
        **({"oidcIssuerProfile": {"issuerURL": issuer}} if at(given, "oidcIssuerProfile.enabled") else {}),
        **({"addonProfiles": addons(resource)} if addons(resource) else {}),
        "fqdn": f"{host}.hcp.{place}.azmk8s.io",
        "azurePortalFQDN": f"{host}.portal.hcp.{place}.azmk8s.io",
        "identityProfile": {"kubeletidentity": kubelet(resource)},
        "nodeResourceGroup": node_group(resource),
        "currentKubernetesVersion": at(given, "kubernetesVersion", "1.33"),
        "powerState": {"code": "Running"},
    }


def _pool(resource: Resource, world: World) -> Json:
    return {"currentOrchestratorVersion": at(resource.given, "orchestratorVersion", "1.33")}


def _registry(resource: Resource, world: World) -> Json:
    host = resource.name.lower()
    ends = [f"{host}.{_place(resource)}.data.azurecr.io"] if at(resource.given, "dataEndpointEnabled") else []
    return {**own_identity(resource), "loginServer": f"{host}.azurecr.io", "dataEndpointHostNames": ends}


def _store(resource: Resource, world: World) -> Json:
    return {
        **own_identity(resource),
        "primaryEndpoints": {kind: f"https://{resource.name}.{kind}.core.windows.net/" for kind in STORES},
        "primaryLocation": _place(resource),
        "statusOfPrimary": "available",
    }


def _vault(resource: Resource, world: World) -> Json:
    return {"properties": {"vaultUri": f"https://{resource.name.lower()}.vault.azure.net/"}}


def _vault_secret(resource: Resource, world: World) -> Json:
    uri = f"https://{resource.given['vaultName'].lower()}.vault.azure.net/secrets/{resource.name}"
    return {"properties": {"secretUri": uri, "secretUriWithVersion": f"{uri}/{_number(resource.id):032x}"}}


def _workspace(resource: Resource, world: World) -> Json:
    return {**own_identity(resource), "customerId": made("workspace", resource.id)}


def _insights(resource: Resource, world: World) -> Json:
    key = made("instrumentation", resource.id)
    ends = f"IngestionEndpoint=https://{_place(resource)}-1.in.applicationinsights.azure.com/"
    return {
        "appId": made("application", resource.id),
        "applicationId": resource.name,
        "connectionString": f"InstrumentationKey={key};{ends}",
        "instrumentationKey": key,
        "tenantId": TENANT,
    }


def _collection_rule(resource: Resource, world: World) -> Json:
    return {"immutableId": f"dcr-{_number(resource.id):032x}"}


OUTPUTS: Mapping[str, Callable[[Resource, World], Json]] = {
    "resources:ResourceGroup": _group,
    "network:PublicIPAddress": _public_ip,
    "network:PublicIPPrefix": _public_prefix,
    "network:AzureFirewall": _firewall,
    "network:PrivateEndpoint": _endpoint,
    "privatedns:PrivateRecordSet": _record,
    "dns:Zone": _zone,
    "dns:RecordSet": _record,
    IDENTITY: _identity,
    CLUSTER: _cluster,
    "containerservice:AgentPool": _pool,
    "containerregistry:Registry": _registry,
    "storage:StorageAccount": _store,
    "keyvault:Vault": _vault,
    "keyvault:Secret": _vault_secret,
    "operationalinsights:Workspace": _workspace,
    "applicationinsights:Component": _insights,
    "monitor:DataCollectionRule": _collection_rule,
}
