"""Which outputs of a stack are outputs of its resources, unchanged: told by identity, not by value."""

from __future__ import annotations

from typing import Any, cast

import pulumi
from pulumi import _types  # pyright: ignore[reportPrivateUsage] there is no public way to the names
from pulumi.runtime import get_root_resource


async def exported() -> dict[str, tuple[str, str]]:
    """Give URN and property of each output of the stack that is one; what is computed is left out."""
    outputs = cast("dict[str, object]", getattr(get_root_resource(), "outputs", {}))
    found: dict[str, tuple[str, str]] = {}
    for name, value in outputs.items():
        if not isinstance(value, pulumi.Output):
            continue
        output = cast("pulumi.Output[Any]", value)
        for resource in await output.resources():
            own = next((python for python, one in vars(resource).items() if one is output), None)
            urn = await resource.urn.future()
            if own is not None and urn is not None:
                found[name] = (urn, _types.resource_py_to_pulumi_names(type(resource)).get(own, own))
    return found
