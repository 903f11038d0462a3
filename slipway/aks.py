"""The way into a stack's AKS cluster, asked of Azure as whoever is signed in here."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import httpx

from slipway import entra
from slipway.hosts.clouds import suffixes
from slipway.kubeconfig import exec_kubeconfig
from slipway.local.state import LocalError
from slipway.settings.azure import Azure
from slipway.settings.kinds import group_of, name_of, subscription_of

API_VERSION = "2025-09-01"
"""Of Microsoft.ContainerService, as azure-native asks for the same."""
SUBSCRIPTION = "azure-native:subscriptionId"
SECONDS = 20.0
ROLE = "Azure Kubernetes Service Cluster User Role"


def cluster_id(azure: Azure, config: Mapping[str, str]) -> str:
    """Give the id that Azure has for a stack's cluster. Raises LocalError.

    `config` is the stack's, where Pulumi looks for the subscription, too.
    """
    if azure.cluster.id is not None:
        return azure.cluster.id
    adopted = azure.resource_group.id
    group = azure.resource_group.name or name_of(adopted or "")
    subscription = subscription_of(adopted) if adopted is not None else _subscription(config)
    provider = "providers/Microsoft.ContainerService/managedClusters"
    return f"/subscriptions/{subscription}/resourceGroups/{group}/{provider}/{azure.cluster.name}"


def kubeconfig(azure: Azure, id_: str, transport: httpx.BaseTransport | None = None) -> str:
    """Get the kubeconfig of a cluster; its users log in as this program does. Raises LocalError.

    `transport` stands for Azure.
    """
    cloud, cluster = suffixes(azure.cloud), name_of(id_)
    try:
        token = entra.token(f"https://{cloud.management}/.default", cloud.login).token
    except entra.EntraError as error:
        raise LocalError(f"not signed in to Azure: {error}", error.login) from None
    url = f"https://{cloud.management}{id_}/listClusterUserCredential"
    try:
        with httpx.Client(timeout=SECONDS, transport=transport) as client:
            answer = client.post(
                url,
                params={"api-version": API_VERSION, "format": "exec"},
                headers={"Authorization": f"Bearer {token}"},
            )
    except httpx.HTTPError as error:
        raise LocalError(f"{cloud.management} does not answer: {error or type(error).__name__}") from None
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise LocalError(f"there is no cluster {cluster} in resource group {group_of(id_)}", "pulumi up")
    if answer.status_code == HTTPStatus.FORBIDDEN:
        message = f"you have no right to the way into cluster {cluster}: {_said(answer)}"
        raise LocalError(message, f"ask for the role {ROLE} on it, or give --kubeconfig FILE")
    if not answer.is_success:
        raise LocalError(f"Azure gives no way into cluster {cluster}: {_said(answer)}")
    text = base64.b64decode(answer.json()["kubeconfigs"][0]["value"]).decode()
    return exec_kubeconfig(text, azure.cloud, str(Path(sys.executable).with_name("slipway")))


def get_credentials(id_: str) -> str:
    """Give the command that puts a cluster into kubectl's own kubeconfig."""
    where = f"--subscription {subscription_of(id_)} --resource-group {group_of(id_)}"
    return f"az aks get-credentials {where} --name {name_of(id_)}"


def _subscription(config: Mapping[str, str]) -> str:
    """Find the subscription where Pulumi's azure-native finds it."""
    given = config.get(SUBSCRIPTION) or os.environ.get("ARM_SUBSCRIPTION_ID")
    if given:
        return given
    command = ["az", "account", "show", "--query", "id", "--output", "tsv"]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=SECONDS
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found = ""
    if not found:
        message = (
            f"which Azure subscription is not known: neither {SUBSCRIPTION} nor ARM_SUBSCRIPTION_ID is set"
        )
        raise LocalError(message, "az login, or set one of them")
    return found


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"
