"""All `slipway:*` keys of a stack file but the secret ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from slipway.problems import Checked, Many
from slipway.settings.azure import Azure
from slipway.settings.images import Images
from slipway.settings.router import Router
from slipway.spec import ServiceName, WebserviceSpec


class Kubernetes(Checked):
    """The cluster of a stack without Azure."""

    context: Annotated[str, Field(min_length=1)] = Field(examples=["kind-slipway"])
    """the name of a context in the kubeconfig (never the current one by accident)"""
    kubeconfig: Annotated[str, Field(min_length=1)] | None = None
    """the path of a kubeconfig; without one, KUBECONFIG or kubectl's default counts"""


class Settings(Checked):
    """What one stack is: on Azure, or on a cluster that is there already."""

    kubernetes: Kubernetes | None = Field(default=None, examples=[{"context": "kind-slipway"}])
    """a mapping: context, kubeconfig; the cluster of a stack without Azure"""
    azure: Azure | None = None
    """a mapping: cloud, location, resource_group, network, egress, hosts, dns, workspace, cluster, ..."""
    layer: Literal["all", "platform", "services"] = "all"
    """one of all, platform, services; the last two are two stacks, alike but for layer and platform_stack"""
    platform_stack: Annotated[str, Field(pattern=r"^[^/]+/[^/]+/[^/]+$")] | None = None
    """with layer services, the stack of layer platform: organization/project/stack"""
    router: Router = Router()
    """a mapping: port, replicas, service_type, internal, tls, cpu_cores, memory_gb, image, ..."""
    images: Images = Images()
    """a mapping: registry, global_registry, architecture"""
    webservices: Many[WebserviceSpec] = ()
    """a list of web services; layer platform makes their identities and lets them reach hosts, no more"""
    unauthenticated: dict[ServiceName, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """a mapping of web services with auth_enabled: false to the reason why anyone may call them"""

    def mistakes(self) -> list[str]:
        from slipway.settings.checks import mistakes  # noqa: PLC0415 the checks are of this type

        return mistakes(self)

    @property
    def services(self) -> tuple[WebserviceSpec, ...]:
        """Give what has replicas: web services without versions, and each version of those that have some."""
        return tuple(one for spec in self.webservices for one in spec.deployed())

    @property
    def internal(self) -> bool:
        """Tell whether the router's load balancer stands inside the network."""
        if self.router.internal is not None or self.azure is None:
            return bool(self.router.internal)
        return self.azure.egress.outbound_type == "userDefinedRouting"
