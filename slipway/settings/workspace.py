"""The workspace: registry, storage, key vault and logs, as a stack file describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.problems import Checked
from slipway.settings.kinds import Region, id_of

RegistryId = Annotated[str, id_of("Microsoft.ContainerRegistry/registries")]
StorageId = Annotated[str, id_of("Microsoft.Storage/storageAccounts")]
VaultId = Annotated[str, id_of("Microsoft.KeyVault/vaults")]
LogsId = Annotated[str, id_of("Microsoft.OperationalInsights/workspaces")]


class Registry(Checked):
    """The workspace's container registry."""

    id: RegistryId | None = None
    """the id of a registry that exists"""
    attached: bool = False
    """true or false: an attached cluster may pull from it already (`az aks update --attach-acr`)"""
    sku: Literal["Basic", "Standard", "Premium"] = "Standard"
    """one of Basic, Standard, Premium; private endpoints need Premium"""
    private_endpoint: bool = False
    """true or false"""
    data_endpoint: bool = False
    """true or false: a host of its own for layers, so that a firewall needs no wildcard; needs Premium"""

    @classmethod
    def derived(cls, given: Mapping[str, object]) -> dict[str, object]:
        premium = given.get("private_endpoint") is True or given.get("data_endpoint") is True
        return {"sku": "Premium"} if premium else {}

    def mistakes(self) -> list[str]:
        return [
            f"{name} = true with sku = {self.sku}: only Premium has it; set sku: Premium"
            for name in ("private_endpoint", "data_endpoint")
            if getattr(self, name) and self.sku != "Premium"
        ]


class Storage(Checked):
    """The workspace's storage: models, outputs, collected data."""

    id: StorageId | None = None
    """the id of a storage account that exists"""
    private_endpoint: bool = False
    """true or false"""
    redundancy: Literal["LRS", "ZRS", "GRS", "GZRS"] = "LRS"
    """one of LRS, ZRS, GRS, GZRS"""


class KeyVault(Checked):
    """The workspace's key vault: certificates and secrets."""

    id: VaultId | None = None
    """the id of a key vault that exists"""
    private_endpoint: bool = False
    """true or false"""


class Logs(Checked):
    """Log Analytics and Application Insights."""

    id: LogsId | None = None
    """the id of a Log Analytics workspace that exists"""
    retention_days: Annotated[int, Field(ge=30, le=730)] = 30
    """days from 30 to 730"""


class Workspace(Checked):
    """What v1 called a workspace: registry, storage, key vault, logs."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{4,23}$")] = Field(examples=["workspace"])
    """5 to 24 lower-case letters and digits, unique in Azure; registry, storage and key vault are named so"""
    location: Region | None = None
    """an Azure region; the cluster's without it"""
    registry: Registry = Registry()
    """a mapping: id, attached, sku, private_endpoint, data_endpoint"""
    storage: Storage = Storage()
    """a mapping: id, private_endpoint, redundancy"""
    key_vault: KeyVault = KeyVault()
    """a mapping: id, private_endpoint"""
    logs: Logs = Logs()
    """a mapping: id, retention_days"""
