"""The built-in roles, against those that the stand-in knows by their names in Azure's documents."""

from slipway.roles import Role
from tests.engine.stand_in.identities import ROLES


def test_each_role_is_the_built_in_one_of_its_name() -> None:
    assert {role.value: ROLES[role.title] for role in Role} == {role.value: role.value for role in Role}


def test_a_definition_is_named_without_a_subscription() -> None:
    ending = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    assert Role.ACR_PULL.definition == f"/providers/Microsoft.Authorization/roleDefinitions/{ending}"
