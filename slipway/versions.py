"""Versions of one web service, and how its requests are shared among them: v1's `AksEndpoint`.

A version is a web service of its own, named `<web service>-<version>`; it has its own replicas, queue and
scaling. Only address and keys are the web service's, which v1 calls the endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from slipway.problems import Checked

MODEL_DEPLOYMENT = "azureml-model-deployment"
"""The header that pins a request to a version, and that tells in an answer which one it came from."""
MOST = 6
"""v1's limit of versions."""
WHOLE = 1_000_000
"""All requests, in the parts of which shares are given."""

VersionName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=30)
]
"""With a name of a web service (32) before it, it is still a label of Kubernetes (63)."""


class Traffic(Checked):
    """Which part of a web service's requests a version gets."""

    traffic_percentile: Annotated[float, Field(ge=0, le=100)] = 0
    """a percentage from 0 to 100; what is left of 100 goes to the default version"""
    is_default: bool = False
    """true or false; one version of several is the default"""
    is_control_version_type: bool = False
    """true or false: its type is Control, which one version may have; without it, Treatment"""

    @property
    def type(self) -> str:
        """v1's word for what a version is in an experiment; it changes nothing."""
        return "Control" if self.is_control_version_type else "Treatment"


class VersionOf(Traffic):
    """Of which web service something is a version."""

    endpoint: Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=32)]
    name: VersionName

    @property
    def service(self) -> str:
        """Name the web service that this is."""
        return f"{self.endpoint}-{self.name}"


def mistakes(versions: Mapping[str, Traffic]) -> list[str]:
    """Name each broken rule between the versions of one web service."""
    lines: list[str] = []
    if len(versions) > MOST:
        lines.append(f"versions: there are {len(versions)}, and at most {MOST} are possible; remove some")
    defaults = [name for name, one in versions.items() if one.is_default]
    if len(versions) > 1 and len(defaults) != 1:
        said = f"{' and '.join(defaults)} are default" if defaults else "none is the default"
        lines.append(f"versions: {said}, which gets what is left of 100; set is_default: true on exactly one")
    total = round(sum(one.traffic_percentile for one in versions.values()), 4)
    if total > 100:
        shares = ", ".join(f"{name} {one.traffic_percentile:g}" for name, one in versions.items())
        lines.append(f"versions: traffic_percentile sums up to {total:g} ({shares}); give at most 100 in all")
    controls = [name for name, one in versions.items() if one.is_control_version_type]
    if len(controls) > 1:
        lines.append(
            f"versions: {' and '.join(controls)} have is_control_version_type, which one may have; remove it "
            "from the others, which then are Treatment"
        )
    return lines


def shares(traffic: Mapping[str, Traffic]) -> dict[str, int]:
    """Give the part of `WHOLE` that each version gets while all are ready, the default first.

    Of a set that is just being changed: where several are the default or none is, the first one counts, and
    percentages of more than 100 in all are taken in proportion.
    """
    default = next((name for name, one in traffic.items() if one.is_default), next(iter(traffic)))
    total = max(100.0, sum(one.traffic_percentile for one in traffic.values()))
    parts = {name: int(WHOLE * one.traffic_percentile / total + 0.5) for name, one in traffic.items()}
    others = {name: part for name, part in parts.items() if name != default}
    return {default: max(0, WHOLE - sum(others.values())), **others}
