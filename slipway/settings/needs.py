"""Which hosts a stack needs, by what its settings turn on."""

from __future__ import annotations

from slipway.hosts.clouds import Cloud
from slipway.hosts.entry import Feature, Protocol
from slipway.hosts.models import ModelHost
from slipway.hosts.needs import Needs
from slipway.settings import capacity
from slipway.settings.azure import Azure
from slipway.settings.derived import router_ip, storage_namespaces
from slipway.settings.kinds import name_of
from slipway.settings.stack import Settings
from slipway.sizing.vms import NVIDIA


def needs(settings: Settings, azure: Azure) -> Needs:
    """Give what of a stack asks for hosts."""
    workspace, tls = azure.workspace, settings.router.tls
    behind = azure.egress.outbound_type == "userDefinedRouting"
    address = router_ip(azure) if behind else None
    return Needs(
        cloud=Cloud(azure.cloud),
        region=azure.location,
        features=features(settings, azure),
        registry=name_of(workspace.registry.id or workspace.name),
        storage=name_of(workspace.storage.id or workspace.name),
        vault=name_of(workspace.key_vault.id or workspace.name),
        workspace_region=workspace.location,
        router_name=tls.leaf_domain_label if tls is not None else None,
        router_ip=str(address) if address is not None else None,
        dns_servers=azure.dns.servers,
        models=tuple(
            ModelHost(spec.name, host.host, host.reason, host.port, Protocol(host.protocol))
            for spec in settings.services
            for host in spec.egress
        ),
    )


def fqdn_tag(azure: Azure) -> bool:
    """Tell whether rules name AKS's FQDN tag for its own hosts, which only Azure's firewalls know."""
    firewall = azure.egress.firewall
    return (
        firewall is not None
        and firewall.aks_rules == "fqdn_tag"
        and (firewall.ours or firewall.id is not None)
    )


def features(settings: Settings, azure: Azure) -> frozenset[Feature]:
    """Give the features that are on, each of which has hosts of its own."""
    cluster, workspace, tls = azure.cluster, azure.workspace, settings.router.tls
    vault = tls is not None and tls.key_vault_certificate is not None
    registry = workspace.registry
    on = {
        Feature.AKS: True,
        Feature.PRIVATE_API_SERVER: azure.private,
        Feature.PUBLIC_API_SERVER: not azure.private,
        Feature.OS_UPDATES: azure.hosts.os_updates,
        Feature.AZUREML: azure.hosts.azureml,
        Feature.GPU: NVIDIA in capacity.accelerators(azure),
        Feature.DEFENDER: cluster.defender.sensor,
        Feature.MONITOR: cluster.monitor,
        Feature.POLICY: cluster.azure_policy,
        Feature.WORKLOAD_IDENTITY: vault or bool(storage_namespaces(settings)),
        Feature.KEY_VAULT: vault and not workspace.key_vault.private_endpoint,
        Feature.KEY_VAULT_PRIVATE: vault and workspace.key_vault.private_endpoint,
        Feature.REGISTRY_PRIVATE: registry.private_endpoint,
        Feature.REGISTRY_DATA_ENDPOINT: registry.data_endpoint and not registry.private_endpoint,
        Feature.REGISTRY: not registry.data_endpoint and not registry.private_endpoint,
        Feature.STORAGE_PRIVATE: workspace.storage.private_endpoint,
        Feature.STORAGE: not workspace.storage.private_endpoint,
        Feature.APP_INSIGHTS: any(spec.exports_to_workspace() for spec in settings.services),
    }
    return frozenset(feature for feature, there in on.items() if there)
