"""How a platform gives Azure's built-in roles."""

from __future__ import annotations

from typing import Literal

import pulumi
import pulumi_azure_native as az

from slipway.roles import Role


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
        principal_type=principal_type or pulumi.Output[str | None].from_input(None),  # else the SDK says User
        opts=opts,
    )
