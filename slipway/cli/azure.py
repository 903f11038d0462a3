"""The command with which a kubeconfig of Slipway's logs in to an AKS cluster."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from slipway import entra
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
    try:
        token = entra.token(f"{AKS_SERVER}/.default", suffixes(cloud).login, tenant)
    except entra.EntraError as error:
        raise LocalError(f"no token for the cluster: {error}", error.login) from None
    expires = datetime.fromtimestamp(token.expires_on, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"token": token.token, "expirationTimestamp": expires}
    click.echo(json.dumps({"apiVersion": API_VERSION, "kind": "ExecCredential", "status": status}))
