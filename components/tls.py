"""Where the router's certificates come from: Secrets, ours and others', or the key vault, mounted as files.

The router watches Secrets with `tls.crt` and `tls.key`, as it does all of its namespace: mounted, a new one
would take a minute to come. Of the key vault's folder HAProxy takes every certificate; its CSI driver writes
certificate and key into one file and keeps it fresh.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import pods
from slipway.settings.router import Tls as Settings
from slipway.spec import ROUTER_NAMESPACE

NAME = "slipway-router-tls"
FOLDER = "/etc/slipway/tls"
DRIVER = "secrets-store.csi.k8s.io"
CLOUDS = {
    "Public": "AzurePublicCloud",
    "USGovernment": "AzureUSGovernmentCloud",
    "China": "AzureChinaCloud",
}
"""Clouds as the CSI driver's provider names them; without a name it looks for the vault in the public one.

Source: Azure/secrets-store-csi-driver-provider-azure, "Using the Azure Key Vault Provider", `cloudName`.
"""


@dataclass(frozen=True)
class Certificate:
    """A certificate with its chain, and its key, both PEM."""

    certificate: pulumi.Input[str]
    key: pulumi.Input[str]


@dataclass(frozen=True)
class VaultCertificate:
    """A certificate by its name in a key vault of a cloud, read as the identity `client_id`."""

    cloud: str
    name: str
    vault: pulumi.Input[str]
    tenant_id: pulumi.Input[str]
    client_id: pulumi.Input[str]


def source(
    given: Certificate | VaultCertificate, name: str, labels: dict[str, str], opts: pulumi.ResourceOptions
) -> tuple[pulumi.Resource, k8s.core.v1.VolumeArgs | None]:
    """Make what the certificate is read from; give that, and the volume that shows it, if one does."""
    metadata = pods.metadata(NAME, ROUTER_NAMESPACE, labels)
    match given:
        case Certificate():
            secret = k8s.core.v1.Secret(
                f"{name}-tls",
                metadata=metadata,
                type="kubernetes.io/tls",
                string_data={
                    "tls.crt": pulumi.Output.secret(given.certificate),
                    "tls.key": pulumi.Output.secret(given.key),
                },
                opts=opts,
            )
            return secret, None
        case VaultCertificate():
            provider = k8s.apiextensions.CustomResource(
                f"{name}-tls",
                api_version="secrets-store.csi.x-k8s.io/v1",
                kind="SecretProviderClass",
                metadata=metadata,
                spec={  # a custom resource: the SDK has no class for it
                    "provider": "azure",
                    "parameters": {
                        "cloudName": CLOUDS[given.cloud],
                        "keyvaultName": given.vault,
                        "tenantId": given.tenant_id,
                        "clientID": given.client_id,
                        "objects": _objects(given.name),
                    },
                },
                opts=opts,
            )
            csi = k8s.core.v1.CSIVolumeSourceArgs(
                driver=DRIVER, read_only=True, volume_attributes={"secretProviderClass": NAME}
            )
            return provider, k8s.core.v1.VolumeArgs(name="tls", csi=csi)


def variables(settings: Settings, host: str | None, port: int) -> dict[str, str]:
    """Give what a router's pod is told of its certificates; `host` is the name that clients know."""
    own = (NAME,) if settings.certificate is not None else ()
    domains = settings.domains or ((host,) if host is not None else ())
    found = {
        "TLS_PORT": str(port),
        "TLS_HTTP": settings.http,
        "TLS_DOMAINS": " ".join(domains),
    }
    if settings.key_vault_certificate is not None:
        found["TLS_DIR"] = FOLDER
    else:
        found["TLS_SECRETS"] = " ".join((*own, *settings.secrets))
    return found | ({"ACME_ACCOUNT": settings.acme_account} if settings.acme_account is not None else {})


def _objects(certificate: str) -> str:
    """Ask for a certificate with its key: the vault keeps the pair as a secret of the certificate's name."""
    item = json.dumps(
        {"objectName": certificate, "objectType": "secret", "objectAlias": f"{certificate}.pem"}
    )
    return json.dumps({"array": [item]})
