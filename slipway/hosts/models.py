"""Hosts that models call: what a person wrote, checked, before it becomes a rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Network

from slipway.hosts.entry import Destination, Protocol
from slipway.problems import problem

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(\*\.)?({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?", re.IGNORECASE)
_WEB_PORTS = (80, 443)
_FORMS = "give a name such as api.example.com, or an IPv4 address or range"


@dataclass(frozen=True)
class ModelHost:
    """A host that the model of a web service calls: `webservices[].egress`, with its service's name."""

    service: str
    host: str
    reason: str
    port: int = 443
    protocol: Protocol = Protocol.HTTPS

    @property
    def destination(self) -> Destination:
        """Tell whether `host` is a name or an address."""
        return Destination.FQDN if network(self.host) is None else Destination.ADDRESS


def network(text: str) -> IPv4Network | None:
    """Read an IPv4 address or range, whose host bits may be set; None for anything else."""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


def by_name(protocol: Protocol, port: int) -> bool:
    """Tell whether a firewall reads the host's name from the traffic: HTTP and HTTPS on 80 and 443.

    Source: how-to-access-azureml-behind-firewall.md (2026-03-19): other ports go into network rules.
    """
    return protocol in {Protocol.HTTP, Protocol.HTTPS} and port in _WEB_PORTS


def mistakes(host: str, port: int, protocol: str, reason: str) -> list[str]:
    """Name what keeps a host from becoming a firewall rule, one line a mistake, by the field's own name.

    A network rule takes no wildcard (fqdn-filtering-network-rules.md of MicrosoftDocs/azure-docs,
    2021-09-01), and a rule for every host is no rule.
    """
    lines: list[str] = []
    known = protocol in Protocol.__members__
    if not known:
        lines.append(problem("protocol", protocol, "is no protocol", f"give one of {', '.join(Protocol)}"))
    if not 1 <= port <= 65535:
        lines.append(problem("port", port, "is no port", "give one from 1 to 65535"))
    if not reason.strip() or not reason.isprintable():
        rule = "is not one line of text"
        lines.append(problem("reason", reason, rule, "say in one why the model calls the host"))
    range_ = network(host)
    if host == "*" or (range_ is not None and range_.prefixlen == 0):
        lines.append(problem("host", host, "is every host", "name the hosts that the model calls"))
    elif range_ is not None:
        if "/" in host and str(range_) != host:
            lines.append(problem("host", host, "has host bits", f"give {range_}"))
    elif "/" in host:
        lines.append(problem("host", host, "is a URL or a wrong range", "give the host alone"))
    elif len(host) > 253 or not _NAME.fullmatch(host):
        lines.append(problem("host", host, "is no host", _FORMS))
    elif host.startswith("*.") and host.count(".") < 2:
        lines.append(problem("host", host, "is a whole top-level domain", "name the hosts"))
    elif host.startswith("*.") and known and not by_name(Protocol(protocol), port):
        rule = f"is a wildcard, which a network rule ({protocol} {port}) does not take"
        lines.append(problem("host", host, rule, "give each host by name, or HTTPS on port 443"))
    return lines
