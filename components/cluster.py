"""The AKS cluster, created or attached by id, with the identities it needs and the way into it.

Created, it acts as a user-assigned identity that has its rights before the cluster asks for them, and its
nodes pull images as another one. People log in with Entra; there are no local accounts.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_azure_native as az

from components import aks, monitoring
from components.roles import assign
from components.router import NAME as ROUTER
from components.storage import SERVICE_ACCOUNT
from slipway.kubeconfig import exec_kubeconfig
from slipway.roles import Role
from slipway.settings.azure import Azure
from slipway.settings.kinds import group_of, name_of
from slipway.spec import ROUTER_NAMESPACE


@dataclass(frozen=True)
class ClusterArgs:
    """Arguments of `Cluster`; all but the first four are left out as far as nothing asks for them.

    `subnets` are ids by role (system, user, router), `route_table_id` is of the nodes' subnets, `network_id`
    is asked for by an adopted zone of API servers. The API server takes connections from `egress_ips`, as
    which the nodes appear. `logs_id` is asked for by `monitor` and `defender.sensor`. `vault_id` is the key
    vault from which the router reads its certificate, `storage_id` the storage from which web services of
    `storage_namespaces` fetch models and, with `uploads`, to which they upload.
    """

    base: str
    resource_group: pulumi.Input[str]
    azure: Azure
    registry_id: pulumi.Input[str]
    subnets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    route_table_id: pulumi.Input[str] | None = None
    network_id: pulumi.Input[str] | None = None
    egress_ips: Sequence[pulumi.Input[str]] = ()
    logs_id: pulumi.Input[str] | None = None
    vault_id: pulumi.Input[str] | None = None
    storage_id: pulumi.Input[str] | None = None
    storage_namespaces: Sequence[str] = ()
    uploads: bool = False


class Cluster(pulumi.ComponentResource):
    """A cluster that is ready for the router: its pools are there, its nodes may pull, people may log in.

    An attached cluster stays as it is but for the right to pull images; its identity needs Network
    Contributor on the subnet of an internal router, the OIDC issuer and the key vault add-on where the
    router reads a certificate, the OIDC issuer and workload identity where web services use the storage.
    """

    id: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    """secret"""
    oidc_issuer: pulumi.Output[str]
    fqdn: pulumi.Output[str]
    """the API server's name, the private one of a private cluster"""
    router_client_id: pulumi.Output[str] | None = None
    """the identity as which the router reads its certificate"""
    webservices_client_id: pulumi.Output[str] | None = None
    """the identity as which web services fetch models and upload"""
    tenant_id: pulumi.Output[str] | None = None
    """that identity's tenant"""
    ready: list[pulumi.Resource]
    """what everything inside must wait for: pools and rights"""

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Cluster", name, {}, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        attached = args.azure.cluster.id
        self.ready = []
        after = opts.depends_on if opts is not None else None
        cluster = self._created(after) if attached is None else self._attached(attached)
        self.oidc_issuer = cluster.oidc_issuer_profile.apply(_issuer)
        self.fqdn = cluster.private_fqdn if args.azure.private else cluster.fqdn
        if args.vault_id is not None:
            self._router_identity(args.vault_id)
        if args.storage_id is not None and args.storage_namespaces:
            self._webservices_identity(args.storage_id)
        self.kubeconfig = self._kubeconfig(cluster)
        self.register_outputs(
            {
                "id": self.id,
                "kubeconfig": self.kubeconfig,
                "oidc_issuer": self.oidc_issuer,
                "fqdn": self.fqdn,
                "router_client_id": self.router_client_id,
                "webservices_client_id": self.webservices_client_id,
                "tenant_id": self.tenant_id,
            }
        )

    def _created(
        self, after: pulumi.Input[Sequence[pulumi.Input[pulumi.Resource]] | pulumi.Resource] | None
    ) -> az.containerservice.ManagedCluster:
        """Make the cluster after what the component depends on.

        Its rights wait for nothing of that: Azure takes minutes to act on them, in which a firewall is made.
        """
        args, azure, settings = self._args, self._args.azure, self._args.azure.cluster
        identity, nodes = self._identity("cluster"), self._identity("kubelet")
        rights = [*self._rights(identity, nodes), *self._deployer_rights()]
        system, zone = settings.system_pool, aks.api_server_zone(azure)
        options = pulumi.ResourceOptions(
            depends_on=rights,
            protect=settings.production,
            ignore_changes=["agentPoolProfiles[0].count"] if system.max_count is not None else None,
        )
        cluster = az.containerservice.ManagedCluster(
            self._name,
            resource_name_=args.base,
            resource_group_name=args.resource_group,
            node_resource_group=f"rg-{args.base}-nodes",
            location=azure.location,
            tags={
                "slipway-stack": f"{pulumi.get_project()}/{pulumi.get_stack()}",
                "cluster-purpose": settings.cluster_purpose,
            },
            sku=az.containerservice.ManagedClusterSKUArgs(
                name="Base", tier="Standard" if settings.production else "Free"
            ),
            kubernetes_version=settings.kubernetes_version,
            dns_prefix=None if zone else aks.dns_prefix(args.base),
            fqdn_subdomain=aks.dns_prefix(args.base) if zone else None,
            identity=az.containerservice.ManagedClusterIdentityArgs(
                type=az.containerservice.ResourceIdentityType.USER_ASSIGNED,
                user_assigned_identities=[identity.id],
            ),
            identity_profile={
                "kubeletidentity": az.containerservice.UserAssignedIdentityArgs(
                    resource_id=nodes.id, client_id=nodes.client_id, object_id=nodes.principal_id
                )
            },
            enable_rbac=True,
            disable_local_accounts=True,
            aad_profile=az.containerservice.ManagedClusterAADProfileArgs(
                managed=True,
                enable_azure_rbac=True,
                admin_group_object_ids=list(settings.admin_group_ids) or None,
            ),
            api_server_access_profile=aks.access(azure, args.egress_ips),
            network_profile=aks.network(azure),
            agent_pool_profiles=[
                az.containerservice.ManagedClusterAgentPoolProfileArgs(
                    name=system.name, mode="System", **aks.pool(azure, system, args.subnets.get("system"))
                )
            ],
            oidc_issuer_profile=az.containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=aks.security(settings, args.logs_id),
            addon_profiles=aks.addons(settings, args.logs_id, certificate=args.vault_id is not None) or None,
            auto_upgrade_profile=aks.upgrades(settings.kubernetes_version),
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(parent=self, depends_on=after), options),
        )
        self.id = cluster.id
        self._parts(cluster)
        self.ready += [self._pull(nodes.principal_id), *self._admins(cluster)]
        return cluster

    def _attached(self, cluster_id: str) -> az.containerservice.ManagedCluster:
        purpose = self._args.azure.cluster.cluster_purpose
        cluster = az.containerservice.ManagedCluster.get(
            self._name, cluster_id, opts=pulumi.ResourceOptions(parent=self)
        )

        def checked(
            pools: Sequence[az.containerservice.outputs.ManagedClusterAgentPoolProfileResponse],
        ) -> str:
            found = [(pool.vm_size or "", pool.count or 0) for pool in pools]
            if mistakes := aks.attach_mistakes(cluster_id, purpose, found):
                raise pulumi.RunError("\n".join(mistakes))
            return cluster_id

        self.id = cluster.agent_pool_profiles.apply(lambda pools: checked(pools or []))
        if not self._args.azure.workspace.registry.attached:
            self.ready.append(self._pull(cluster.identity_profile.apply(_nodes_principal)))
        return cluster

    def _identity(self, use: str) -> az.managedidentity.UserAssignedIdentity:
        return az.managedidentity.UserAssignedIdentity(
            f"{self._name}-{use}-identity",
            resource_name_=f"id-{self._args.base}-{use}",
            resource_group_name=self._args.resource_group,
            location=self._args.azure.location,
            opts=self._child,
        )

    def _rights(
        self,
        identity: az.managedidentity.UserAssignedIdentity,
        nodes: az.managedidentity.UserAssignedIdentity,
    ) -> list[pulumi.CustomResource]:
        """Let the cluster's identity do what AKS does as it, before AKS tries."""
        args, zone = self._args, aks.api_server_zone(self._args.azure)
        network, scopes = Role.NETWORK_CONTRIBUTOR, dict[str, tuple[Role, pulumi.Input[str]]]()
        scopes |= {f"subnet-{role}": (network, subnet) for role, subnet in args.subnets.items()}
        if args.route_table_id is not None:
            scopes["route-table"] = (network, args.route_table_id)
        scopes["kubelet-operator"] = (Role.MANAGED_IDENTITY_OPERATOR, nodes.id)
        if zone is not None:
            scopes["api-server-zone"] = (Role.PRIVATE_DNS_ZONE_CONTRIBUTOR, zone)
        if zone is not None or aks.links_network(args.azure):
            assert args.network_id is not None, "a zone of API servers is linked to the network"
            scopes["network"] = (network, args.network_id)
        return [
            assign(f"{self._name}-{what}", role, scope, identity.principal_id, opts=self._child)
            for what, (role, scope) in scopes.items()
        ]

    def _parts(self, cluster: az.containerservice.ManagedCluster) -> None:
        """Make what AKS keeps apart from the cluster: pools, windows for upgrades, what watches it."""
        args, azure, settings = self._args, self._args.azure, self._args.azure.cluster
        for pool in settings.pools:
            scaled = pulumi.ResourceOptions(ignore_changes=["count"] if pool.max_count is not None else None)
            self.ready.append(
                az.containerservice.AgentPool(
                    f"{self._name}-{pool.name}",
                    agent_pool_name=pool.name,
                    resource_name_=cluster.name,
                    resource_group_name=args.resource_group,
                    mode="User",
                    **aks.pool(azure, pool, args.subnets.get("user")),
                    opts=pulumi.ResourceOptions.merge(self._child, scaled),
                )
            )
        for config, window in aks.windows(settings.maintenance).items():
            az.containerservice.MaintenanceConfiguration(
                f"{self._name}-{config}",
                config_name=config,
                resource_name_=cluster.name,
                resource_group_name=args.resource_group,
                **window,
                opts=self._child,
            )
        if settings.monitor and args.logs_id is not None:
            monitoring.container_insights(
                self._name,
                base=args.base,
                region=azure.workspace.location or azure.location,
                resource_group=args.resource_group,
                logs_id=args.logs_id,
                cluster_id=cluster.id,
                opts=self._child,
            )
        if settings.defender.plan:
            subscription = self._deployer().apply(lambda config: config.subscription_id)
            monitoring.defender_plan(f"{self._name}-defender-plan", subscription, self._child)

    def _pull(self, principal_id: pulumi.Input[str]) -> pulumi.CustomResource:
        """Let the nodes pull the workspace's images."""
        name, registry = f"{self._name}-pull", self._args.registry_id
        return assign(name, Role.ACR_PULL, registry, principal_id, opts=self._child)

    def _deployer_rights(self) -> list[pulumi.CustomResource]:
        """Let whoever deploys administer the cluster, where the stack file names no group.

        Azure takes minutes to act on that, so it is given before the cluster exists where that is possible:
        on the resource group, if the stack made it and nothing else is in it.
        """
        azure, group = self._args.azure, self._args.resource_group
        if azure.cluster.admin_group_ids or azure.resource_group.id is not None:
            return []
        subscription = self._deployer().apply(lambda config: config.subscription_id)
        scope = pulumi.Output.concat("/subscriptions/", subscription, "/resourceGroups/", group)
        return [self._deployer_admin(scope)]

    def _admins(self, cluster: az.containerservice.ManagedCluster) -> list[pulumi.CustomResource]:
        """Let the stack file's groups administer the cluster, or whoever deploys if that is not so yet."""
        groups, adopted = self._args.azure.cluster.admin_group_ids, self._args.azure.resource_group.id
        name, role, scope = f"{self._name}-admin", Role.CLUSTER_ADMIN, cluster.id
        if not groups:
            return [self._deployer_admin(scope)] if adopted is not None else []
        return [
            assign(f"{name}-{group}", role, scope, group, opts=self._child, principal_type="Group")
            for group in groups
        ]

    def _deployer_admin(self, scope: pulumi.Input[str]) -> pulumi.CustomResource:
        who, role = self._deployer().apply(lambda config: config.object_id), Role.CLUSTER_ADMIN
        return assign(f"{self._name}-admin", role, scope, who, opts=self._child, principal_type=None)

    def _router_identity(self, vault_id: pulumi.Input[str]) -> None:
        """Let the router's pods read the key vault's secrets, among them the certificate, as an identity."""
        identity = self._identity("router")
        trust = self._trust("router", identity, ROUTER, f"{ROUTER_NAMESPACE}:{ROUTER}", self._child)
        role, name = Role.KEY_VAULT_SECRETS_USER, f"{self._name}-certificate"
        self.ready += [trust, assign(name, role, vault_id, identity.principal_id, opts=self._child)]
        self.router_client_id, self.tenant_id = identity.client_id, identity.tenant_id

    def _webservices_identity(self, storage_id: pulumi.Input[str]) -> None:
        """Let the pods of web services use the storage's blobs as an identity, by their service account."""
        identity = self._identity("webservices")
        opts = self._child
        for namespace in self._args.storage_namespaces:
            use = f"webservices-{namespace}"
            trust = self._trust(use, identity, namespace, f"{namespace}:{SERVICE_ACCOUNT}", opts)
            self.ready.append(trust)
            # Azure takes one at a time of an identity.
            opts = pulumi.ResourceOptions.merge(self._child, pulumi.ResourceOptions(depends_on=[trust]))
        roles = {"models": Role.STORAGE_BLOB_DATA_READER}
        if self._args.uploads:
            roles["uploads"] = Role.STORAGE_BLOB_DATA_CONTRIBUTOR
        for use, role in roles.items():
            name = f"{self._name}-{use}"
            self.ready.append(assign(name, role, storage_id, identity.principal_id, opts=self._child))
        self.webservices_client_id = identity.client_id

    def _trust(
        self,
        use: str,
        identity: az.managedidentity.UserAssignedIdentity,
        name: str,
        account: str,
        opts: pulumi.ResourceOptions,
    ) -> az.managedidentity.FederatedIdentityCredential:
        """Let the pods of a service account, `namespace:name`, be an identity."""
        return az.managedidentity.FederatedIdentityCredential(
            f"{self._name}-{use}",
            federated_identity_credential_resource_name=name,
            resource_name_=identity.name,
            resource_group_name=self._args.resource_group,
            issuer=self.oidc_issuer,
            subject=f"system:serviceaccount:{account}",
            audiences=["api://AzureADTokenExchange"],
            opts=opts,
        )

    def _kubeconfig(self, cluster: az.containerservice.ManagedCluster) -> pulumi.Output[str]:
        """Ask AKS for the way in, by names that an edit of the cluster leaves known to a preview."""
        args, attached = self._args, self._args.azure.cluster.id
        credentials = az.containerservice.list_managed_cluster_user_credentials_output(
            resource_group_name=args.resource_group if attached is None else group_of(attached),
            resource_name=args.base if attached is None else self.id.apply(name_of),
            format="exec",
            opts=pulumi.InvokeOutputOptions(parent=self, depends_on=[cluster]),
        )
        cloud = args.azure.cloud
        return pulumi.Output.secret(
            credentials.apply(
                lambda found: exec_kubeconfig(base64.b64decode(found.kubeconfigs[0].value).decode(), cloud)
            )
        )

    def _deployer(self) -> pulumi.Output[az.authorization.GetClientConfigResult]:
        return az.authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(parent=self))


def _issuer(profile: az.containerservice.outputs.ManagedClusterOIDCIssuerProfileResponse | None) -> str:
    return profile.issuer_url if profile is not None else ""


def _nodes_principal(
    identities: Mapping[str, az.containerservice.outputs.UserAssignedIdentityManagedClusterResponse] | None,
) -> str:
    nodes = (identities or {}).get("kubeletidentity")
    if nodes is None or nodes.object_id is None:
        raise pulumi.RunError(
            "azure.cluster.id: the cluster's nodes have no identity that could pull images; "
            "give it managed identities: az aks update --enable-managed-identity"
        )
    return nodes.object_id
