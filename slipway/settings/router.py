"""The one router of a cluster, on any stack."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.problems import Checked, Many
from slipway.settings.kinds import Domain
from slipway.spec import Quantity

LeafLabel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$")]
CertificateName = Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z-]{1,127}$")]
TLS_FIELDS = ("tls_certificate", "tls_key")
"""Secret config keys of the router: `slipway:router.tls_certificate` and `slipway:router.tls_key`, PEM."""


class Tls(Checked):
    """Where the router's certificate and name come from; v1 forbids a certificate with a leaf label."""

    domains: Many[Domain] = ()
    """a list of names of your own, such as models.example.com"""
    key_vault_certificate: CertificateName | None = None
    """the name of a certificate in the workspace's key vault"""
    leaf_domain_label: LeafLabel | None = None
    """a label, in Azure's own name <label>.<region>.cloudapp.azure.com"""

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        if self.leaf_domain_label is not None:
            mistakes += [
                f"leaf_domain_label = {self.leaf_domain_label} with {name}: a name is Azure's or your own; "
                "remove one of the two"
                for name in ("domains", "key_vault_certificate")
                if getattr(self, name)
            ]
        elif not self.domains:
            mistakes.append("domains or leaf_domain_label: TLS needs a name; give one of them")
        return mistakes


class Router(Checked):
    """The one router of a cluster."""

    port: Annotated[int, Field(ge=1024, le=65535)] = 8080
    """a port from 1024 to 65535, on which the router's pods listen"""
    replicas: Annotated[int, Field(ge=1)] | None = None
    """a number of pods of at least 1; 3 without it, and 1 with cluster_purpose DevTest"""
    service_type: Literal["LoadBalancer", "NodePort", "ClusterIP"] = "LoadBalancer"
    """one of LoadBalancer, NodePort, ClusterIP"""
    internal: bool | None = None
    """true or false: a load balancer inside the network; on with userDefinedRouting"""
    tls: Tls | None = None
    """a mapping: domains, key_vault_certificate, leaf_domain_label"""
    cpu_cores: Quantity | None = None
    """a number of cores of at least 0.001; what cluster_purpose needs without it, and 0.5 without Azure"""
    memory_gb: Quantity | None = None
    """gigabytes of at least 0.001; what cluster_purpose needs without it, and 0.5 without Azure"""
    minimum_upload_rate: Annotated[int, Field(gt=0)] = 1_048_576
    """bytes a second above 0, below which a long upload is cut off"""
    access_log_rate: Annotated[int, Field(ge=0)] = 100
    """requests a second that all get a line in the access log; of more a share does, of 0 only what fails"""
    image: str | None = None
    """the reference of an image that exists already; then Slipway builds none"""
