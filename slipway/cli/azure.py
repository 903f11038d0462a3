"""The command with which a kubeconfig of Slipway's logs in to an AKS cluster."""

# ruff: noqa: PLC0415 - imports inside functions keep `slipway --help` and completion quick

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

import click

from slipway.hosts.clouds import Cloud, suffixes
from slipway.local.state import LocalError

AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
"""The application in Entra that every AKS API server is. Source: Azure/kubelogin, README, "server-id"."""
API_VERSION = "client.authentication.k8s.io/v1"


@click.command("kube-token")
@click.option(
    "--cloud", type=click.Choice([cloud.value for cloud in Cloud]), default="Public", show_default=True
)
@click.option("--tenant", help="The cluster's tenant, for who is signed in to several.")
def kube_token(cloud: str, tenant: str | None) -> None:
    """Print a token for an AKS cluster, as whom the environment, the machine or `az login` says.

    Kubeconfigs call it. The answer is an ExecCredential, which kubectl and Pulumi keep until it expires.
    """
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    logging.getLogger("azure").setLevel(logging.CRITICAL)  # it would tell the whole story twice
    credential = DefaultAzureCredential(authority=suffixes(cloud).login)
    try:
        token = credential.get_token(f"{AKS_SERVER}/.default", tenant_id=tenant)
    except ClientAuthenticationError as error:
        login = f"az login --tenant {tenant}" if tenant else "az login"
        raise LocalError(f"no token for the cluster: {_reason(error.message)}", login) from None
    expires = datetime.fromtimestamp(token.expires_on, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"token": token.token, "expirationTimestamp": expires}
    click.echo(json.dumps({"apiVersion": API_VERSION, "kind": "ExecCredential", "status": status}))


def _reason(message: str) -> str:
    """Give what the last way said that azure-identity tried, or `az login`'s answer if it was among them.

    A way that is set up and fails is the last; where none is, all are tried.
    """
    first, *_ = message.splitlines()
    tried = dict(re.findall(r"^\t(\w+): (?:ERROR: )?(.*)", message, re.MULTILINE))
    return tried.get("AzureCliCredential") or [first, *tried.values()][-1]
