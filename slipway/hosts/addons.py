"""What AKS's options need: updates, GPUs, Defender, Azure Monitor, Azure Policy, key vault, extensions."""

from __future__ import annotations

from slipway.hosts.aks import NOT_CHINA, PUBLIC
from slipway.hosts.clouds import Cloud
from slipway.hosts.entry import ALL, Destination, Direction, Feature, Host, Protocol, Stage
from slipway.hosts.sources import AKS_EGRESS, AZUREML, PRIVATE_DNS

_NODES = (Stage.CLUSTER,)
_ABROAD = frozenset({Cloud.US_GOVERNMENT, Cloud.CHINA})
_NO_UPDATES = "nodes get security updates with a new node image only"
_NO_DRIVER = "GPU nodes offer no nvidia.com/gpu: pods that ask for one stay Pending"
_NO_ALERTS = "Defender for Cloud shows the cluster's sensor as unhealthy and no alerts of it"
_NO_METRICS = "Azure Monitor shows no logs and metrics of the cluster"
_NO_POLICIES = "Azure Policy shows the cluster as not compliant or not started; new constraints do not arrive"
_NO_EXTENSIONS = "az k8s-extension create times out; the extension stays in Creating or Failed"
_NO_CERTIFICATE = "router pods stay in ContainerCreating: FailedMount, the certificate cannot be read"

UPDATES = tuple(
    Host(
        name,
        "security updates of the nodes' Ubuntu",
        _NO_UPDATES,
        _NODES,
        Feature.OS_UPDATES,
        AKS_EGRESS,
        protocol=protocol,
        port=port,
    )
    for name, protocol, port in (
        ("security.ubuntu.com", Protocol.HTTP, 80),
        ("azure.archive.ubuntu.com", Protocol.HTTP, 80),
        ("changelogs.ubuntu.com", Protocol.HTTP, 80),
        ("snapshot.ubuntu.com", Protocol.HTTPS, 443),
    )
)

GPU = tuple(
    Host(name, "drivers of NVIDIA GPUs", _NO_DRIVER, _NODES, Feature.GPU, AKS_EGRESS)
    for name in ("nvidia.github.io", "us.download.nvidia.com", "download.docker.com")
)

SIGN_IN = (
    Host(
        "{cloud.login}",
        "pods sign in to Microsoft Entra with workload identity",
        "the router reads no certificate, model downloads fail: AADSTS errors or time-outs in their logs",
        (Stage.ROUTER_STARTS, Stage.MODEL_DEPLOYED),
        Feature.WORKLOAD_IDENTITY,
        AKS_EGRESS,
    ),
)

DEFENDER = tuple(  # Defender for Cloud was retired in China on 2026-08-18
    Host(name, purpose, _NO_ALERTS, _NODES, Feature.DEFENDER, AKS_EGRESS, clouds=NOT_CHINA)
    for name, purpose in (
        ("{cloud.login}", "Defender's sensor signs in to Microsoft Entra"),
        ("*.ods.opinsights.{cloud.azure}", "Defender's sensor uploads security events"),
        ("*.oms.opinsights.{cloud.azure}", "Defender's sensor signs in to its Log Analytics workspace"),
        ("*.cloud.defender.microsoft.com", "Defender's sensor uploads security events"),
    )
)

