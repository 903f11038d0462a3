"""Where images come from and go to, as a stack file says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slipway.problems import Checked

RegistryPath = Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._/-][a-z0-9]+)*)?$")]
"""A host, with a path of repositories below it if everything lies there."""


class Images(Checked):
    """How images are made and kept."""

    registry: RegistryPath | None = None
    """host[:port][/path] of the registry of a stack without Azure, such as localhost:5000"""
    global_registry: RegistryPath | None = None
    """host[:port][/path] of a registry in which environments are looked up before they are made"""
    architecture: Literal["amd64", "arm64"] = "amd64"
    """one of amd64, arm64: the nodes'"""
