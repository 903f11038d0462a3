"""Texts of Azure and Kubernetes with a form: ids, regions, names, addresses and ranges, labels, taints."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from slipway.problems import Many

Region = Annotated[str, StringConstraints(pattern=r"^[a-z]+[a-z0-9]*$")]
ResourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,61}[A-Za-z0-9_]$")]
ClusterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,43}[A-Za-z0-9])?$")]
"""Within the limits of everything that is named after it; Azure Firewall's, 56 characters, is the least."""
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
Domain = Annotated[
    str, StringConstraints(pattern=rf"^({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])$", max_length=253)
]
EntraId = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
PINNED = re.compile(r"[a-z0-9.-]+(/[a-z0-9._-]+)+(:v?\d+(\.\d+)+[\w.-]*|@sha256:[0-9a-f]{64})")
SCOPE = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+", re.IGNORECASE)


def _cidr(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise PydanticCustomError("cidr", "be an address range") from None
    if str(network) != text:
        raise PydanticCustomError(
            "cidr", "be a range without host bits: {network}", {"network": str(network)}
        )
    if network.version != 4:
        raise PydanticCustomError("cidr", "be an IPv4 range")
    return text


def _address(text: str) -> str:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        raise PydanticCustomError("address", "be an IPv4 address") from None
    return text


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise PydanticCustomError("twice", "name each once")
    return names


def _pinned(image: str) -> str:
    if PINNED.fullmatch(image) is None:
        raise PydanticCustomError(
            "image", "be HOST/NAME with a whole version or a digest, which nobody moves"
        )
    return image


Cidr = Annotated[str, AfterValidator(_cidr)]
Address = Annotated[str, AfterValidator(_address)]
PinnedImage = Annotated[str, AfterValidator(_pinned)]
Zones = Annotated[Many[Literal["1", "2", "3"]], AfterValidator(_once)]
Label = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)
]
LabelName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
]
Taint = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9][-A-Za-z0-9_.]{0,62}(=[-A-Za-z0-9_.]{0,63})?"
        r":(NoSchedule|PreferNoSchedule|NoExecute)$"
    ),
]


def id_of(type_: str) -> AfterValidator:
    """Check that a text is an id of one type, such as `Microsoft.Network/virtualNetworks/subnets`."""

    def check(text: str) -> str:
        found = type_of(text)
        if found is None:
            raise PydanticCustomError("id", "be an Azure resource id of {type}", {"type": type_})
        if found.lower() != type_.lower():
            context = {"type": type_, "found": found}
            raise PydanticCustomError("id", "be the id of {type}, and this one is of {found}", context)
        return text.rstrip("/")

    return AfterValidator(check)


def type_of(resource_id: str) -> str | None:
    """Give the resource type that an id names; None if it is no id.

    `/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/V` is of
    `Microsoft.Network/virtualNetworks`.
    """
    scope = SCOPE.match(resource_id)
    if scope is None:
        return None
    rest = resource_id[scope.end() :].strip("/")
    if not rest:
        return "Microsoft.Resources/resourceGroups"
    parts = rest.split("/")
    if parts[0].lower() != "providers" or len(parts) < 4 or len(parts) % 2 or not all(parts):
        return None
    return "/".join([parts[1], *parts[2::2]])


def subscription_of(resource_id: str) -> str:
    """Give the subscription in an id; nothing for what a preview without Azure has instead of one."""
    return resource_id.split("/")[2] if SCOPE.match(resource_id) else ""


def group_of(resource_id: str) -> str:
    """Give the name of the resource group in an id."""
    return resource_id.split("/")[4]


def name_of(resource_id: str) -> str:
    """Give the resource's own name in an id."""
    return resource_id.rstrip("/").rsplit("/", 1)[-1]