MONITOR = (
    Host(
        "AzureMonitor",
        "logs and metrics go to Azure Monitor and Log Analytics",
        _NO_METRICS,
        _NODES,
        Feature.MONITOR,
        AKS_EGRESS,
        protocol=Protocol.TCP,
        destination=Destination.SERVICE_TAG,
    ),
    *(
        Host(name, purpose, _NO_METRICS, _NODES, Feature.MONITOR, AKS_EGRESS, clouds=clouds, note=note)
        for name, purpose, clouds, note in (
            ("{cloud.login}", "the agent signs in to Microsoft Entra", PUBLIC, ""),
            ("*.ods.opinsights.{cloud.azure}", "ingestion of logs", ALL, ""),
            ("*.oms.opinsights.{cloud.azure}", "the agent registers itself", ALL, ""),
            ("dc.services.visualstudio.com", "the agent's own telemetry", ALL, ""),
            (
                "*.in.applicationinsights.azure.com",
                "Application Insights' own instrumentation of pods",
                ALL,
                "the document has this name in every cloud; Azure Monitor's own ends in azure.us or azure.cn",
            ),
            ("*.monitoring.azure.com", "ingestion of metrics", PUBLIC, ""),
            ("global.handler.control.monitor.{cloud.azure}", "access control", ALL, ""),
            (
                "{region}.handler.control.monitor.{cloud.azure}",
                "the cluster's data collection rules",
                ALL,
                "",
            ),
            ("*.ingest.monitor.{cloud.azure}", "ingestion of Container insights' logs", ALL, ""),
            ("*.metrics.ingest.monitor.{cloud.azure}", "ingestion of managed Prometheus' metrics", ALL, ""),
        )
    ),
)

POLICY = tuple(
    Host(name, purpose, _NO_POLICIES, _NODES, Feature.POLICY, AKS_EGRESS, clouds=clouds)
    for name, purpose, clouds in (
        ("data.policy.core.windows.net", "policies come in, compliance goes out", PUBLIC),
        ("store.policy.core.windows.net", "Gatekeeper's artifacts of built-in policies", PUBLIC),
        ("dc.services.visualstudio.com", "the add-on's own telemetry", PUBLIC),
        ("data.policy.{cloud.azure}", "policies come in, compliance goes out", _ABROAD),
        ("store.policy.{cloud.azure}", "Gatekeeper's artifacts of built-in policies", _ABROAD),
    )
)

KEY_VAULT = (
    Host(
        "{vault}.{cloud.vault}",
        "the router's certificate, by the key vault's CSI driver",
        _NO_CERTIFICATE,
        (Stage.ROUTER_STARTS,),
        Feature.KEY_VAULT,
        AZUREML,
        note="AKS's document says vault.azure.net, Azure ML's *.vault.azure.net; "
        "a vault's own host is <name>.vault.azure.net",
    ),
    Host(
        "{vault}.{cloud.vault}",
        "the router's certificate, by the key vault's CSI driver through a private endpoint",
        _NO_CERTIFICATE,
        (Stage.ROUTER_STARTS,),
        Feature.KEY_VAULT_PRIVATE,
        PRIVATE_DNS,
        direction=Direction.INTERNAL,
        zone="{cloud.key_vault_zone}",
    ),
)

EXTENSIONS = tuple(
    Host(name, purpose, _NO_EXTENSIONS, _NODES, Feature.CLUSTER_EXTENSIONS, AKS_EGRESS, clouds=clouds)
    for name, purpose, clouds in (
        ("{region}.dp.kubernetesconfiguration.{cloud.azure}", "configuration and status", NOT_CHINA),
        ("mcr.microsoft.com", "images of the extensions' agents", NOT_CHINA),
        ("*.data.mcr.microsoft.com", "layers of images of the extensions' agents", NOT_CHINA),
        ("arcmktplaceprod.azurecr.io", "images of marketplace extensions", PUBLIC),
        *(
            (
                f"arcmktplaceprod.{region}.data.azurecr.io",
                "layers of images of marketplace extensions",
                PUBLIC,
            )
            for region in ("centralindia", "japaneast", "westus2", "westeurope", "eastus")
        ),
        ("*.ingestion.msftcloudes.com", "the agents' own metrics", PUBLIC),
        ("*.microsoftmetrics.com", "the agents' own metrics", PUBLIC),
        ("marketplaceapi.microsoft.com", "metered usage", PUBLIC),
    )
)

ADDONS = (*UPDATES, *GPU, *SIGN_IN, *DEFENDER, *MONITOR, *POLICY, *KEY_VAULT, *EXTENSIONS)
