"""The hosts that one stack needs: the catalogue's entries that its settings ask for, as rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slipway.hosts.clouds import suffixes
from slipway.hosts.entry import Destination, Direction, Feature, Host, Protocol, Stage
from slipway.hosts.models import ModelHost
from slipway.hosts.needs import Needs
from slipway.hosts.rules import Reason, Required
from slipway.hosts.sources import AKS_EGRESS, AKS_FIREWALL
from slipway.problems import Problems

FQDN_TAG = "AzureKubernetesService"


def required(needs: Needs, *, fqdn_tag: bool = False) -> tuple[Required, ...]:
    """Give the hosts that a stack needs, in order of stage; each once, with all of its reasons.

    With `fqdn_tag`, the tables of AKS's core are one entry, Azure Firewall's tag AzureKubernetesService. The
    tag has the core only, no add-ons (github.com/mspnp/aks-baseline/issues/289, Azure/AKS/issues/2215), so
    those are spelled out, and so is what another feature needs of the core.
    Raises `Problems`: a name that a feature needs and that is not given, a feature without hosts in this
    cloud, a model's host that no rule can express.
    """
    if lines := needs.mistakes():
        raise Problems(lines)
    found = [one for entry in needs.entries for one in _filled(entry, needs)]
    found += [_of_model(model) for model in needs.models]
    if fqdn_tag:
        tagged = [one for one in found if one.in_fqdn_tag]
        found = [*filter(None, [_tag(tagged)]), *(one for one in found if not one.in_fqdn_tag)]
    return tuple(sorted(_merged(found), key=_place))


def _place(one: Required) -> tuple[int, str, str, int, str]:
    return one.stage.order, one.kind, one.host, one.port, one.protocol


def _filled(entry: Host, needs: Needs) -> Iterator[Required]:
    """Put a stack's values into an entry."""
    cloud, values = suffixes(needs.cloud), needs.values
    for server in needs.dns_servers if "{dns_server}" in entry.pattern else (None,):
        here = values | {"dns_server": server}
        host = entry.pattern.format(cloud=cloud, **here)
        yield Required(
            host.lower() if entry.destination is Destination.FQDN else host,
            entry.destination,
            entry.protocol,
            entry.port,
            entry.direction,
            entry.stages,
            (Reason(entry.feature, entry.purpose, str(entry.source), entry.symptom, entry.note),),
            entry.zone.format(cloud=cloud, **here),
            in_fqdn_tag=entry.source is AKS_EGRESS
            and entry.feature in {Feature.AKS, Feature.PUBLIC_API_SERVER},
        )


def _of_model(model: ModelHost) -> Required:
    symptom = f"the model's calls to {model.host} fail or time out"
    reason = Reason(f"web service {model.service}", model.reason, "stack file", symptom)
    return Required(
        model.host.lower(),
        model.destination,
        model.protocol,
        model.port,
        Direction.OUTBOUND,
        (Stage.MODEL_DEPLOYED,),
        (reason,),
    )


def _tag(tagged: list[Required]) -> Required | None:
    """Let one entry stand for what the FQDN tag holds."""
    if not tagged:
        return None
    purpose = f"AKS's own hosts, kept up to date by Azure: {', '.join(sorted(one.host for one in tagged))}"
    symptoms = "; ".join(dict.fromkeys(one.symptom for one in tagged))
    return Required(
        FQDN_TAG,
        Destination.FQDN_TAG,
        Protocol.HTTPS,
        443,
        Direction.OUTBOUND,
        _stages(tagged),
        (Reason(Feature.AKS, purpose, str(AKS_FIREWALL), symptoms),),
        in_fqdn_tag=True,
    )


def _stages(found: Iterable[Required]) -> tuple[Stage, ...]:
    return tuple(stage for stage in Stage if any(stage in one.stages for one in found))


def _merged(found: Iterable[Required]) -> Iterator[Required]:
    """Make one of all that name the same host, protocol and port.

    A private endpoint wins: what is reached inside the network passes no firewall.
    """
    same: dict[tuple[str, Protocol, int, bool], list[Required]] = {}
    for one in found:
        key = (one.host, one.protocol, one.port, one.direction is Direction.INBOUND)
        same.setdefault(key, []).append(one)
    for group in same.values():
        first = next((one for one in group if one.direction is Direction.INTERNAL), group[0])
        yield Required(
            first.host,
            first.destination,
            first.protocol,
            first.port,
            first.direction,
            _stages(group),
            tuple(dict.fromkeys(reason for one in group for reason in one.reasons)),
            first.zone,
            any(one.in_fqdn_tag for one in group),
        )
