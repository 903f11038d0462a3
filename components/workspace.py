"""v1's workspace without the workspace: registry, storage, key vault, logs. Each made, or adopted by id.

What holds data is protected, and stays in Azure when a program forgets it. Names and addresses follow
from the stack file, so that they are known before anything exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

import pulumi
import pulumi_azure_native as az

from components.pods import children
from slipway.hosts.clouds import suffixes
from slipway.settings.azure import Azure
from slipway.settings.derived import blob_endpoint, login_server
from slipway.settings.kinds import name_of

CONTAINERS = ("models", "outputs", "modeldata")
"""Models to serve, what web services write to `./outputs`, and v1's container of collected data."""
UNDELETE_DAYS = 14
"""How long a deleted blob or container can be brought back."""


@dataclass(frozen=True)
class Access:
    """Who reaches a service from outside its private endpoint, in the words of all three services."""

    public: Literal["Enabled", "Disabled"]
    default: Literal["Allow", "Deny"]
    ranges: tuple[str, ...] = ()


def access_to(azure: Azure, *, private_endpoint: bool) -> Access:
    """Say who may reach a service from outside; who may use it is for roles to say."""
    if not private_endpoint:
        return Access("Enabled", "Allow")
    if azure.private:
        return Access("Disabled", "Deny")
    ranges = tuple(one for text in azure.deployer_ranges for one in _rules(text))
    return Access("Enabled", "Deny" if ranges else "Allow", ranges)


def _rules(cidr: str) -> Iterable[str]:
    """Write a range as a rule: storage takes no /31 and /32 but single addresses.

    Source: Microsoft Learn, "Azure Storage firewall rules", restrictions for IP network rules.
    """
    network = IPv4Network(cidr)
    return map(str, network) if network.prefixlen >= 31 else [cidr]


@dataclass(frozen=True)
class WorkspaceArgs:
    """Arguments of `Workspace`.

    `base` names the private endpoints, which stand in `endpoint_subnet` and in the cluster's region.
    """

    base: str
    resource_group: pulumi.Input[str]
    azure: Azure
    endpoint_subnet: pulumi.Input[str] | None = None


