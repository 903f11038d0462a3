"""What regions, the router, layers and web services ask of each other; each mistake is one line."""

import datetime
from typing import Any

import pytest

from slipway.settings.checks import warnings
from tests.certificates import certificate
from tests.unit.azure_stacks import (
    CLUSTER,
    ROUTED,
    SERVICE,
    lines,
    merged,
    pool,
    pools,
    read,
    system,
)

TODAY = datetime.date(2026, 11, 24)
Change = dict[str, Any]


@pytest.mark.parametrize(
    ("change", "start", "remedy"),
    [
        ({"location": "westeuropa"}, "azure.location = westeuropa: no region", "did you mean `westeurope`?"),
        (
            {"location": "usgovvirginia"},
            "azure.location = usgovvirginia is a region of cloud USGovernment, and cloud = Public",
            "change one of the two",
        ),
        (
            {"cloud": "China"},
            "azure.location = westeurope is a region of cloud Public, and cloud = China",
            "change one of the two",
        ),
        (
            {"workspace": {"location": "chinaeast2"}},
            "azure.workspace.location = chinaeast2 is a region of cloud China",
            "change one of the two",
        ),
        (
            {"location": "westus"} | system(zones=["1", "2"]),
            "azure.cluster.system_pool.zones = 1, 2: westus has no availability zones",
            "remove zones",
        ),
        (
            {"location": "westus"} | pools(pool(zones=["3"])),
            "azure.cluster.pools[extra].zones = 3: westus has no availability zones",
            "remove zones",
        ),
        (
            {"location": "westus", "egress": ROUTED["egress"] | {"firewall": {"zones": ["1"]}}},
            "azure.egress.firewall.zones = 1: westus has no availability zones",
            "remove zones",
        ),
        (
            {"workspace": {"location": "westus", "storage": {"redundancy": "GZRS"}}},
            "azure.workspace.storage.redundancy = GZRS: westus has no availability zones",
            "set GRS",
        ),
        (
            {"cloud": "China", "location": "chinanorth3", "cluster": {"defender": {"sensor": True}}},
            "azure.cluster.defender.sensor = true with azure.cloud = China",
            "remove it",
        ),
        (
            {"workspace": {"registry": {"attached": True}}},
            "azure.workspace.registry.attached = true without azure.cluster.id",
            "remove it",
        ),
        (
            {"cluster": {"id": CLUSTER}, "workspace": {"registry": {"attached": True}}},
            "azure.workspace.registry.attached = true without azure.workspace.registry.id",
            "remove it",
        ),
    ],
)
def test_things_stand_where_they_can(change: Change, start: str, remedy: str) -> None:
    (line,) = lines(change)
    assert line.startswith(f"slipway:{start}")
    assert line.endswith(remedy)


def test_a_region_that_is_newer_than_the_table_is_taken_with_a_warning() -> None:
    change = {"location": "westeurope2"} | system(zones=["1", "2", "3"])
    assert lines(change) == []
    assert warnings(read(change), TODAY) == [
        "azure.location = westeurope2: is not in Slipway's table, so neither spelling nor zones are checked"
    ]


TLS_KEY = "slipway:router.tls_key"
LABEL = {"tls": {"leaf_domain_label": "models", "http": "serve"}}
CERTIFICATE = {
    "tls": {"domains": ["models.example.com"], "certificate": certificate("*.example.com")[0].decode()}
}
DOMAINS = {"tls": {"domains": ["models.example.com"], "key_vault_certificate": "models"}}


@pytest.mark.parametrize(
    ("change", "router", "start", "remedy"),
    [
        (
            ROUTED,
            LABEL,
            "router.tls.leaf_domain_label = models with an internal load balancer: Azure's names are public",
            "give domains and a certificate instead",
        ),
        (
            {},
            LABEL | {"internal": True},
            "router.tls.leaf_domain_label = models with an internal load balancer",
            "give domains and a certificate instead",
        ),
        (
            ROUTED,
            {"internal": False},
            "router.internal = false with azure.egress.outbound_type = userDefinedRouting",
            "remove router.internal",
        ),
        (
            {},
            {"internal": True, "service_type": "ClusterIP"},
            "router.service_type = ClusterIP with an internal load balancer",
            "set service_type: LoadBalancer",
        ),
        (
            {},
            LABEL | {"service_type": "NodePort"},
            "router.service_type = NodePort with router.tls.leaf_domain_label = models",
            "set service_type: LoadBalancer",
        ),
        (
            {},
            {"tls": {"leaf_domain_label": "models", "key_vault_certificate": "models"}},
            "router.tls: leaf_domain_label = models with key_vault_certificate",
            "remove one of the two",
        ),
        (
            {},
            {"tls": {"leaf_domain_label": "models", "domains": ["models.example.com"]}},
            "router.tls: leaf_domain_label = models with domains",
            "remove one of the two",
        ),
        ({}, {"tls": {}}, "router.tls: domains or leaf_domain_label: TLS needs a name", "give one of them"),
        (
            {},
            {"tls": {"domains": ["a.example.com", "b.example.com"]}},
            "router.tls.domains = a.example.com, b.example.com without a certificate",
            "give certificate and its key, secrets, or key_vault_certificate",
        ),
        (
            {},
            {"tls": {"leaf_domain_label": "models"}},
            "router.tls: leaf_domain_label = models without secrets: Azure's name brings no certificate",
            "or set http: serve to have the name without TLS",
        ),
        (
            {},
            {"tls": {"leaf_domain_label": "models", "http": "serve", "acme_account": "acme"}},
            "router.tls: acme_account = acme without secrets",
            "name those that its certificates go to",
        ),
        (
            {},
            {"tls": DOMAINS["tls"] | {"secrets": ["models"]}},
            "router.tls: key_vault_certificate = models with secrets",
            "remove one of the two",
        ),
        (
            merged(ROUTED, {"dns": {"zone": "example.org"}}),
            DOMAINS,
            "router.tls.domains = models.example.com is not in azure.dns.zone = example.org",
            "change one of the two",
        ),
        (
            merged(ROUTED, {"dns": {"zone": "s.example.com"}}),
            DOMAINS,
            "router.tls.domains = models.example.com is not in azure.dns.zone = s.example.com",
            "change one of the two",
        ),
        (
            merged(ROUTED, {"dns": {"zone": "example.com"}}),
            {},
            "azure.dns.zone = example.com without router.tls.domains",
            "name the router in it, or remove zone",
        ),
        (
            {"dns": {"zone": "example.com"}},
            DOMAINS,
            "azure.dns.zone = example.com with a public router",
            "set router.internal: true, or remove zone",
        ),
    ],
)
def test_the_router_is_reached_the_way_its_name_says(
    change: Change, router: dict[str, Any], start: str, remedy: str
) -> None:
    (line,) = lines(change, router=router)
    assert line.startswith(f"slipway:{start}")
    assert line.endswith(remedy)


