"""Fixtures that the tests of this folder share."""

from tests.cluster.azurite import azurite, container

__all__ = ["azurite", "container"]
