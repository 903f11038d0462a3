"""What a firewall of one's own lets pass, against what is required; and the hosts that models call."""

import itertools
import re
from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.hosts import (
    FQDN_TAG,
    Cloud,
    Feature,
    ModelHost,
    Needs,
    Protocol,
    Required,
    Rule,
    Stage,
    catalogued,
    covers,
    line,
    missing,
    mistakes,
    required,
)

NEEDS = Needs(
    Cloud.PUBLIC,
    "westeurope",
    frozenset({Feature.AKS, Feature.PUBLIC_API_SERVER, Feature.REGISTRY, Feature.TUNNEL, Feature.NTP}),
    registry="acme",
    models=(ModelHost("fraud", "203.0.113.0/28", "limits", 5432, Protocol.TCP),),
)
HOSTS = required(NEEDS)
RULES = [Rule(one.host, str(one.port), one.protocol) for one in HOSTS]
LABELS = ("a", "b")
NAMES = [".".join(labels) for depth in (1, 2, 3, 4) for labels in itertools.product(LABELS, repeat=depth)]
patterns = st.builds(
    "{}{}".format,
    st.sampled_from(["", "*.", "*"]),
    st.sampled_from([name for name in NAMES if len(name) < 5]),
)


def matches(pattern: str, name: str) -> bool:
    """Azure Firewall's own words: an asterisk on the left is literally anything."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name) is not None


@given(patterns, patterns)
def test_a_pattern_covers_another_just_when_it_matches_all_of_its_names(allowed: str, wanted: str) -> None:
    every = all(matches(allowed, name) for name in NAMES if matches(wanted, name))
    assert covers(allowed, wanted) == every


@pytest.mark.parametrize(
    ("allowed", "wanted", "expected"),
    [
        ("*.contoso.com", "any.contoso.com", True),
        ("*.contoso.com", "sub1.any.contoso.com", True),
        ("*.contoso.com", "contoso.com", False),
        ("*contoso.com", "contoso.com", True),
        ("*contoso.com", "example.anycontoso.com", True),
        ("*.Contoso.com", "ANY.contoso.com", True),
        ("*.contoso.com", "*.any.contoso.com", True),
        ("*.any.contoso.com", "*.contoso.com", False),
        ("any.contoso.com", "*.contoso.com", False),
        ("*", "*.contoso.com", True),
        ("*", "10.0.0.0/8", True),
        ("0.0.0.0/0", "any.contoso.com", True),
        ("10.0.0.0/8", "any.contoso.com", False),
        ("any.contoso.com", "10.0.0.1", False),
    ],
)
def test_wildcards_mean_what_they_mean_to_azure_firewall(allowed: str, wanted: str, expected: bool) -> None:
    assert covers(allowed, wanted) is expected


def range_of(host: int, length: int) -> IPv4Network:
    return IPv4Network((0x0A000000 + host, length), strict=False)


ranges = st.builds(range_of, st.integers(0, 63), st.integers(26, 32))


@given(ranges, ranges)
def test_a_range_covers_another_just_when_it_has_all_of_its_addresses(
    allowed: IPv4Network, wanted: IPv4Network
) -> None:
    assert covers(str(allowed), str(wanted)) == (set(wanted) <= set(allowed))


def test_when_all_that_is_required_is_allowed_then_nothing_is_missing() -> None:
    assert missing(RULES, HOSTS) == ()
    assert missing([Rule("*", "*", None)], HOSTS) == ()


@pytest.mark.parametrize("place", range(len(RULES)))
def test_when_one_rule_is_taken_away_then_its_host_is_named(place: int) -> None:
    left = [*RULES[:place], *RULES[place + 1 :]]
    assert missing(left, HOSTS) == (HOSTS[place],)


def test_what_is_missing_comes_in_the_order_of_stages_with_its_symptom() -> None:
    lost = missing([], HOSTS)
    assert [one.stage.order for one in lost] == sorted(one.stage.order for one in lost)
    assert {one.stage for one in lost} == {Stage.CLUSTER, Stage.ROUTER_DEPLOYED, Stage.MODEL_DEPLOYED}
    [registry] = [line(one) for one in lost if one.host == "acme.azurecr.io"]
    assert registry.startswith("router deployed: acme.azurecr.io (HTTPS 443) is not allowed, so pods of")
    assert "ImagePullBackOff" in registry


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        (
            Rule("*.microsoft.com"),
            ["*.data.mcr.microsoft.com:443", "mcr.microsoft.com:443", "packages.microsoft.com:443"],
        ),
        (Rule("packages.microsoft.com", "443", Protocol.TCP), ["packages.microsoft.com:443"]),
        (Rule("packages.microsoft.com", "400-500", None), ["packages.microsoft.com:443"]),
        (Rule("packages.microsoft.com", "444-500", None), []),
        (Rule("packages.microsoft.com", "1-442", None), []),
        (Rule("packages.microsoft.com", "443", Protocol.UDP), []),
        (Rule("packages.microsoft.com", "443", Protocol.HTTP), []),
        (Rule("AzureCloud", "*", Protocol.TCP), ["AzureCloud.westeurope:9000"]),
        (Rule("AzureCloud.northeurope", "*", None), []),
        (Rule("203.0.113.0/24", "5432", Protocol.TCP), ["203.0.113.0/28:5432"]),
        (Rule("203.0.113.0/29", "5432", Protocol.TCP), []),
        (Rule("203.0.113.0/24", "5432", Protocol.HTTPS), []),
    ],
)
def test_a_rule_lets_pass_what_it_says_and_no_more(rule: Rule, passes: list[str]) -> None:
    stopped = missing([rule], HOSTS)
    assert [f"{one.host}:{one.port}" for one in HOSTS if one not in stopped] == passes


def test_the_fqdn_tag_lets_akss_core_pass_and_leaves_the_rest() -> None:
    left = missing([Rule(FQDN_TAG)], HOSTS)
    assert {one.host for one in left} == {
        *("mcrprod.azurecr.io", "AzureCloud.westeurope", "ntp.ubuntu.com"),
        *("acme.azurecr.io", "*.blob.core.windows.net", "203.0.113.0/28"),
    }


def test_a_private_endpoint_is_never_missing_from_a_firewall() -> None:
    private = replace(NEEDS, features=frozenset({Feature.REGISTRY_PRIVATE}), models=())
    assert missing([], required(private)) == ()


@pytest.mark.parametrize("fqdn_tag", [False, True])
def test_every_required_host_is_catalogued(fqdn_tag: bool) -> None:
    hosts: tuple[Required, ...] = required(NEEDS, fqdn_tag=fqdn_tag)
    assert all(catalogued(Rule(one.host, str(one.port), one.protocol), hosts) for one in hosts)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("acme-1a2b.hcp.westeurope.azmk8s.io"), True),
        (Rule("acme.azurecr.io", "443", Protocol.TCP), True),
        (Rule("203.0.113.3", "5432", Protocol.TCP), True),
        (Rule(FQDN_TAG), True),
        (Rule("acme-1a2b.hcp.northeurope.azmk8s.io"), False),
        (Rule("*.azmk8s.io"), False),
        (Rule("*"), False),
        (Rule("acme.azurecr.io", "80"), False),
        (Rule("acme.azurecr.io", "443-444"), False),
        (Rule("acme.azurecr.io", "443", Protocol.UDP), False),
        (Rule("acme.azurecr.io", "443", None), False),
        (Rule("203.0.113.16", "5432", Protocol.TCP), False),
        (Rule("AzureCloud", "9000", Protocol.TCP), False),
        (Rule("pastebin.com"), False),
    ],
)
def test_a_rule_is_catalogued_just_when_it_lets_only_required_traffic_pass(
    rule: Rule, expected: bool
) -> None:
    assert catalogued(rule, HOSTS) is expected


def test_what_comes_in_to_the_router_is_no_reason_to_let_anything_out() -> None:
    hosts = required(replace(NEEDS, router_ip="10.224.4.10"))
    assert not catalogued(Rule("10.224.4.10", "443", Protocol.TCP), hosts)


@pytest.mark.parametrize(
    ("host", "port", "protocol", "reason"),
    [
        ("api.example.com", 443, "HTTPS", "x"),
        ("api.example.com", 1, "TCP", "x"),
        ("api.example.com", 65535, "UDP", "x"),
        ("*.example.com", 443, "HTTPS", "x"),
        ("*.example.com", 80, "HTTP", "x"),
        ("203.0.113.7", 443, "HTTPS", "x"),
        ("203.0.113.0/24", 5432, "TCP", "x"),
        ("xn--bcher-kva.example", 443, "HTTPS", "looks up books"),
        (f"{'a' * 63}.example.com", 443, "HTTPS", "x"),
    ],
)
def test_a_host_that_a_rule_can_express_has_no_mistakes(
    host: str, port: int, protocol: str, reason: str
) -> None:
    assert mistakes(host, port, protocol, reason) == []


@pytest.mark.parametrize(
    ("host", "port", "protocol", "reason", "start"),
    [
        ("api.example.com", 0, "HTTPS", "x", "port = 0"),
        ("api.example.com", 65536, "HTTPS", "x", "port = 65536"),
        ("api.example.com", 443, "SCTP", "x", 'protocol = "SCTP"'),
        ("api.example.com", 443, "HTTPS", " ", 'reason = " "'),
        ("api.example.com", 443, "HTTPS", "x\nhttp_access allow all", "reason = "),
        ("*", 443, "HTTPS", "x", 'host = "*": is every host'),
        ("0.0.0.0/0", 443, "TCP", "x", 'host = "0.0.0.0/0": is every host'),
        ("*.com", 443, "HTTPS", "x", 'host = "*.com"'),
        ("*.example.com", 5432, "TCP", "x", 'host = "*.example.com": is a wildcard'),
        ("*.example.com", 443, "TCP", "x", 'host = "*.example.com": is a wildcard'),
        ("api.*.com", 443, "HTTPS", "x", 'host = "api.*.com"'),
        ("https://api.example.com/v1", 443, "HTTPS", "x", 'host = "https://api.example.com/v1": is a URL'),
        ("api.example.com:443", 443, "HTTPS", "x", 'host = "api.example.com:443"'),
        ("localhost", 443, "HTTPS", "x", 'host = "localhost"'),
        ("203.0.113.300", 443, "HTTPS", "x", 'host = "203.0.113.300"'),
        ("203.0.113.7/24", 443, "TCP", "x", 'host = "203.0.113.7/24": has host bits; give 203.0.113.0/24'),
        ("-a.example.com", 443, "HTTPS", "x", 'host = "-a.example.com"'),
        (f"{'a' * 64}.example.com", 443, "HTTPS", "x", "host = "),
        ("a." * 126 + "example", 443, "HTTPS", "x", "host = "),
        ("", 443, "HTTPS", "x", 'host = ""'),
    ],
)
def test_a_host_that_no_rule_can_express_is_one_line(
    host: str, port: int, protocol: str, reason: str, start: str
) -> None:
    [found] = mistakes(host, port, protocol, reason)
    assert found.startswith(start)


def test_all_mistakes_of_a_host_come_at_once() -> None:
    assert len(mistakes("*", 0, "SCTP", "")) == 4
