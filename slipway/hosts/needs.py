"""What of a stack asks for hosts, and the names that the hosts are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Formatter

from slipway.hosts.catalogue import CATALOGUE
from slipway.hosts.clouds import Cloud, suffixes
from slipway.hosts.entry import Feature, Host
from slipway.hosts.models import ModelHost, mistakes
from slipway.problems import problem


@dataclass(frozen=True)
class Needs:
    """What of a stack asks for hosts. Names are without their cloud's suffix; `registry` is `myregistry`.

    `api_server` is the API server's whole name once it is known (`slipway-1a2b.hcp.westeurope.azmk8s.io`);
    before the cluster exists every name of the region stands for it. `api_server_ip` is asked for by
    PODS_CALL_API_SERVER only. `router_name` is the leaf domain label; None with a domain of one's own.
    `router_ip` is the router's internal address when DNAT leads to it.
    """

    cloud: Cloud
    region: str
    features: frozenset[Feature]
    registry: str | None = None
    storage: str | None = None
    vault: str | None = None
    workspace_region: str | None = None
    api_server: str | None = None
    api_server_ip: str | None = None
    router_name: str | None = None
    router_ip: str | None = None
    dns_servers: tuple[str, ...] = ()
    models: tuple[ModelHost, ...] = ()

    @property
    def on(self) -> frozenset[Feature]:
        """Give the features that are on, with those that a value turns on."""
        by_value: dict[Feature, object] = {
            Feature.CUSTOM_DNS: self.dns_servers,
            Feature.ROUTER_NAME: self.router_name,
            Feature.ROUTER_BEHIND_FIREWALL: self.router_ip,
        }
        return self.features | {feature for feature, value in by_value.items() if value}

    @property
    def entries(self) -> tuple[Host, ...]:
        """Give the catalogue's entries that are asked for."""
        on = self.on
        return tuple(entry for entry in CATALOGUE if entry.feature in on and self.cloud in entry.clouds)

    @property
    def values(self) -> dict[str, str | None]:
        """Give the values of the entries' placeholders; None where a name is not known."""
        return {
            "region": self.region,
            "workspace_region": self.workspace_region or self.region,
            "api_server": self.api_server or f"*.hcp.{self.region}.{suffixes(self.cloud).api_server}",
            "api_server_ip": self.api_server_ip,
            "registry": self.registry,
            "storage": self.storage,
            "vault": self.vault,
            "router_name": self.router_name,
            "router_ip": self.router_ip,
            "dns_server": next(iter(self.dns_servers), None),
        }

    def mistakes(self) -> list[str]:
        """Name what keeps these needs from becoming rules, one line a mistake."""
        lines = [
            problem(name, region, "is no region", "give one such as westeurope")
            for name, region in (("region", self.region), ("workspace_region", self.workspace_region))
            if region is not None and not re.fullmatch(r"[a-z]+[a-z0-9]*", region)
        ]
        values, entries = self.values, self.entries
        for name in (name for name, value in values.items() if not value):
            by = dict.fromkeys(entry.feature for entry in entries if name in _placeholders(entry.pattern))
            if by:
                lines.append(f"{name}: is part of the hosts that {', '.join(by)} needs; give it")
        lines += [
            f"{feature}: none of its hosts is known in cloud {self.cloud}; turn it off"
            for feature in sorted(self.on - {entry.feature for entry in entries})
        ]
        lines += [
            f"{model.service}: egress.{line}"
            for model in self.models
            for line in mistakes(model.host, model.port, model.protocol, model.reason)
        ]
        return lines


def _placeholders(pattern: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(pattern) if name}
