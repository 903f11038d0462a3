"""What images, models, telemetry and the router's own name need."""

from __future__ import annotations

from slipway.hosts.aks import PUBLIC
from slipway.hosts.entry import ALL, Destination, Direction, Feature, Host, Protocol, Stage
from slipway.hosts.sources import AKS_FIREWALL, AZUREML, AZUREML_V1, MONITOR, PRIVATE_DNS, REGISTRY

_PULLS = (Stage.ROUTER_DEPLOYED, Stage.MODEL_DEPLOYED)
_MODELS = (Stage.MODEL_DEPLOYED,)
_NO_PULL = "pods of the router and of web services stay in ImagePullBackOff"
_NO_MODEL = "init containers of web services fail: models are not downloaded"
_NO_TELEMETRY = "Application Insights shows no requests and traces of the web service"
_NO_ROUTER = "clients cannot resolve or reach the scoring URI"

REGISTRIES = (
    *(
        Host(
            "{registry}.{cloud.registry}",
            "images of the router and of web services, from the workspace's registry",
            _NO_PULL,
            _PULLS,
            feature,
            REGISTRY,
        )
        for feature in (Feature.REGISTRY, Feature.REGISTRY_DATA_ENDPOINT)
    ),
    Host(
        "*.blob.{cloud.storage}",
        "layers of the registry's images, from accounts of its own choice",
        _NO_PULL,
        _PULLS,
        Feature.REGISTRY,
        REGISTRY,
        note="a data endpoint (Premium) narrows it to <registry>.<region>.data.<suffix>",
    ),
    Host(
        "{registry}.{workspace_region}.data.{cloud.registry}",
        "layers of the registry's images",
        _NO_PULL,
        _PULLS,
        Feature.REGISTRY_DATA_ENDPOINT,
        REGISTRY,
    ),
    *(
        Host(
            name,
            f"{what}, through a private endpoint",
            _NO_PULL,
            _PULLS,
            Feature.REGISTRY_PRIVATE,
            PRIVATE_DNS,
            direction=Direction.INTERNAL,
            zone="{cloud.registry_zone}",
        )
        for name, what in (
            ("{registry}.{cloud.registry}", "images of the router and of web services"),
            ("{registry}.{workspace_region}.data.{cloud.registry}", "layers of the registry's images"),
        )
    ),
)

STORAGE = (
    Host(
        "{storage}.blob.{cloud.storage}",
        "models come from Blob storage; outputs and collected data go there",
        _NO_MODEL,
        _MODELS,
        Feature.STORAGE,
        AZUREML,
    ),
    Host(
        "{storage}.blob.{cloud.storage}",
        "models come from Blob storage through a private endpoint; outputs and collected data go there",
        _NO_MODEL,
        _MODELS,
        Feature.STORAGE_PRIVATE,
        PRIVATE_DNS,
        direction=Direction.INTERNAL,
        zone="{cloud.blob_zone}",
    ),
)

TELEMETRY = tuple(
    Host(name, purpose, _NO_TELEMETRY, _MODELS, Feature.APP_INSIGHTS, MONITOR, clouds=clouds)
    for name, purpose, clouds in (
        ("*.in.applicationinsights.{cloud.azure}", "telemetry, by region", ALL),
        ("dc.applicationinsights.azure.com", "telemetry", PUBLIC),
        ("dc.applicationinsights.microsoft.com", "telemetry", PUBLIC),
        ("dc.services.visualstudio.com", "telemetry", PUBLIC),
        ("{workspace_region}.livediagnostics.monitor.{cloud.azure}", "live metrics, by region", ALL),
        ("live.applicationinsights.azure.com", "live metrics", PUBLIC),
        ("rt.applicationinsights.microsoft.com", "live metrics", PUBLIC),
        ("rt.services.visualstudio.com", "live metrics", PUBLIC),
    )
)

ROUTER = (
    Host(
        "{router_name}.{region}.{cloud.public_name}",
        "clients find the router by the name that Azure makes from its leaf domain label",
        _NO_ROUTER,
        (Stage.ROUTER_RUNS,),
        Feature.ROUTER_NAME,
        AZUREML_V1,
        direction=Direction.INBOUND,
        note="not needed with a domain of one's own",
    ),
    *(
        Host(
            "{router_ip}",
            "clients outside reach the router's internal load balancer through the firewall",
            _NO_ROUTER,
            (Stage.ROUTER_RUNS,),
            Feature.ROUTER_BEHIND_FIREWALL,
            AKS_FIREWALL,
            protocol=Protocol.TCP,
            port=port,
            destination=Destination.ADDRESS,
            direction=Direction.INBOUND,
        )
        for port in (443, 80)
    ),
)

WORKSPACE = (*REGISTRIES, *STORAGE, *TELEMETRY, *ROUTER)
