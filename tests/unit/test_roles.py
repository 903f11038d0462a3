"""The built-in roles, against those that the stand-in knows by their names in Azure's documents."""

from slipway.roles import Role
from tests.engine.stand_in.identities import ROLES

NAMES = {
    Role.ACR_PULL: "AcrPull",
    Role.CLUSTER_ADMIN: "Azure Kubernetes Service RBAC Cluster Admin",
    Role.KEY_VAULT_SECRETS_USER: "Key Vault Secrets User",
    Role.MANAGED_IDENTITY_OPERATOR: "Managed Identity Operator",
    Role.NETWORK_CONTRIBUTOR: "Network Contributor",
    Role.PRIVATE_DNS_ZONE_CONTRIBUTOR: "Private DNS Zone Contributor",
}


def test_each_role_is_the_built_in_one_of_its_name() -> None:
    given = {role: ROLES[name] for role, name in NAMES.items()}
    assert given == {role: role.value for role in Role}


def test_a_definition_is_named_without_a_subscription() -> None:
    ending = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    assert Role.ACR_PULL.definition == f"/providers/Microsoft.Authorization/roleDefinitions/{ending}"
