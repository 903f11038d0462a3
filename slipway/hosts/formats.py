"""The required hosts as others take them: a table, JSON, CSV, an ARM template, a proxy's list, a DNS list."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Literal

from slipway.hosts.entry import Destination, Protocol, Stage
from slipway.hosts.firewall import template
from slipway.hosts.needs import Needs
from slipway.hosts.required import required
from slipway.hosts.rules import Required, RuleKind

Format = Literal["table", "json", "csv", "azurefirewall", "proxy", "dns"]
Hosts = tuple[Required, ...]
FIELDS: tuple[str, ...] = (
    *("stage", "host", "protocol", "port", "direction", "rule"),
    *("why", "source", "symptom", "note", "stages", "zone"),
)
WHY = 100
"""Letters of a line of the table that says why."""
TITLES = ("HOST", "PORT", "RULE", "WHY", "SOURCE")
_PASSED = {RuleKind.APPLICATION, RuleKind.NETWORK}


def written(needs: Needs, form: Format, *, fqdn_tag: bool = False) -> str:
    """Give the hosts that a stack needs as text that ends with a newline.

    A proxy and a DNS server know no FQDN tag, so these two always spell every name. Raises `Problems`.
    """
    exact = form in {"proxy", "dns"}
    return FORMATS[form](required(needs, fqdn_tag=fqdn_tag and not exact))


def table(hosts: Hosts) -> str:
    """Give host, port, rule kind, why and source under the first stage; a line for each reason."""
    rows = {one: list(_rows(one)) for one in hosts}
    every = [TITLES, *(row for group in rows.values() for row in group)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    lines = [_line(TITLES, widths)]
    for stage in Stage:
        here = [row for one, group in rows.items() if one.stage is stage for row in group]
        lines += [f"\n# {stage}", *(_line(row, widths) for row in here)] if here else []
    return "\n".join(lines) + "\n"


def _rows(one: Required) -> Iterator[tuple[str, ...]]:
    rule = (one.host, f"{one.protocol} {one.port}", str(one.kind))
    for reason in one.reasons:
        why = textwrap.wrap(f"{reason.feature}: {reason.purpose}", WHY) or [""]
        yield (*rule, why[0], reason.source)
        rule = ("", "", "")
        yield from ((*rule, more, "") for more in why[1:])


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def to_json(hosts: Hosts) -> str:
    """Give a list of objects, each with its reasons apart."""
    records = [_record(one) | {"reasons": [asdict(reason) for reason in one.reasons]} for one in hosts]
    return json.dumps(records, indent=2) + "\n"


def _record(one: Required) -> dict[str, object]:
    rule = (one.stage, one.host, one.protocol, one.port, one.direction, one.kind)
    values = (*rule, one.why, one.source, one.symptom, one.note, list(one.stages), one.zone)
    return dict(zip(FIELDS, values, strict=True))


def to_csv(hosts: Hosts) -> str:
    """Give comma-separated values with a line of titles, `FIELDS`."""
    text = io.StringIO()
    rows = csv.DictWriter(text, FIELDS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(_record(one) | {"stages": "; ".join(one.stages)} for one in hosts)
    return text.getvalue()


def azurefirewall(hosts: Hosts) -> str:
    """Give an ARM template that adds the rules to a firewall policy; see `slipway.hosts.firewall`."""
    return json.dumps(template(hosts), indent=2) + "\n"


def proxy(hosts: Hosts) -> str:
    """Give lines for squid.conf: names by protocol and port; what no HTTP proxy carries as comments.

    In `dstdomain`, `.contoso.com` is contoso.com and every name below it; a name inside a wildcard of the
    same list is left out, because Squid's search tree takes no such pair.
    """
    web = {Protocol.HTTPS, Protocol.HTTP}
    carried = [
        one
        for one in hosts
        if one.protocol in web and one.kind in _PASSED and one.destination is Destination.FQDN
    ]
    lines = ["# Squid must tunnel HTTPS (CONNECT) and not open it: AKS negotiates ALPN with the API server."]
    for protocol, port in sorted({(one.protocol, one.port) for one in carried}):
        acl = f"slipway_{protocol.lower()}_{port}"
        names = [one.host for one in carried if (one.protocol, one.port) == (protocol, port)]
        lines += [
            "",
            *(f"acl {acl} dstdomain {name.removeprefix('*')}" for name in _widest(names)),
            f"acl {acl}_port port {port}",
            f"http_access allow {'CONNECT ' if protocol is Protocol.HTTPS else ''}{acl} {acl}_port",
        ]
    rest = [one for one in hosts if one.kind in _PASSED and one not in carried]
    if rest:
        lines += ["", "# No HTTP proxy carries these: they need a route and a firewall's rule."]
        lines += [f"# {one.protocol} {one.port} {one.host}: {one.why}" for one in rest]
    return "\n".join(lines) + "\n"


def _widest(names: list[str]) -> list[str]:
    """Leave out what a wildcard of the same list holds, as `dstdomain` reads it."""
    wild = [name[1:] for name in names if name.startswith("*.")]
    ends = {name: f".{name.removeprefix('*.')}" for name in names}
    return sorted(
        name
        for name, end in ends.items()
        if not any(end.endswith(suffix) and name != f"*{suffix}" for suffix in wild)
    )


def dns(hosts: Hosts) -> str:
    """Give the names that must resolve inside the network, each under the first stage that needs it.

    A name with a private endpoint has its private DNS zone beside it: it must resolve to an address of the
    network, so a DNS server of one's own forwards its zone to Azure's resolver, 168.63.129.16.
    """
    named = [one for one in hosts if one.destination is Destination.FQDN]
    width = max((len(one.host) for one in named), default=0)
    lines = ["# Names that must resolve inside the virtual network. [zone] marks a private endpoint's:"]
    lines += ["# forward these to 168.63.129.16."]
    for stage in Stage:
        here = [one for one in named if one.stage is stage]
        lines += ["", f"# {stage}"] if here else []
        lines += [f"{one.host.ljust(width)}  {f'[{one.zone}] ' if one.zone else ''}{one.why}" for one in here]
    return "\n".join(lines) + "\n"


FORMATS: dict[Format, Callable[[Hosts], str]] = {
    "table": table,
    "json": to_json,
    "csv": to_csv,
    "azurefirewall": azurefirewall,
    "proxy": proxy,
    "dns": dns,
}
