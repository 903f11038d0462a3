"""What two stacks of one platform owe each other: layer services asks, layer platform gives.

Both follow from the stack files alone, and are compared once the platform has told its part as an output.
"""

from __future__ import annotations

from collections.abc import Sequence

from slipway.problems import problem
from slipway.settings.derived import public_ports, storage_namespaces
from slipway.settings.stack import Settings

PLATFORM_GIVES = "platform_gives"
"""The output of a stack of layer platform that says what it was made for."""


def asked(settings: Settings) -> list[str]:
    """Say what the router and the web services of a stack ask of the platform beneath them.

    It is what a stack of layer platform makes for those in its own file, and names them as files do.
    """
    tls, azure, specs = settings.router.tls, settings.azure, settings.services
    found = [f"port {port} of the router" for port in public_ports(settings)]
    if tls is not None and tls.key_vault_certificate is not None:
        found.append("router.tls.key_vault_certificate")
    if tls is not None and settings.internal:
        found += [f"router.tls.domains {domain}" for domain in tls.domains]
    found += [f"storage for namespace {namespace}" for namespace in storage_namespaces(settings)]
    if any(spec.uploads for spec in specs):
        found.append("uploads to the storage")
    if azure is not None and azure.egress.firewall is not None:
        if tls is not None and tls.leaf_domain_label is not None:
            found.append(f"host router.tls.leaf_domain_label {tls.leaf_domain_label}")
        if any(spec.exports_to_workspace() for spec in specs):
            found.append("hosts of enable_app_insights")
        hosts = {(host.protocol, host.host, host.port) for spec in specs for host in spec.egress}
        found += [f"host {protocol} {host}:{port}" for protocol, host, port in sorted(hosts)]
    return found


def not_given(settings: Settings, given: Sequence[str] | None) -> str | None:
    """Say what the platform of a stack does not give of what the stack asks; None if it gives everything.

    `given` is its output `PLATFORM_GIVES`, None where it has none.
    """
    field = "slipway:platform_stack"
    if given is None:
        rule = f"has no output {PLATFORM_GIVES}, so no layer platform is there (or one of an older version)"
        return problem(field, settings.platform_stack, rule, "run `pulumi up` on it first")
    if missing := [one for one in asked(settings) if one not in given]:
        rule = f"was not made for {', '.join(missing)}"
        remedy = "give its stack file the same router and webservices, and run `pulumi up` on it first"
        return problem(field, settings.platform_stack, rule, remedy)
    return None
