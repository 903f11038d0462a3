"""The one router of a cluster, on any stack."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from slipway.certificates import read
from slipway.problems import Checked, Many
from slipway.settings.kinds import Domain
from slipway.spec import Quantity

LeafLabel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$")]
CertificateName = Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z-]{1,127}$")]
TLS_FIELDS = ("tls_key",)
"""Secret config keys of the router: `slipway:router.tls_key`, in PEM."""


def _pem(text: str) -> str:
    try:
        read(text)
    except ValueError:
        raise PydanticCustomError("pem", "be a certificate in PEM, with its chain") from None
    return text


Certificate = Annotated[str, AfterValidator(_pem)]


class Tls(Checked):
    """Names and certificates of the router, and what becomes of HTTP beside them."""

    domains: Many[Domain] = ()
    """a list of names of your own, such as models.example.com"""
    certificate: Certificate | None = None
    """a certificate with its chain in PEM; its key is the secret config key `slipway:router.tls_key`"""
    key_vault_certificate: CertificateName | None = None
    """the name of a certificate in the workspace's key vault"""
    leaf_domain_label: LeafLabel | None = None
    """a label, in Azure's own name <label>.<region>.cloudapp.azure.com"""
    secrets: Many[SecretName] = ()
    """a list of Secrets of type kubernetes.io/tls in namespace slipway, kept by cert-manager or another"""
    acme_account: SecretName | None = None
    """the Secret there with the key of an ACME account, whose challenges (HTTP-01) the router answers"""
    http: Literal["refuse", "redirect", "serve"] = "refuse"
    """one of refuse, redirect, serve: what becomes of requests by HTTP"""

    def mistakes(self) -> list[str]:
        mistakes = [
            f"leaf_domain_label = {self.leaf_domain_label} with {name}: a name is Azure's or your own; "
            "remove one of the two"
            for name in ("domains", "certificate", "key_vault_certificate")
            if self.leaf_domain_label is not None and getattr(self, name)
        ]
        if self.leaf_domain_label is not None:
            if not (mistakes or self.secrets or self.http == "serve"):
                mistakes.append(
                    f"leaf_domain_label = {self.leaf_domain_label} without secrets: Azure's name brings no "
                    "certificate (v1's was Microsoft's own); give secrets and acme_account for cert-manager "
                    "(docs/tls.md), or set http: serve to have the name without TLS"
                )
        elif not self.domains:
            mistakes.append("domains or leaf_domain_label: TLS needs a name; give one of them")
        if self.acme_account is not None and not self.secrets:
            mistakes.append(
                f"acme_account = {self.acme_account} without secrets: name those that its certificates go to"
            )
        if self.key_vault_certificate is not None:
            mistakes += [
                f"key_vault_certificate = {self.key_vault_certificate} with {name}: they come from one "
                "place; remove one of the two"
                for name in ("certificate", "secrets")
                if getattr(self, name)
            ]
        if self.certificate is not None and not self.secrets:
            found = read(self.certificate)
            mistakes += [
                f"domains = {domain} is not among certificate's names, {', '.join(found.names)}: change one"
                for domain in self.domains
                if not found.covers(domain)
            ]
        return mistakes

    @property
    def encrypts(self) -> bool:
        """Tell whether there is a certificate, and so HTTPS."""
        return bool(self.domains or self.secrets)


class Router(Checked):
    """The one router of a cluster."""

    port: Annotated[int, Field(ge=1024, le=65535)] = 8080
    """a port from 1024 to 65535, on which the router's pods listen"""
    replicas: Annotated[int, Field(ge=1)] | None = None
    """a number of pods of at least 1, the least if it scales itself (FastProd, DenseProd); 3, 1 on DevTest"""
    service_type: Literal["LoadBalancer", "NodePort", "ClusterIP"] = "LoadBalancer"
    """one of LoadBalancer, NodePort, ClusterIP"""
    internal: bool | None = None
    """true or false: a load balancer inside the network; on with userDefinedRouting"""
    tls: Tls | None = None
    """a mapping: domains, certificate, key_vault_certificate, leaf_domain_label, secrets, http, ..."""
    cpu_cores: Quantity | None = None
    """a number of cores of at least 0.001; what cluster_purpose needs without it, and 0.5 without Azure"""
    memory_gb: Quantity | None = None
    """gigabytes of at least 0.001; what cluster_purpose needs without it, and 0.5 without Azure"""
    minimum_upload_rate: Annotated[int, Field(gt=0, le=2**31)] = 1_048_576
    """bytes a second above 0 and up to 2 GiB, below which a long upload is cut off"""
    access_log_rate: Annotated[int, Field(ge=0, le=100_000)] = 100
    """requests a second, 0 to 100,000, that all have a log line; of more a share has, of 0 only what fails"""
    image: str | None = None
    """the reference of an image that exists already; then Slipway builds none"""
