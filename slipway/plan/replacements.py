"""Which changed inputs make a provider replace a resource instead of updating it.

azure-native (3.29) replaces on whatever is part of a resource's REST path, on what Azure's specifications
call create-only (for the types here that is `location`), and on a list of its own: the forceNewMap of
provider/pkg/gen/replacement.go, read on 2026-11-24. It compares a property, its direct members and those
of its items, no deeper. kubernetes (4.34): provider/pkg/provider/diff.go, the same day; random replaces
on every change. Of our own dynamic resource: slipway/images/push.py.

Left out: what Azure refuses to change although azure-native would update it, such as an inline pool's size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_GROUP = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
_NETWORK = f"{_GROUP}/providers/Microsoft.Network"
_STORE = f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/{{accountName}}"
_CLUSTER = f"{_GROUP}/providers/Microsoft.ContainerService/managedClusters/{{resourceName}}"
_IDENTITY = f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{resourceName}}"
_VAULT = f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}"
_INSIGHTS = "/providers/Microsoft.Insights"

PATHS: Mapping[str, str] = {
    "resources:ResourceGroup": _GROUP,
    "network:VirtualNetwork": f"{_NETWORK}/virtualNetworks/{{virtualNetworkName}}",
    "network:Subnet": f"{_NETWORK}/virtualNetworks/{{virtualNetworkName}}/subnets/{{subnetName}}",
    "network:NetworkSecurityGroup": f"{_NETWORK}/networkSecurityGroups/{{networkSecurityGroupName}}",
    "network:SecurityRule": (
        f"{_NETWORK}/networkSecurityGroups/{{networkSecurityGroupName}}/securityRules/{{securityRuleName}}"
    ),
    "network:RouteTable": f"{_NETWORK}/routeTables/{{routeTableName}}",
    "network:Route": f"{_NETWORK}/routeTables/{{routeTableName}}/routes/{{routeName}}",
    "network:PublicIPAddress": f"{_NETWORK}/publicIPAddresses/{{publicIpAddressName}}",
    "network:PublicIPPrefix": f"{_NETWORK}/publicIPPrefixes/{{publicIpPrefixName}}",
    "network:NatGateway": f"{_NETWORK}/natGateways/{{natGatewayName}}",
    "network:AzureFirewall": f"{_NETWORK}/azureFirewalls/{{azureFirewallName}}",
    "network:FirewallPolicy": f"{_NETWORK}/firewallPolicies/{{firewallPolicyName}}",
    "network:FirewallPolicyRuleCollectionGroup": (
        f"{_NETWORK}/firewallPolicies/{{firewallPolicyName}}/ruleCollectionGroups/{{ruleCollectionGroupName}}"
    ),
    "network:PrivateEndpoint": f"{_NETWORK}/privateEndpoints/{{privateEndpointName}}",
    "network:PrivateDnsZoneGroup": (
        f"{_NETWORK}/privateEndpoints/{{privateEndpointName}}/privateDnsZoneGroups/{{privateDnsZoneGroupName}}"
    ),
    "privatedns:PrivateZone": f"{_NETWORK}/privateDnsZones/{{privateZoneName}}",
    "privatedns:VirtualNetworkLink": (
        f"{_NETWORK}/privateDnsZones/{{privateZoneName}}/virtualNetworkLinks/{{virtualNetworkLinkName}}"
    ),
    "privatedns:PrivateRecordSet": (
        f"{_NETWORK}/privateDnsZones/{{privateZoneName}}/{{recordType}}/{{relativeRecordSetName}}"
    ),
    "dns:Zone": f"{_NETWORK}/dnsZones/{{zoneName}}",
    "dns:RecordSet": f"{_NETWORK}/dnsZones/{{zoneName}}/{{recordType}}/{{relativeRecordSetName}}",
    "containerservice:ManagedCluster": _CLUSTER,
    "containerservice:AgentPool": f"{_CLUSTER}/agentPools/{{agentPoolName}}",
    "containerservice:MaintenanceConfiguration": f"{_CLUSTER}/maintenanceConfigurations/{{configName}}",
    "managedidentity:UserAssignedIdentity": _IDENTITY,
    "managedidentity:FederatedIdentityCredential": (
        f"{_IDENTITY}/federatedIdentityCredentials/{{federatedIdentityCredentialResourceName}}"
    ),
    "authorization:RoleAssignment": (
        "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}"
    ),
    "containerregistry:Registry": (
        f"{_GROUP}/providers/Microsoft.ContainerRegistry/registries/{{registryName}}"
    ),
    "storage:StorageAccount": _STORE,
    "storage:BlobServiceProperties": f"{_STORE}/blobServices/{{blobServicesName}}",
    "storage:BlobContainer": f"{_STORE}/blobServices/default/containers/{{containerName}}",
    "storage:ManagementPolicy": f"{_STORE}/managementPolicies/{{managementPolicyName}}",
    "keyvault:Vault": _VAULT,
    "keyvault:Secret": f"{_VAULT}/secrets/{{secretName}}",
    "keyvault:Key": f"{_VAULT}/keys/{{keyName}}",
    "operationalinsights:Workspace": (
        f"{_GROUP}/providers/Microsoft.OperationalInsights/workspaces/{{workspaceName}}"
    ),
    "applicationinsights:Component": f"{_GROUP}{_INSIGHTS}/components/{{resourceName}}",
    "security:Pricing": "/{scopeId}/providers/Microsoft.Security/pricings/{pricingName}",
    "monitor:DiagnosticSetting": f"/{{resourceUri}}{_INSIGHTS}/diagnosticSettings/{{name}}",
    "monitor:DataCollectionRule": f"{_GROUP}{_INSIGHTS}/dataCollectionRules/{{dataCollectionRuleName}}",
    "monitor:DataCollectionRuleAssociation": (
        f"/{{resourceUri}}{_INSIGHTS}/dataCollectionRuleAssociations/{{associationName}}"
    ),
}
"""The REST path of the types that stacks use, `module:Type` of azure-native; in braces, inputs."""

_NETWORK_PROFILE = (
    "dnsServiceIP", "networkDataplane", "networkMode", "networkPlugin", "networkPluginMode", "networkPolicy",
    "outboundType", "podCidr", "serviceCidr", "serviceCidrs",
)  # fmt: skip
_AZURE: Mapping[str, tuple[str, ...]] = {
    "authorization:RoleAssignment": ("principalId",),
    "containerservice:AgentPool": ("gpuInstanceProfile", "networkProfile.nodePublicIPTags", "vmSize"),
    "containerservice:ManagedCluster": (
        "agentPoolProfiles[].windowsProfile",
        "diskEncryptionSetID",
        "dnsPrefix",
        "fqdnSubdomain",
        "linuxProfile",
        "nodeResourceGroup",
        "windowsProfile",
        *(f"networkProfile.{name}" for name in _NETWORK_PROFILE),
    ),
    "network:PrivateEndpoint": ("subnet",),
    "network:PublicIPAddress": ("publicIPAddressVersion", "publicIPPrefix", "sku"),
    "storage:StorageAccount": ("isHnsEnabled",),
}

_JOB = ("spec.completions", "spec.parallelism", "spec.selector", "spec.template")
_STATEFUL_SET = (
    "spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector", "spec.serviceName",
    "spec.volumeClaimTemplates",
)  # fmt: skip
_KUBERNETES: Mapping[str, tuple[str, ...]] = {
    "apps/v1:DaemonSet": ("spec.selector",),
    "apps/v1:Deployment": ("spec.selector",),
    "apps/v1:StatefulSet": _STATEFUL_SET,
    "batch/v1:Job": _JOB,
    "core/v1:ConfigMap": ("binaryData", "data"),
    "core/v1:PersistentVolumeClaim": ("spec",),
    "core/v1:ResourceQuota": ("spec.scopes",),
    "core/v1:Secret": ("data", "stringData", "type"),
    "core/v1:Service": ("spec.clusterIP",),
    "rbac.authorization.k8s.io/v1:ClusterRoleBinding": ("roleRef",),
    "rbac.authorization.k8s.io/v1:RoleBinding": ("roleRef",),
    "storage.k8s.io/v1:StorageClass": ("parameters", "provisioner"),
}


def replaced_by(type_token: str, changed_paths: Iterable[str]) -> tuple[str, ...]:
    """Give those of the changed inputs that replace a resource of the type; none of another package.

    Paths are those of a diff, `networkProfile.podCidr` or `agentPoolProfiles[0].vmSize`. What lies inside
    an input that replaces does too. ConfigMaps and Secrets count as the provider treats them unless it is
    configured with `enableConfigMapMutable` or `enableSecretMutable`.
    """
    paths = tuple(dict.fromkeys(changed_paths))
    package, _, type_ = type_token.partition(":")
    match package:
        case "azure-native":
            rules = {"location", *path_inputs(type_), *_AZURE.get(type_, ())}
        case "kubernetes":
            rules = {"metadata.name", "metadata.namespace", *_KUBERNETES.get(type_, ())}
        case "random":
            return paths
        case "pulumi-python" if type_ == "dynamic/slipway:ImagePush":
            rules = {"repository"}
        case _:
            return ()
    return tuple(path for path in paths if rules & set(_outer(re.sub(r"\[\d+\]", "[]", path))))


def path_inputs(type_: str) -> tuple[str, ...]:
    """Name the inputs that are part of the REST path; of a type not in `PATHS` the likely ones."""
    if type_ in PATHS:
        return tuple(name for name in re.findall(r"{(\w+)}", PATHS[type_]) if name != "subscriptionId")
    name = type_.rpartition(":")[2]
    return ("resourceGroupName", f"{name[:1].lower()}{name[1:]}Name")


def _outer(path: str) -> list[str]:
    """Give a path and all that it lies in: `a[].b` is inside `a[]`, and that inside `a`."""
    return [path[: end.start()] for end in re.finditer(r"\.|\[|$", path)]
