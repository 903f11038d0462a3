"""Who may call a web service, as HAProxy's rules in its backend. Pure.

A key is looked up by its SHA-256. A token is a JWT that this cluster's routers signed: the algorithm is
fixed here, whatever the token says, and its key is found by `kid` among those that HAProxy has read.

What is refused counts against the client's address; many refusals later it is 429 in place of 401, which
costs less. A right key or token is never refused: others behind the same address may be at fault.
"""

from collections.abc import Iterable

from slipway.router.state import Service

KEYS = "keys.map"
ALGORITHM = "RS256"
"""Of the signatures that are quick to make or to verify, the one that is quick to verify."""
TOO_MANY = "too_many_failures"
FAILURES, FAILURE_SECONDS = 20, 10
"""So many refusals of an address in so many seconds before they are 429."""
TRACK = "http-request track-sc0 var(txn.client),ipmask(32,64) table _failures"
"""Counts by a client's address."""


def rules(service: Service, kids: Iterable[str]) -> list[str]:
    """Give the lines that let a request in, or answer it; `kids` name the keys that verify tokens."""
    match service.limits.auth:
        case "none":
            return []
        case "key":
            checks = _key(service.endpoint)
        case "token":
            checks = _token(service.endpoint, sorted(kids))
    refused = "{ var(txn.refused) -m found }"
    return [
        "acl own fe_id 2",
        *checks,
        f"{TRACK} if {refused}",
        f"http-request sc-inc-gpc0(0) if {refused}",
        f"http-request set-var(txn.refused) str({TOO_MANY}) if {refused} {{ sc0_gpc0_rate gt {FAILURES} }}",
        f"http-request use-service lua.refuse_too_many if {{ var(txn.refused) -m str {TOO_MANY} }}",
        f"http-request use-service lua.refuse_unauthorized if {refused}",
        "http-request del-header authorization",
    ]


def public_file(kid: str) -> str:
    """Name the file of a key that verifies tokens."""
    return f"token-{kid}.pem"


def _key(service: str) -> list[str]:
    known = f"http_auth_bearer,sha2(256),hex,concat(:{service}),map({KEYS}) -m found"
    return [
        f"http-request set-var(txn.refused) str(key_wrong) unless {{ {known} }} || own",
        "http-request set-var(txn.refused) str(key_missing) "
        "if { var(txn.refused) -m found } !{ req.hdr(authorization) -m found }",
    ]


def _token(service: str, kids: Iterable[str]) -> list[str]:
    """Check from the last reason to the first: a token tells nothing unless its signature is right."""

    def query(part: str, field: str) -> str:
        return f"var(txn.token),jwt_{part}_query({field})"

    verified = [
        f"http-request set-var(txn.verified) bool(true) if {{ var(txn.kid) -m str {kid} }} "
        f"{{ {query('header', '$.alg')} -m str {ALGORITHM} }} "
        f"{{ var(txn.token),jwt_verify({ALGORITHM},{public_file(kid)}) -m int 1 }}"
        for kid in kids
    ]
    conditions = {
        "token_not_yet_valid": f"{query('payload', '$.nbf,int')},sub(txn.now) le 0",
        "token_expired": f"{query('payload', '$.exp,int')},sub(txn.now) gt 0",
        "token_of_another_service": f"{query('payload', '$.aud')} -m str {service}",
        "token_wrong": "var(txn.verified) -m bool",
        "token_missing": "req.hdr(authorization) -m found",
    }
    return [
        "http-request set-var(txn.token) http_auth_bearer",
        f"http-request set-var(txn.kid) {query('header', '$.kid')}",
        "http-request set-var(txn.now) date",
        *verified,
        *(
            f"http-request set-var(txn.refused) str({reason}) unless {{ {right} }} || own"
            for reason, right in conditions.items()
        ),
    ]
