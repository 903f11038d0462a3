"""What watches a cluster: Container insights' rule for what it collects, and Defender's plan."""

from __future__ import annotations

import pulumi
import pulumi_azure_native as az

STREAM = "Microsoft-ContainerInsights-Group-Default"
"""Logs, events, inventory and metrics: all that Container insights collects."""


def container_insights(
    name: str,
    *,
    base: str,
    region: str,
    resource_group: pulumi.Input[str],
    logs_id: pulumi.Input[str],
    cluster_id: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Tell the add-on what to collect and where to; without this rule it collects nothing.

    `region` is that of the Log Analytics workspace. Source: Microsoft Learn, "Enable monitoring for AKS
    clusters", managed identity authentication.
    """
    collected = {  # the SDK has no class for an extension's settings
        "dataCollectionSettings": {
            "interval": "1m",
            "namespaceFilteringMode": "Off",
            "enableContainerLogV2": True,
        }
    }
    rule = az.monitor.DataCollectionRule(
        f"{name}-rule",
        data_collection_rule_name=f"dcr-{base}",
        resource_group_name=resource_group,
        location=region,
        kind="Linux",
        data_sources=az.monitor.DataCollectionRuleDataSourcesArgs(
            extensions=[
                az.monitor.ExtensionDataSourceArgs(
                    name="ContainerInsightsExtension",
                    extension_name="ContainerInsights",
                    streams=[STREAM],
                    extension_settings=collected,
                )
            ]
        ),
        destinations=az.monitor.DataCollectionRuleDestinationsArgs(
            log_analytics=[az.monitor.LogAnalyticsDestinationArgs(name="logs", workspace_resource_id=logs_id)]
        ),
        data_flows=[az.monitor.DataFlowArgs(streams=[STREAM], destinations=["logs"])],
        opts=opts,
    )
    az.monitor.DataCollectionRuleAssociation(
        f"{name}-rule",
        association_name="ContainerInsightsExtension",
        data_collection_rule_id=rule.id,
        resource_uri=cluster_id,
        opts=opts,
    )


def defender_plan(name: str, subscription_id: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
    """Turn on Defender for Containers in the whole subscription; it stays on when the stack is gone."""
    az.security.Pricing(
        name,
        pricing_name="Containers",
        pricing_tier="Standard",
        scope_id=pulumi.Output.concat("subscriptions/", subscription_id),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=True)),
    )
