"""Azure's built-in roles that a platform gives, by their ids, the same in every tenant and cloud.

Source: Microsoft Learn, "Azure built-in roles", as known on 2026-11-24.
"""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """A role by the id of its definition."""

    ACR_PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    CLUSTER_ADMIN = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"
    """everything in a cluster, and its kubeconfig"""
    KEY_VAULT_SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
    MANAGED_IDENTITY_OPERATOR = "f1a07417-d97a-45cb-824c-7a7467783830"
    NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
    PRIVATE_DNS_ZONE_CONTRIBUTOR = "b12aa53e-6015-4669-85d0-8515ebb3ae7f"
    STORAGE_BLOB_DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
    STORAGE_BLOB_DATA_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"

    @property
    def definition(self) -> str:
        """Give the id of the role's definition."""
        return f"/providers/Microsoft.Authorization/roleDefinitions/{self.value}"

    @property
    def title(self) -> str:
        """Give the name that the portal shows."""
        return TITLES[self]


TITLES = {
    Role.ACR_PULL: "AcrPull",
    Role.CLUSTER_ADMIN: "Azure Kubernetes Service RBAC Cluster Admin",
    Role.KEY_VAULT_SECRETS_USER: "Key Vault Secrets User",
    Role.MANAGED_IDENTITY_OPERATOR: "Managed Identity Operator",
    Role.NETWORK_CONTRIBUTOR: "Network Contributor",
    Role.PRIVATE_DNS_ZONE_CONTRIBUTOR: "Private DNS Zone Contributor",
    Role.STORAGE_BLOB_DATA_CONTRIBUTOR: "Storage Blob Data Contributor",
    Role.STORAGE_BLOB_DATA_READER: "Storage Blob Data Reader",
}
