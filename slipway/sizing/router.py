"""How large the router is and what a cluster must have, by v1's `cluster_purpose`.

Sources: how-to-deploy-azure-kubernetes-service.md and how-to-attach-kubernetes-anywhere of Azure ML v1
(three front ends, self-scaling off for dev-test and otherwise on only where telemetry shows the need;
production has 3 nodes and 12 cores); requests and limits are those of azureml-fe v2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slipway.sizing.resources import Resources

ClusterPurpose = Literal["FastProd", "DenseProd", "DevTest"]
SelfScaling = Literal["never", "when telemetry shows the need"]


@dataclass(frozen=True)
class RouterSize:
    """The router's pods, what each asks for and may use, and how it scales itself."""

    replicas: int
    pod: Resources
    limit: Resources
    scales_itself: SelfScaling

    @property
    def scales(self) -> bool:
        """Whether it ever scales itself."""
        return self.scales_itself != "never"


@dataclass(frozen=True)
class ClusterMinimum:
    """The least nodes and cores of a cluster."""

    nodes: int
    vcpu: int


def router_size(purpose: ClusterPurpose) -> RouterSize:
    """Give v1's size of the router."""
    production = purpose != "DevTest"
    return RouterSize(
        replicas=3 if production else 1,
        pod=Resources(cpu=900, memory=800),
        limit=Resources(cpu=2000, memory=1200),
        scales_itself="when telemetry shows the need" if production else "never",
    )


def cluster_minimum(purpose: ClusterPurpose) -> ClusterMinimum:
    """Give v1's least size of a cluster."""
    return ClusterMinimum(1, 1) if purpose == "DevTest" else ClusterMinimum(3, 12)
