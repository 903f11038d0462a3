"""Azure's built-in roles that a platform gives, and how it gives them."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import pulumi
import pulumi_azure_native as az


class Role(Enum):
    """Built-in roles by their ids, the same in every tenant and cloud.

    Source: Microsoft Learn, "Azure built-in roles", as known on 2026-11-24.
    """

    ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
    """Azure Kubernetes Service RBAC Cluster Admin: everything in a cluster, and its kubeconfig"""
    KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
    MANAGED_IDENTITY_OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"
    NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
    PRIVATE_DNS_ZONE_CONTRIBUTOR = "b12aa53e-6015-4669-85d0-8515ebb3ae7f"

    @property
    def definition(self) -> str:
        """Give the id of the role's definition."""
        return f"/providers/Microsoft.Authorization/roleDefinitions/{self.value}"


def assign(
    name: str,
    role: Role,
    scope: pulumi.Input[str],
    principal_id: pulumi.Input[str],
    *,
    opts: pulumi.ResourceOptions,
    principal_type: Literal["ServicePrincipal", "Group"] | None = "ServicePrincipal",
) -> az.authorization.RoleAssignment:
    """Give a role on `scope`. With its type told, Azure takes a principal that is seconds old.

    None is for a principal that exists already and may be a person or an application.
    """
    return az.authorization.RoleAssignment(
        name,
        role_definition_id=role.definition,
        scope=scope,
        principal_id=principal_id,
        principal_type=principal_type,
        opts=opts,
    )
