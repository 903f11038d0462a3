"""Azure ML's own tables: v1's for AKS, all of it, and the one of its extension for Kubernetes.

Hosts that only training needs are left out, and so are the service tags that Azure ML's document gives in
place of these names for its own compute.
"""

from __future__ import annotations

from slipway.hosts.aks import PUBLIC
from slipway.hosts.entry import ALL, Feature, Host, Stage
from slipway.hosts.sources import AZUREML, AZUREML_V1

_DEPLOYED = (Stage.ROUTER_DEPLOYED,)
_RUNS = (Stage.ROUTER_RUNS,)
_MODEL = (Stage.MODEL_DEPLOYED,)
_NO_TOKENS = "services with Microsoft Entra tokens refuse every request"

V1 = tuple(
    Host(name, purpose, symptom, stages, Feature.AZUREML, source, note=note)
    for name, purpose, symptom, stages, source, note in (
        (
            "{api_server}",
            "AKS API server",
            "azureml-fe does not start, or finds no models",
            (Stage.ROUTER_DEPLOYED, Stage.ROUTER_STARTS, Stage.ROUTER_RUNS),
            AZUREML_V1,
            "v1 writes <cluster>.hcp.<region>; AKS adds a suffix of its own to the cluster's name",
        ),
        (
            "mcr.microsoft.com",
            "Microsoft Container Registry: azureml-fe's image",
            "azureml-fe stays in ImagePullBackOff",
            _DEPLOYED,
            AZUREML_V1,
            "",
        ),
        (
            "{registry}.{cloud.registry}",
            "the workspace's container registry: images of models",
            "pods of models stay in ImagePullBackOff",
            _MODEL,
            AZUREML_V1,
            "",
        ),
        (
            "{storage}.table.{cloud.storage}",
            "the workspace's storage account, tables",
            "azureml-fe loads no configuration",
            _RUNS,
            AZUREML_V1,
            "",
        ),
        (
            "{storage}.blob.{cloud.storage}",
            "the workspace's storage account, blobs: configuration and models",
            "azureml-fe loads no configuration; models are not downloaded",
            (Stage.ROUTER_RUNS, Stage.MODEL_DEPLOYED),
            AZUREML_V1,
            "",
        ),
        (
            "{cloud.azureml}",
            "Microsoft Entra authentication",
            _NO_TOKENS,
            _RUNS,
            AZUREML_V1,
            "v1 names it for the public cloud, as api.azureml.ms; today's tokens need Entra's own host too",
        ),
        (
            "{cloud.login}",
            "Microsoft Entra authentication",
            _NO_TOKENS,
            _RUNS,
            AZUREML,
            "v1's table has api.azureml.ms alone",
        ),
        (
            "ingest-vienna{workspace_region}.{cloud.kusto}",
            "Kusto endpoint for uploading telemetry",
            "azureml-fe's telemetry is lost, and with it the help of Azure's support",
            _RUNS,
            AZUREML_V1,
            "v1 names it for the public cloud",
        ),
    )
)

_NO_LOGS = "Azure ML shows no system logs of the extension"
_NO_PULL = "pods of endpoints stay in ImagePullBackOff"
_NO_SERVICE = "endpoints stay in Creating: the extension cannot reach its workspace"

EXTENSION = tuple(
    Host(name, purpose, symptom, stages, Feature.AZUREML_EXTENSION, AZUREML, clouds=clouds)
    for name, purpose, symptom, stages, clouds in (
        ("*.{cloud.kusto}", "system logs", _NO_LOGS, _RUNS, ALL),
        ("*.table.{cloud.storage}", "system logs", _NO_LOGS, _RUNS, ALL),
        ("*.queue.{cloud.storage}", "system logs", _NO_LOGS, _RUNS, ALL),
        ("{registry}.{cloud.registry}", "images of endpoints", _NO_PULL, _MODEL, ALL),
        ("{registry}.{workspace_region}.data.{cloud.registry}", "layers of images", _NO_PULL, _MODEL, ALL),
        (
            "{storage}.blob.{cloud.storage}",
            "models and outputs",
            "models are not downloaded",
            _MODEL,
            ALL,
        ),
        ("*.workspace.{workspace_region}.{cloud.azureml}", "Azure ML's API", _NO_SERVICE, _MODEL, ALL),
        ("{workspace_region}.{cloud.azureml}", "Azure ML's API", _NO_SERVICE, _MODEL, ALL),
        ("{workspace_region}.experiments.azureml.net", "Azure ML's API", _NO_SERVICE, _MODEL, PUBLIC),
    )
)

AZUREML_HOSTS = (*V1, *EXTENSION)