@pytest.mark.parametrize(
    ("change", "router"),
    [
        ({}, LABEL),
        (ROUTED, DOMAINS),
        (ROUTED, {"internal": True}),
        (merged(ROUTED, {"dns": {"zone": "example.com"}}), DOMAINS),
        (merged(ROUTED, {"dns": {"zone": "models.example.com"}}), DOMAINS),
        ({"dns": {"zone": "example.com"}}, DOMAINS | {"internal": True}),
    ],
)
def test_names_and_ways_that_go_together_are_accepted(change: Change, router: dict[str, Any]) -> None:
    assert lines(change, router=router) == []


def test_a_certificate_has_its_key_and_is_for_the_domains() -> None:
    assert lines({}, (TLS_KEY,), router=CERTIFICATE) == []
    (line,) = lines({}, router=CERTIFICATE)
    assert line.startswith(f"{TLS_KEY}: is required for `slipway:router.tls.certificate`")
    assert line.endswith(f"run `pulumi config set --secret '{TLS_KEY}' < FILE`")
    (line,) = lines({}, (TLS_KEY,), router=DOMAINS)
    assert line.startswith(f"{TLS_KEY} = [secret] without `slipway:router.tls.certificate`")
    other = {"tls": CERTIFICATE["tls"] | {"domains": ["models.example.com", "models.example.org"]}}
    (line,) = lines({}, (TLS_KEY,), router=other)
    assert "domains = models.example.org is not among certificate's names, *.example.com" in line
    assert lines({}, (TLS_KEY,), router={"tls": other["tls"] | {"secrets": ["models"]}}) == []
    (line,) = lines({}, (TLS_KEY,), router={"tls": CERTIFICATE["tls"] | {"certificate": "models.pem"}})
    assert "must be a certificate in PEM" in line


def test_a_platform_needs_no_certificate_of_a_router_that_is_another_stacks() -> None:
    own = {"tls": {"domains": ["models.example.com"]}}
    assert lines({}, router=own, layer="platform") == []
    assert len(lines({}, router=own, layer="services", platform_stack="a/b/c")) == 1


def test_two_layers_are_two_stacks() -> None:
    assert lines({}, layer="services", platform_stack="org/project/prod") == []
    (line,) = lines({}, layer="services")
    assert line.startswith("slipway:layer = services without platform_stack")
    (line,) = lines({}, layer="platform", platform_stack="org/project/prod")
    assert line.startswith("slipway:platform_stack = org/project/prod with layer = platform")
    (line,) = lines({}, layer="services", platform_stack="prod")
    assert line.startswith('slipway:platform_stack = "prod": must match')


def test_who_may_be_called_without_a_key_is_said_aloud() -> None:
    open_ = SERVICE | {"auth_enabled": False}
    assert lines({}, webservices=[open_], unauthenticated={"abc": "a public demonstration"}) == []
    (line,) = lines({}, webservices=[open_])
    assert line.startswith("slipway:webservices[abc].auth_enabled = false: anyone may call it")
    for name, services in (("abc", [SERVICE]), ("abd", [open_])):
        found = lines({}, webservices=services, unauthenticated={name: "why not", "abc": "a demonstration"})
        assert f"slipway:unauthenticated.{name}: no web service of this name" in "\n".join(found)


def test_the_hosts_of_models_are_checked() -> None:
    def calls(host: str) -> list[dict[str, Any]]:
        return [SERVICE | {"egress": [{"host": host, "reason": "looks up prices"}]}]

    assert lines({}, webservices=calls("api.example.com")) == []
    (line,) = lines({}, webservices=calls("https://api.example.com/"))
    assert line.startswith('slipway:webservices[abc].egress.host = "https://api.example.com/"')


def test_an_identity_is_trusted_in_twenty_namespaces_and_not_in_more() -> None:
    def services(count: int) -> list[dict[str, Any]]:
        names = [f"service-{number}" for number in range(count)]
        return [SERVICE | {"name": name, "namespace": name, "models": ["azureml:m:1"]} for name in names]

    assert lines({}, webservices=services(20)) == []
    (line,) = lines({}, webservices=services(21))
    assert line.startswith("slipway:webservices: 21 namespaces use the storage")
    assert line.endswith("put the web services into fewer namespaces")
