"""Azure's clouds: how their names end, and which regions are theirs. The one place for such suffixes.

Sources: outbound-rules-control-egress.md of MicrosoftDocs/azure-aks-docs (2026-06-18: API server, sign-in,
management); how-to-access-azureml-behind-firewall.md of MicrosoftDocs/azure-ai-docs (2026-03-19: storage,
key vault, Azure ML); container-registry-firewall-access-rules.md of MicrosoftDocs/azure-management-docs
(2023-10-31: registry); private-endpoint-dns.md of MicrosoftDocs/azure-docs (private zones). The public names
of load balancers and Azure Data Explorer's names are as Azure's SDKs have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cloud(StrEnum):
    """An Azure cloud, as `azure.cloud` of a stack file names it."""

    PUBLIC = "Public"
    US_GOVERNMENT = "USGovernment"
    CHINA = "China"


@dataclass(frozen=True)
class Suffixes:
    """What the names of one cloud end with; `login` and `management` are whole names.

    A registry is `<name>.<registry>`, its layers `<name>.<region>.data.<registry>`; blobs are
    `<account>.blob.<storage>`; the API server is `<name>.hcp.<region>.<api_server>`; a public address with
    a leaf label is `<label>.<region>.<public_name>`.
    """

    login: str
    management: str
    api_server: str
    registry: str
    storage: str
    vault: str
    vault_zone: str
    """the private zone of key vaults after `privatelink.`, which is not the name's own end"""
    public_name: str
    azure: str
    """the end of Azure Monitor's and Azure Policy's names"""
    azureml: str
    kusto: str

    @property
    def registry_zone(self) -> str:
        """Name the private DNS zone of registries with a private endpoint."""
        return f"privatelink.{self.registry}"

    @property
    def blob_zone(self) -> str:
        """Name the private DNS zone of blobs with a private endpoint."""
        return f"privatelink.blob.{self.storage}"

    @property
    def key_vault_zone(self) -> str:
        """Name the private DNS zone of key vaults with a private endpoint."""
        return f"privatelink.{self.vault_zone}"


_SUFFIXES = {
    Cloud.PUBLIC: Suffixes(
        login="login.microsoftonline.com",
        management="management.azure.com",
        api_server="azmk8s.io",
        registry="azurecr.io",
        storage="core.windows.net",
        vault="vault.azure.net",
        vault_zone="vaultcore.azure.net",
        public_name="cloudapp.azure.com",
        azure="azure.com",
        azureml="api.azureml.ms",
        kusto="kusto.windows.net",
    ),
    Cloud.US_GOVERNMENT: Suffixes(
        login="login.microsoftonline.us",
        management="management.usgovcloudapi.net",
        api_server="cx.aks.containerservice.azure.us",
        registry="azurecr.us",
        storage="core.usgovcloudapi.net",
        vault="vault.usgovcloudapi.net",
        vault_zone="vaultcore.usgovcloudapi.net",
        public_name="cloudapp.usgovcloudapi.net",
        azure="azure.us",
        azureml="api.ml.azure.us",
        kusto="kusto.usgovcloudapi.net",
    ),
    Cloud.CHINA: Suffixes(
        login="login.chinacloudapi.cn",
        management="management.chinacloudapi.cn",
        api_server="cx.prod.service.azk8s.cn",
        registry="azurecr.cn",
        storage="core.chinacloudapi.cn",
        vault="vault.azure.cn",
        vault_zone="vaultcore.azure.cn",
        public_name="cloudapp.chinacloudapi.cn",
        azure="azure.cn",
        azureml="api.ml.azure.cn",
        kusto="kusto.chinacloudapi.cn",
    ),
}


def suffixes(cloud: Cloud | str) -> Suffixes:
    """Give the suffixes of a cloud; raises ValueError for a name that is none."""
    return _SUFFIXES[Cloud(cloud)]


def cloud_of(region: str) -> Cloud:
    """Tell which cloud a region belongs to, by how its name begins."""
    if region.startswith(("usgov", "usdod")):
        return Cloud.US_GOVERNMENT
    return Cloud.CHINA if region.startswith("china") else Cloud.PUBLIC
