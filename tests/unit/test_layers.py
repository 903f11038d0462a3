"""What a stack of layer services asks of its platform, and what is said where that does not give it."""

from typing import Any

import pytest

from slipway.settings import Settings
from slipway.settings.layers import asked, not_given
from tests.unit.azure_stacks import ROUTED, SERVICE, read

PLATFORM = "organization/slipway/base"
VAULT = {"tls": {"domains": ["a.example.com"], "key_vault_certificate": "a"}}


def services(azure: dict[str, Any], service: dict[str, Any], router: dict[str, Any]) -> Settings:
    specs = [SERVICE | service]
    return read(azure, layer="services", platform_stack=PLATFORM, router=router, webservices=specs)


@pytest.mark.parametrize(
    ("azure", "service", "router", "lacking"),
    [
        ({}, {"models": ["azureml:a:1"]}, {}, "storage for namespace slipway-services"),
        (
            {},
            {"collect_model_data": True, "namespace": "team-a"},
            {},
            "storage for namespace team-a, uploads to the storage",
        ),
        ({}, {}, VAULT, "port 443 of the router, router.tls.key_vault_certificate"),
        (ROUTED, {"enable_app_insights": True}, {}, "hosts of enable_app_insights"),
        (
            ROUTED,
            {"egress": [{"host": "b.example.org", "port": 22, "protocol": "TCP", "reason": "asks it"}]},
            {},
            "host TCP b.example.org:22",
        ),
    ],
)
def test_what_a_platform_was_not_made_for_is_said_with_the_remedy(
    azure: dict[str, Any], service: dict[str, Any], router: dict[str, Any], lacking: str
) -> None:
    settings = services(azure, service, router)
    said = not_given(settings, asked(services(azure, {}, {})))
    assert said == (
        f'slipway:platform_stack = "{PLATFORM}": was not made for {lacking}; '
        "give its stack file the same router and webservices, and run `pulumi up` on it first"
    )
    assert not_given(settings, asked(settings)) is None


def test_a_platform_has_records_of_the_domains_that_its_own_file_names() -> None:
    in_zone = ROUTED | {"dns": {"zone": "example.com"}}
    other = {"tls": VAULT["tls"] | {"domains": ["b.example.com"]}}
    said = not_given(services(in_zone, {}, VAULT), asked(services(in_zone, {}, other)))
    assert said is not None
    assert "was not made for router.tls.domains a.example.com;" in said


def test_a_platform_may_give_more_than_one_of_its_stacks_asks() -> None:
    more = services({}, {"models": ["azureml:a:1"], "enable_app_insights": True}, VAULT)
    assert not_given(services({}, {}, {}), asked(more)) is None


def test_hosts_are_asked_of_a_firewall_alone() -> None:
    calling = {"egress": [{"host": "b.example.org", "reason": "asks it"}], "enable_app_insights": True}
    assert not_given(services({}, calling, {}), asked(services({}, {}, {}))) is None