class Workspace(pulumi.ComponentResource):
    """Registry, storage, key vault, Log Analytics and Application Insights of a stack.

    With a private endpoint, a service takes `deployer_ranges` alone from outside, and nobody with `private`.
    Without one it takes the cluster's nodes from outside too, so only identities are checked.
    """

    registry_id: pulumi.Output[str]
    login_server: str
    storage_id: pulumi.Output[str]
    blob_endpoint: str
    vault_id: pulumi.Output[str]
    vault_uri: str
    logs_id: pulumi.Output[str]
    insights_connection_string: pulumi.Output[str]
    private_endpoints: dict[str, az.network.PrivateEndpoint]
    """by what they lead to: registry, blob, vault"""

    def __init__(self, name: str, args: WorkspaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Workspace", name, {}, opts)
        self._name, self._args = name, args
        self._location = args.azure.workspace.location or args.azure.location
        self._child = children(self, opts)
        kept = pulumi.ResourceOptions(protect=True, retain_on_delete=True)
        self._kept = pulumi.ResourceOptions.merge(self._child, kept)
        workspace, ends = args.azure.workspace, suffixes(args.azure.cloud)
        registry, storage, vault = workspace.registry, workspace.storage, workspace.key_vault

        self.login_server = login_server(args.azure)
        self.blob_endpoint = blob_endpoint(args.azure)
        self.vault_uri = f"https://{name_of(vault.id or workspace.name).lower()}.{ends.vault}/"
        known = pulumi.Output[str].from_input
        self.registry_id = known(registry.id or self._registry())
        self.storage_id = known(storage.id or self._storage())
        self.vault_id = known(vault.id or self._vault())
        self.logs_id = known(workspace.logs.id or self._logs())
        self.insights_connection_string = self._insights()
        targets = (
            ("registry", "registry", self.registry_id, registry.private_endpoint),
            ("blob", "blob", self.storage_id, storage.private_endpoint),
            ("vault", "vault", self.vault_id, vault.private_endpoint),
        )
        self.private_endpoints = {
            what: self._endpoint(what, group, target) for what, group, target, wanted in targets if wanted
        }
        self.register_outputs(
            {
                "registry_id": self.registry_id,
                "login_server": self.login_server,
                "storage_id": self.storage_id,
                "blob_endpoint": self.blob_endpoint,
                "vault_id": self.vault_id,
                "vault_uri": self.vault_uri,
                "logs_id": self.logs_id,
                "insights_connection_string": self.insights_connection_string,
            }
        )

    def _registry(self) -> pulumi.Output[str]:
        azure = self._args.azure
        settings = azure.workspace.registry
        access = access_to(azure, private_endpoint=settings.private_endpoint)
        rules = az.containerregistry.NetworkRuleSetArgs(
            default_action=access.default,
            ip_rules=[
                az.containerregistry.IPRuleArgs(i_p_address_or_range=one, action="Allow")
                for one in access.ranges
            ],
        )
        return az.containerregistry.Registry(
            f"{self._name}-registry",
            registry_name=azure.workspace.name,
            resource_group_name=self._args.resource_group,
            location=self._location,
            sku=az.containerregistry.SkuArgs(name=settings.sku),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            data_endpoint_enabled=settings.data_endpoint,
            public_network_access=access.public,
            network_rule_set=rules if settings.sku == "Premium" else None,  # others know no rules
            network_rule_bypass_options="AzureServices",
            opts=self._kept,
        ).id

    def _storage(self) -> pulumi.Output[str]:
        azure, group = self._args.azure, self._args.resource_group
        settings = azure.workspace.storage
        access = access_to(azure, private_endpoint=settings.private_endpoint)
        account = az.storage.StorageAccount(
            f"{self._name}-storage",
            account_name=azure.workspace.name,
            resource_group_name=group,
            location=self._location,
            kind="StorageV2",
            sku=az.storage.SkuArgs(name=f"Standard_{settings.redundancy}"),
            access_tier=az.storage.AccessTier.HOT,
            allow_shared_key_access=False,
            default_to_o_auth_authentication=True,
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            enable_https_traffic_only=True,
            minimum_tls_version="TLS1_2",
            public_network_access=access.public,
            network_rule_set=az.storage.NetworkRuleSetArgs(
                default_action=az.storage.DefaultAction(access.default),
                bypass="AzureServices",
                ip_rules=[az.storage.IPRuleArgs(i_p_address_or_range=one) for one in access.ranges],
            ),
            opts=self._kept,
        )
        retention = az.storage.DeleteRetentionPolicyArgs(enabled=True, days=UNDELETE_DAYS)
        az.storage.BlobServiceProperties(
            f"{self._name}-blobs",
            blob_services_name="default",
            account_name=account.name,
            resource_group_name=group,
            is_versioning_enabled=True,
            delete_retention_policy=retention,
            container_delete_retention_policy=retention,
            opts=self._kept,
        )
        for container in CONTAINERS:
            az.storage.BlobContainer(
                f"{self._name}-{container}",
                container_name=container,
                account_name=account.name,
                resource_group_name=group,
                public_access=az.storage.PublicAccess.NONE,
                opts=self._kept,
            )
        return account.id

    def _vault(self) -> pulumi.Output[str]:
        azure = self._args.azure
        access = access_to(azure, private_endpoint=azure.workspace.key_vault.private_endpoint)
        deployer = az.authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(parent=self))
        return az.keyvault.Vault(
            f"{self._name}-vault",
            vault_name=azure.workspace.name,
            resource_group_name=self._args.resource_group,
            location=self._location,
            properties=az.keyvault.VaultPropertiesArgs(
                tenant_id=deployer.apply(lambda config: config.tenant_id),
                sku=az.keyvault.SkuArgs(family="A", name=az.keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                soft_delete_retention_in_days=90,
                enable_purge_protection=True,
                public_network_access=access.public,
                network_acls=az.keyvault.NetworkRuleSetArgs(
                    default_action=access.default,
                    bypass="AzureServices",
                    ip_rules=[az.keyvault.IPRuleArgs(value=one) for one in access.ranges],
                ),
            ),
            opts=self._kept,
        ).id

    def _logs(self) -> pulumi.Output[str]:
        workspace = self._args.azure.workspace
        return az.operationalinsights.Workspace(
            f"{self._name}-logs",
            workspace_name=f"log-{workspace.name}",
            resource_group_name=self._args.resource_group,
            location=self._location,
            sku=az.operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
            retention_in_days=workspace.logs.retention_days,
            opts=self._kept,
        ).id

    def _insights(self) -> pulumi.Output[str]:
        secret = pulumi.ResourceOptions(additional_secret_outputs=["connectionString", "instrumentationKey"])
        component = az.applicationinsights.Component(
            f"{self._name}-insights",
            resource_name_=f"appi-{self._args.azure.workspace.name}",
            resource_group_name=self._args.resource_group,
            location=self._location,
            kind="web",
            application_type="web",
            ingestion_mode="LogAnalytics",
            workspace_resource_id=self.logs_id,
            opts=pulumi.ResourceOptions.merge(self._child, secret),
        )
        return pulumi.Output.secret(component.connection_string)

    def _endpoint(self, what: str, group: str, target: pulumi.Input[str]) -> az.network.PrivateEndpoint:
        args = self._args
        assert args.endpoint_subnet is not None, "private endpoints stand in a subnet"
        return az.network.PrivateEndpoint(
            f"{self._name}-{what}-endpoint",
            private_endpoint_name=f"pep-{args.base}-{what}",
            resource_group_name=args.resource_group,
            location=args.azure.location,
            subnet=az.network.SubnetArgs(id=args.endpoint_subnet),
            private_link_service_connections=[
                az.network.PrivateLinkServiceConnectionArgs(
                    name=what, private_link_service_id=target, group_ids=[group]
                )
            ],
            opts=self._child,
        )
