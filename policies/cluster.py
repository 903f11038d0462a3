"""What a cluster may not be: open, without Entra, without a network policy, on a network that retires."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from pulumi_policy import EnforcementLevel
from pulumi_policy.proxy import UnknownValueError

from policies.graph import Resource, Stack, at
from policies.rule import resource_rule, stack_rule
from slipway.hosts.models import network
from slipway.problems import problem
from slipway.settings.checks.warnings import KUBENET_RETIRES

CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"
PUBLIC_IP = "azure-native:network:PublicIPAddress"
WIDEST = 8
"""Prefix length of the widest range that can be somebody's own: IANA gives out /8s and nothing wider."""


@stack_rule(
    "api-server-closed",
    "In production the API server is private or takes listed ranges alone: it is the one door to everything.",
    CLUSTER,
)
def api_server_closed(cluster: Resource, stack: Stack) -> Iterator[str]:
    profile = at(cluster.inputs, "apiServerAccessProfile")
    if not stack.production or at(profile, "enablePrivateCluster") is True:
        return
    field = "apiServerAccessProfile.authorizedIPRanges"
    ranges = at(profile, "authorizedIPRanges")
    if not ranges:
        yield f"{field}: lists nothing, so anyone may connect; set azure.deployer_ranges, or azure.private"
        return
    # The addresses of our own firewall or NAT gateway are not known yet, but what they are made from is.
    used = stack.used(cluster, "apiServerAccessProfile")
    own = bool(used) and all(resource.type == PUBLIC_IP for resource in used)
    for index in range(len(ranges)):
        try:
            given = str(ranges[index])
        except UnknownValueError:
            if own:
                continue
            raise
        range_ = network(given)
        if range_ is None or range_.prefixlen < WIDEST:
            yield problem(
                f"{field}[{index}]",
                given,
                "is no range of one's own",
                "name the ranges of those who deploy",
            )


@resource_rule(
    "local-accounts-off",
    "Local accounts are off: their certificate outlives whoever copied it, and cannot be revoked.",
    CLUSTER,
)
def local_accounts_off(cluster: Resource, _: Stack) -> Iterator[str]:
    yield from must_be(cluster, "disableLocalAccounts", value=True)


@resource_rule(
    "entra-rbac-on",
    "Entra signs people in and Azure RBAC says what they may do: who leaves the company leaves the cluster.",
    CLUSTER,
)
def entra_rbac_on(cluster: Resource, _: Stack) -> Iterator[str]:
    yield from must_be(cluster, "aadProfile.managed", value=True)
    yield from must_be(cluster, "aadProfile.enableAzureRBAC", value=True)
    yield from must_be(cluster, "enableRBAC", value=True, default=True)


@resource_rule(
    "network-policy-enforced",
    "Something enforces NetworkPolicies: else they are accepted and ignored, and any pod reaches any model.",
    CLUSTER,
)
def network_policy_enforced(cluster: Resource, _: Stack) -> Iterator[str]:
    given = at(cluster.inputs, "networkProfile", "networkPolicy")
    if given not in {"azure", "calico", "cilium"}:
        remedy = "set azure.network.network_policy"
        yield problem("networkProfile.networkPolicy", given, "enforces no NetworkPolicy", remedy)


@resource_rule(
    "kubenet-retired",
    "Kubenet is refused from 2028-03-31: AKS supports it no longer, and nodes are not upgraded.",
    CLUSTER,
)
def kubenet_retired(cluster: Resource, _: Stack) -> Iterator[str]:
    if _is_kubenet(cluster) and retired(_today()):
        yield problem(
            "networkProfile.networkPlugin",
            "kubenet",
            f"retired on {KUBENET_RETIRES}",
            "set azure.network.model: overlay (Azure migrates a cluster in place; Pulumi would replace it)",
        )


@resource_rule(
    "kubenet-retiring",
    "Kubenet is advised against before 2028-03-31: a cluster made today outlives it.",
    CLUSTER,
    level=EnforcementLevel.ADVISORY,
)
def kubenet_retiring(cluster: Resource, _: Stack) -> Iterator[str]:
    if _is_kubenet(cluster) and not retired(_today()):
        rule = f"retires on {KUBENET_RETIRES}"
        remedy = "set azure.network.model: overlay for a new cluster"
        yield problem("networkProfile.networkPlugin", "kubenet", rule, remedy)


def retired(today: date) -> bool:
    """Tell whether AKS supports kubenet no longer."""
    return today >= KUBENET_RETIRES


def _today() -> date:
    return datetime.now(UTC).date()


def _is_kubenet(cluster: Resource) -> bool:
    return at(cluster.inputs, "networkProfile", "networkPlugin") == "kubenet"


def must_be(resource: Resource, field: str, *, value: bool, default: bool | None = None) -> Iterator[str]:
    """Give a line if a field has another value; `default` is Azure's, where it will not change."""
    given = at(resource.inputs, *field.split("."))
    if (default if given is None else given) != value:
        yield problem(
            field, given, f"must be {str(value).lower()}", f"set {field.rsplit('.', maxsplit=1)[-1]} so"
        )
