"""Which changes replace: by the path, by the lists, below what is listed; the lists name real inputs."""

from __future__ import annotations

import re

import pytest

from slipway.engine.sdk import Schema, fields, schema
from slipway.plan.replacements import _AZURE, _KUBERNETES, PATHS, path_inputs, replaced_by  # pyright: ignore[reportPrivateUsage] the lists themselves are checked

CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"
SUBNET = "azure-native:network:Subnet"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        (CLUSTER, "networkProfile.podCidr"),
        (CLUSTER, "networkProfile.serviceCidrs[0]"),
        (CLUSTER, "networkProfile.outboundType"),
        (CLUSTER, "linuxProfile.ssh.publicKeys[0].keyData"),
        (CLUSTER, "location"),
        (CLUSTER, "resourceName"),
        (POOL, "vmSize"),
        (POOL, "resourceGroupName"),
        (SUBNET, "virtualNetworkName"),
        ("azure-native:authorization:RoleAssignment", "scope"),
        ("azure-native:network:PrivateEndpoint", "subnet.id"),
        ("azure-native:storage:StorageAccount", "isHnsEnabled"),
        ("azure-native:privatedns:PrivateRecordSet", "recordType"),
        ("azure-native:search:Service", "resourceGroupName"),
        ("azure-native:search:Service", "serviceName"),
        (DEPLOYMENT, "spec.selector.matchLabels.app"),
        (DEPLOYMENT, "metadata.namespace"),
        ("kubernetes:core/v1:ConfigMap", "data.key"),
        ("kubernetes:core/v1:Service", "spec.clusterIP"),
        ("kubernetes:batch/v1:Job", "spec.template.spec.containers[0].image"),
        ("kubernetes:example.com/v1:Widget", "metadata.name"),
        ("random:index/randomPassword:RandomPassword", "length"),
        ("pulumi-python:dynamic/slipway:ImagePush", "repository"),
    ],
)
def test_when_an_input_is_part_of_the_identity_or_listed_then_it_replaces(type_: str, path: str) -> None:
    assert replaced_by(type_, [path, "tags.owner"])[0] == path


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        (CLUSTER, "networkProfile"),  # added as a whole: an update, as azure-native has it
        (CLUSTER, "networkProfile.loadBalancerProfile.managedOutboundIPs.count"),
        (CLUSTER, "networkProfile.podCidrs"),
        (CLUSTER, "agentPoolProfiles[0].vmSize"),
        (CLUSTER, "agentPoolProfiles[0]"),
        (POOL, "count"),
        (SUBNET, "addressPrefix"),
        (SUBNET, "name"),
        ("azure-native:network:PublicIPAddress", "publicIPAllocationMethod"),
        (DEPLOYMENT, "spec.template.spec.containers[0].image"),
        (DEPLOYMENT, "metadata.labels.name"),
        ("kubernetes:core/v1:Service", "spec.ports[0].port"),
        ("pulumi-python:dynamic:Resource", "anything"),
        ("pulumi-python:dynamic/slipway:ImagePush", "digest"),
    ],
)
def test_when_an_input_can_be_updated_then_nothing_is_replaced(type_: str, path: str) -> None:
    assert replaced_by(type_, [path]) == ()


def test_when_several_inputs_change_then_only_those_that_replace_are_named_once_in_their_order() -> None:
    changed = ["vmSize", "count", "agentPoolName", "vmSize"]
    assert replaced_by(POOL, changed) == ("vmSize", "agentPoolName")
    assert replaced_by(POOL, []) == ()


@pytest.mark.parametrize("type_", PATHS)
def test_when_a_rest_path_names_inputs_then_the_sdk_has_them_and_requires_no_other_parent(type_: str) -> None:
    found = described(f"azure-native:{type_}")
    assert set(path_inputs(type_)) <= set(found.properties)
    parents = {name for name in found.required if name.endswith(("Name", "scope", "scopeId", "Uri"))}
    assert parents <= set(path_inputs(type_))


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        *((f"azure-native:{type_}", path) for type_, paths in _AZURE.items() for path in paths),
        *((f"kubernetes:{type_}", path) for type_, paths in _KUBERNETES.items() for path in paths),
    ],
)
def test_when_a_list_names_an_input_then_the_sdk_has_it(type_: str, path: str) -> None:
    found = described(type_)
    for name in re.split(r"\[?\]?\.", path):
        shape = found.properties[name]
        shape = shape.items or shape
        found = fields(shape.objects[0]) if shape.objects else Schema({}, frozenset())


def described(type_: str) -> Schema:
    found = schema(type_)
    assert found is not None, type_
    return found
