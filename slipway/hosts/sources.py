"""The documents that the tables follow, each with its own date and the day it was read."""

from __future__ import annotations

from datetime import date

from slipway.hosts.entry import Source

_READ = date(2026, 11, 24)

AKS_EGRESS = Source("MicrosoftDocs/azure-aks-docs outbound-rules-control-egress.md", date(2026, 6, 18), _READ)
AKS_FIREWALL = Source("MicrosoftDocs/azure-aks-docs limit-egress-traffic.md", date(2023, 12, 5), _READ)
AKS_BASELINE = Source("github.com/mspnp/aks-baseline/issues/457", date(2026, 6, 16), _READ)
AZUREML = Source(
    "MicrosoftDocs/azure-ai-docs how-to-access-azureml-behind-firewall.md", date(2026, 3, 19), _READ
)
AZUREML_V1 = Source(
    "MicrosoftDocs/azure-ai-docs v1/how-to-deploy-azure-kubernetes-service.md", date(2024, 3, 8), _READ
)
MONITOR = Source("MicrosoftDocs/azure-monitor-docs azure-monitor-network-access.md", date(2025, 8, 18), _READ)
PRIVATE_DNS = Source("MicrosoftDocs/azure-docs private-endpoint-dns.md", date(2023, 10, 11), _READ)
REGISTRY = Source(
    "MicrosoftDocs/azure-management-docs container-registry-firewall-access-rules.md",
    date(2023, 10, 31),
    _READ,
)
