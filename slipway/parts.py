"""Parts of a web service that a stack file writes as mappings: environment, hosts, collection, load."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.problems import Checked

MAX_TIMEOUT_MS = 300_000
"""v1's server refuses a longer scoring timeout."""
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_COMPARED = r"([<>!=~]=|[<>])\d+(\.\d+)*(\.\*)?"
PythonVersion = Annotated[
    str, StringConstraints(pattern=rf"^(|\d+(\.\d+){{0,2}}|{_COMPARED}(, *{_COMPARED})*)$")
]


class Environment(Checked):
    """What the entry script runs in."""

    python_version: PythonVersion = ""
    """a version such as "3.11" or a range such as ">=3.10,<3.13\""""
    requirements: str | None = None
    """the path of a requirements file, from `source_directory`"""
    environment_variables: dict[VariableName, str] = Field(default_factory=dict)
    """a mapping of names (letters, digits, _) to strings"""
    image: str | None = None
    """the reference of an image that exists already; then Slipway builds none"""
    base_image: str | None = None
    """the reference of an image with Python, for the packages to stand on; without it one by version"""
    base_dockerfile: str | None = None
    """the path of a Dockerfile, from `source_directory`, which makes the base image"""
    conda_file: str | None = None
    """the path of a conda environment's YAML, from `source_directory`"""

    def mistakes(self) -> list[str]:
        return [
            f"{name} = {getattr(self, name)} with {other} = {getattr(self, other)}: {rule}; "
            "remove one of the two"
            for name, other, rule in (
                ("base_image", "image", "an image that exists is not built on another"),
                ("base_dockerfile", "image", "an image that exists is not built"),
                ("conda_file", "image", "nothing is installed in an image that exists"),
                ("base_dockerfile", "base_image", "a base image is made or it exists"),
                ("requirements", "conda_file", "packages of pip stand in the conda file itself"),
            )
            if getattr(self, name) is not None and getattr(self, other) is not None
        ]


class EgressHost(Checked):
    """A host outside the cluster that a model calls."""

    host: Annotated[str, Field(min_length=1)] = Field(examples=["example.com"])
    """a host name such as api.example.com, or an address range"""
    port: Annotated[int, Field(ge=1, le=65535)] = 443
    """a port from 1 to 65535"""
    protocol: Literal["HTTPS", "HTTP", "TCP", "UDP"] = "HTTPS"
    """one of HTTPS, HTTP, TCP, UDP"""
    reason: Annotated[str, Field(min_length=1)] = Field(examples=["example"])
    """why the model calls it, for those who approve firewall rules"""


class DataCollector(Checked):
    """What is collected of a web service, in v2's terms."""

    sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    """the part of all requests that is collected, above 0 and up to 1"""


class Load(Checked):
    """What a web service will be asked for, in v1's terms."""

    requests_per_second: Annotated[float, Field(gt=0)] = Field(examples=[1.0])
    """requests a second above 0"""
    seconds_per_request: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_MS / 1000)] = Field(examples=[0.001])
    """seconds that `run` takes, above 0"""
