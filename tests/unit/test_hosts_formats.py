"""The required hosts as others take them: each form holds every host and can be read back."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pulumi_azure_native as az
import pytest

from slipway.hosts import (
    FORMATS,
    Cloud,
    Destination,
    Feature,
    Format,
    ModelHost,
    Needs,
    Protocol,
    RuleKind,
    required,
    written,
)

NEEDS = Needs(
    Cloud.PUBLIC,
    "westeurope",
    frozenset(Feature) - {Feature.REGISTRY, Feature.STORAGE, Feature.KEY_VAULT},
    registry="acme",
    storage="acme",
    vault="acme-vault",
    api_server_ip="198.51.100.7",
    router_name="acme",
    router_ip="10.224.4.10",
    dns_servers=("10.0.0.4",),
    models=(
        ModelHost("fraud", "db.example.com", "reads limits", 5432, Protocol.TCP),
        ModelHost("fraud", "features.example.com", "looks up features", 8443),
        ModelHost("fraud", "*.ubuntu.com", "asks for packages"),
    ),
)
HOSTS = required(NEEDS)


def rules(needs: Needs = NEEDS) -> list[tuple[str, Any]]:
    [group] = json.loads(written(needs, "azurefirewall"))["resources"]
    collections = group["properties"]["ruleCollections"]
    return [(collection["name"], rule) for collection in collections for rule in collection["rules"]]


@pytest.mark.parametrize("form", ["azurefirewall", "proxy", "dns"])
def test_what_is_handed_over_is_spelled_out(form: Format, golden: Callable[[str, str], None]) -> None:
    few = {Feature.AKS, Feature.PUBLIC_API_SERVER, Feature.REGISTRY_PRIVATE, Feature.OS_UPDATES, Feature.NTP}
    golden(f"hosts-{form}.txt", written(replace(NEEDS, features=frozenset(few)), form, fqdn_tag=True))


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_ends_with_a_newline_and_holds_every_model_host(form: Format) -> None:
    text = written(NEEDS, form)
    assert text.endswith("\n")
    assert all(model.host.removeprefix("*") in text for model in NEEDS.models)


def test_json_holds_every_rule_with_its_reasons_apart() -> None:
    records = json.loads(written(NEEDS, "json"))
    assert [(one["host"], one["protocol"], one["port"], one["rule"]) for one in records] == [
        (one.host, one.protocol, one.port, one.kind) for one in HOSTS
    ]
    [vault] = [one for one in records if one["host"] == "acme-vault.vault.azure.net"]
    assert {reason["feature"] for reason in vault["reasons"]} == {"private key vault"}
    assert vault["zone"] == "privatelink.vaultcore.azure.net"


def test_csv_reads_back_as_the_same_rows() -> None:
    rows = list(csv.DictReader(written(NEEDS, "csv").splitlines()))
    assert [(row["host"], row["port"], row["why"]) for row in rows] == [
        (one.host, str(one.port), one.why) for one in HOSTS
    ]


def test_where_documents_disagree_the_entry_says_so() -> None:
    needs = replace(NEEDS, features=frozenset({Feature.KEY_VAULT}))
    rows = list(csv.DictReader(written(needs, "csv").splitlines()))
    [note] = [row["note"] for row in rows if row["host"] == "acme-vault.vault.azure.net"]
    assert "vault.azure.net" in note
    assert "*.vault.azure.net" in note


def test_the_template_has_a_rule_for_each_host_that_passes_the_firewall_in_its_own_collection() -> None:
    wanted = {(f"slipway-{one.kind}", one.name) for one in HOSTS if one.kind is not RuleKind.NONE}
    assert {(collection, rule["name"]) for collection, rule in rules()} == wanted
    assert len(rules()) == len(wanted)


@pytest.mark.parametrize("fqdn_tag", [False, True])
def test_the_templates_rules_are_of_the_shape_that_azure_takes(fqdn_tag: bool) -> None:
    shapes = {
        "ApplicationRule": az.network.ApplicationRuleArgs,
        "NetworkRule": az.network.NetworkRuleArgs,
        "NatRule": az.network.NatRuleArgs,
    }
    [group] = json.loads(written(NEEDS, "azurefirewall", fqdn_tag=fqdn_tag))["resources"]
    for rule in (rule for each in group["properties"]["ruleCollections"] for rule in each["rules"]):
        snake = {re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in rule.items()}
        shapes[rule["ruleType"]](**snake)  # refuses a key that it does not know
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", rule["name"])
        targets = ("targetFqdns", "fqdnTags", "destinationFqdns", "destinationAddresses")
        assert sum(bool(rule.get(target)) for target in targets) == 1
        assert not any("*" in name for name in rule.get("destinationFqdns", []))


def test_when_nothing_passes_the_firewall_then_no_group_is_made() -> None:
    private = Needs(Cloud.PUBLIC, "westeurope", frozenset({Feature.STORAGE_PRIVATE}), storage="acme")
    template = json.loads(written(private, "azurefirewall"))
    assert template["resources"] == []
    assert "publicAddress" not in template["parameters"]


def test_a_proxy_carries_every_web_name_and_names_what_it_cannot() -> None:
    text = written(NEEDS, "proxy", fqdn_tag=True)
    acls = set(re.findall(r"^acl slipway_(\w+)_(\d+) dstdomain (\S+)$", text, re.MULTILINE))
    comments = [line for line in text.splitlines() if line.startswith("# ")]
    for one in HOSTS:
        if one.kind in {RuleKind.NONE, RuleKind.DNAT}:
            continue
        web = one.protocol in {Protocol.HTTP, Protocol.HTTPS} and one.destination is Destination.FQDN
        name = "." + one.host.removeprefix("*.")
        carried = any(
            (protocol.upper(), port) == (one.protocol, str(one.port))
            and (name.endswith(acl) if acl.startswith(".") else one.host == acl)
            for protocol, port, acl in acls
        )
        assert carried == web
        assert web != any(f"{one.protocol} {one.port} {one.host}:" in line for line in comments)


def test_a_proxys_list_holds_no_name_twice() -> None:
    text = written(NEEDS, "proxy")
    acls = re.findall(r"^acl slipway_(\w+_\d+) dstdomain (\S+)$", text, re.MULTILINE)
    assert ("https_443", ".ubuntu.com") in acls
    assert ("https_443", "snapshot.ubuntu.com") not in acls
    for group, name in acls:
        wider = [other for each, other in acls if each == group and other.startswith(".") and other != name]
        assert not any(f".{name.removeprefix('.')}".endswith(other) for other in wider)


def test_dns_names_every_name_once_under_its_first_stage_even_with_the_fqdn_tag() -> None:
    text = written(NEEDS, "dns", fqdn_tag=True)
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert [line[0] for line in lines] == [one.host for one in HOSTS if one.destination is Destination.FQDN]
    zones = {line[0]: line[1] for line in lines if line[1].startswith("[")}
    assert zones["acme.azurecr.io"] == "[privatelink.azurecr.io]"
    assert zones["acme.blob.core.windows.net"] == "[privatelink.blob.core.windows.net]"
    assert text.index("# cluster created") < text.index("# model deployed")
