"""What a feature of a stack on Azure adds to it when it is turned on, and that it changes nothing else."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from slipway.engine import Graph
from tests.unit.azure_graphs import Change, Config, Golden, as_it_is, kind, shipped, with_models, without
from tests.unit.stack_text import spelled_out


def without_gpu_service(config: Config) -> None:
    del config["slipway:webservices"][1]


def without_gpu(config: Config) -> None:
    without_gpu_service(config)
    del config["slipway:azure"]["cluster"]["pools"][1]


def with_(**features: Any) -> Change:
    def change(config: Config) -> None:
        config["slipway:azure"]["cluster"] |= features

    return change


def with_models_and_uploads(config: Config) -> None:
    with_models(config)
    config["slipway:webservices"][0] |= {"collect_model_data": True, "upload_outputs": True}


def without_azureml(config: Config) -> None:
    config["slipway:azure"]["hosts"] = {"azureml": False}


CLUSTER, APPLICATION = "~ ManagedCluster cluster", "~ FirewallPolicyRuleCollectionGroup firewall-application"
COLLECTED = ("+ DataCollectionRule cluster-rule", "+ DataCollectionRuleAssociation cluster-rule")
FEATURES: dict[str, tuple[str, Change, Change, set[str]]] = {
    "GPU": (
        "prod",
        without_gpu,
        without_gpu_service,
        {
            *("+ AgentPool cluster-gpu", APPLICATION, "~ Namespace slipway", "~ Namespace slipway-services"),
            *("+ DaemonSet device-plugin", "+ Namespace gpu-resources"),
        },
    ),
    "Defender's sensor": ("prod", without("defender"), as_it_is, {CLUSTER, APPLICATION}),
    "Defender's plan": (
        "prod",
        as_it_is,
        with_(defender={"sensor": True, "plan": True}),
        {"+ Pricing cluster-defender-plan"},
    ),
    "Container insights": (
        "prod",
        without("monitor"),
        as_it_is,
        {
            *(CLUSTER, APPLICATION, *COLLECTED),
            "+ FirewallPolicyRuleCollectionGroup firewall-network",
            "~ AzureFirewall firewall",
        },
    ),
    "Azure Policy": ("prod", as_it_is, with_(azure_policy=True), {CLUSTER, APPLICATION}),
    "hosts of Azure ML v1": ("prod", without_azureml, as_it_is, {APPLICATION}),
    "registered models": (
        "prod",
        as_it_is,
        with_models,
        {
            "+ UserAssignedIdentity cluster-webservices-identity",
            "+ FederatedIdentityCredential cluster-webservices-slipway-services",
            "+ RoleAssignment cluster-models",
            "+ ServiceAccount slipway-services-slipway-webservice",
            "~ Namespace slipway",
            "~ Namespace slipway-services",
            "~ Namespace gpu-resources",
            "~ DaemonSet device-plugin",
            "~ ImagePush diabetes",
            "~ Deployment diabetes",
            "~ NetworkPolicy diabetes",
            "~ Secret diabetes-keys",
            "~ Service diabetes",
        },
    ),
    "model data and outputs": (
        "prod",
        with_models,
        with_models_and_uploads,
        {
            "+ RoleAssignment cluster-uploads",
            "~ Deployment diabetes",
            # they wait for the role
            *("~ Namespace slipway", "~ Namespace slipway-services", "~ Namespace gpu-resources"),
            "~ DaemonSet device-plugin",
        },
    ),
    "all of them without a firewall": (
        "dev",
        as_it_is,
        with_(azure_policy=True, defender={"sensor": True}, monitor=True),
        {CLUSTER, *COLLECTED},
    ),
}
"""The stack without it, with it, and which resources are made (+) and changed (~) when it is turned on."""


def test_when_a_feature_is_turned_on_then_exactly_the_listed_lines_change(golden: Golden) -> None:
    lines: list[str] = []
    for feature, (name, before, after, _) in FEATURES.items():
        old, new = (spelled_out(shipped(name, change)).splitlines() for change in (before, after))
        changed = [line for line in difflib.ndiff(old, new) if line[0] in "+-"]
        lines += [f"{feature}, stack {name}", *(f"  {line[0]} {line[2:].strip()}" for line in changed), ""]
    golden("features.txt", "\n".join(lines))


@pytest.mark.parametrize("feature", FEATURES)
def test_when_a_feature_is_turned_on_then_no_other_resource_changes(feature: str) -> None:
    name, before, after, expected = FEATURES[feature]
    old, new = (told(shipped(name, change)) for change in (before, after))
    changed = {f"~ {one}" for one in old.keys() & new.keys() if old[one] != new[one]}
    added, removed = new.keys() - old.keys(), old.keys() - new.keys()
    assert changed | {f"+ {one}" for one in added} | {f"- {one}" for one in removed} == expected


def told(graph: Graph) -> dict[str, tuple[object, ...]]:
    """Give all that the engine is told of each resource but where it comes from."""
    return {
        f"{kind(one)} {one.name}": (
            one.inputs,
            one.dependencies,
            one.protect,
            one.ignore_changes,
            one.options,
        )
        for one in graph.registrations
        if one.custom
    }
