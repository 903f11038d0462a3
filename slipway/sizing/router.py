"""How large the router is, by v1's `cluster_purpose`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slipway.sizing.resources import Resources

ClusterPurpose = Literal["FastProd", "DenseProd", "DevTest"]


@dataclass(frozen=True)
class RouterSize:
    """Pods, what each asks for and may use, nodes that keep them apart, and how it scales itself."""

    replicas: int
    pod: Resources
    limit: Resources
    nodes: int
    scales_itself: Literal["never", "when telemetry shows the need"]


def router(purpose: ClusterPurpose) -> RouterSize:
    """Give v1's size of the router."""
    many = purpose != "DevTest"
    return RouterSize(
        replicas=3 if many else 1,
        pod=Resources(cpu=900, memory=800),
        limit=Resources(cpu=2000, memory=1200),
        nodes=3 if many else 1,
        scales_itself="when telemetry shows the need" if many else "never",
    )
