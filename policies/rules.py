"""All rules, as the policy pack and `slipway plan` run them. docs/policies.md says why each is there."""

from __future__ import annotations

from pulumi_policy import Policy

from policies import cluster, data, egress, firewall, serving, workloads

POLICIES: list[Policy] = [
    serving.settings_known,
    egress.egress_as_said,
    egress.egress_default_route,
    egress.egress_no_bypass,
    firewall.firewall_known_hosts,
    firewall.firewall_wildcard_reason,
    cluster.api_server_closed,
    cluster.local_accounts_off,
    cluster.entra_rbac_on,
    cluster.network_policy_enforced,
    cluster.kubenet_retired,
    cluster.kubenet_retiring,
    data.data_protected,
    data.storage_closed,
    data.registry_closed,
    data.key_vault_closed,
    serving.one_router,
    serving.router_internal,
    serving.router_tls,
    serving.authentication_said,
    workloads.image_from_registry,
    workloads.image_by_digest,
    workloads.resources_set,
    workloads.one_autoscaler,
    workloads.pod_security_restricted,
    workloads.no_service_account_token,
]
