"""A graph by types, with inputs as JSON values, and what one resource refers to."""

from __future__ import annotations

import re
from typing import Any, cast

from slipway.engine.graph import Graph, Registration, secrets, texts
from slipway.engine.mask import Mask
from slipway.engine.urns import type_of
from slipway.plan.replacements import path_inputs
from slipway.plan.values import masked

AKS = "containerservice:ManagedCluster"
FIREWALL = "network:AzureFirewall"
NAT_GATEWAY = "network:NatGateway"
SUBNET = "network:Subnet"
Inputs = dict[str, Any]


class Lookup:
    """Finds resources of a graph; Azure's by `module:Type`, Kubernetes' by kind."""

    def __init__(self, graph: Graph) -> None:
        mask = Mask(secrets(graph))
        self._by_type: dict[str, list[Registration]] = {}
        self._inputs: dict[str, Inputs] = {}
        for found in graph.registrations:
            package, _, type_ = found.type.partition(":")
            kind = type_ if package == "azure-native" else found.type.rpartition(":")[2]
            self._by_type.setdefault(kind, []).append(found)
            self._inputs[found.urn] = cast("Inputs", masked(found.inputs, mask))

    def of(self, type_: str) -> list[Registration]:
        """Give all resources of a type."""
        return self._by_type.get(type_, [])

    def inputs(self, found: Registration) -> Inputs:
        """Give the inputs without secrets; what is unknown reads `[unknown]`."""
        return self._inputs[found.urn]

    def at(self, found: Registration, path: str) -> Any:
        """Give the input at a path such as `sku.name`; None where there is none."""
        value: Any = self._inputs[found.urn]
        for name in path.split("."):
            value = cast("Inputs", value).get(name) if isinstance(value, dict) else None
        return value

    def many(self, found: Registration, path: str) -> list[Any]:
        """Give the items of a list; none where it is absent or unknown."""
        value: Any = self.at(found, path)
        return cast("list[Any]", value) if isinstance(value, list) else []

    def words(self, found: Registration, path: str) -> Inputs:
        """Give a mapping, such as labels; empty where it is absent or unknown."""
        value: Any = self.at(found, path)
        return cast("Inputs", value) if isinstance(value, dict) else {}

    def name(self, found: Registration) -> str:
        """Give the name in Azure, which ends a resource's path there; else Pulumi's."""
        *_, name = path_inputs(found.type.partition(":")[2])
        return str(self.at(found, name) or found.name)

    def used(self, found: Registration, name: str, type_: str, word: str) -> str:
        """Give what an input refers to: the URN of what is made, or the id of what is adopted, else nothing.

        `word` is what stands before the name in an id, such as `subnets`.
        """
        urns = found.property_dependencies.get(name, ())
        made = (urn for urn in urns if type_of(urn).endswith(f":{type_}"))
        return next(iter((*made, *_ids(found.inputs.get(name), word))), "")

    def adopted(self, word: str) -> list[str]:
        """Give the ids of a kind that any resource of Azure refers to."""
        azure = [found for kind, every in self._by_type.items() if ":" in kind for found in every]
        return sorted({identity for found in azure for identity in _ids(found.inputs, word)})


def _ids(value: object, word: str) -> list[str]:
    return [text for text in texts(value) if re.search(rf"/{word}/[^/]+$", text, re.IGNORECASE)]
