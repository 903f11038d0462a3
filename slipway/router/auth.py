"""Who may call a web service, as HAProxy's rules that all backends of a kind share. Pure.

A key is looked up by its SHA-256. A token is a JWT that this cluster's routers signed: the algorithm is
fixed here, whatever the token says, and its key is found by `kid` among those that HAProxy has read.

What is refused counts against the client's address; many refusals later it is 429 in place of 401, which
costs less. A right key or token is never refused: others behind the same address may be at fault.
"""

from collections.abc import Iterable, Sequence

from slipway.router.state import Auth

KEYS = "keys.map"
ALGORITHM = "RS256"
"""Of the signatures that are quick to make or to verify, the one that is quick to verify."""
TOO_MANY = "too_many_failures"
FAILURES, FAILURE_SECONDS = 20, 10
"""So many refusals of an address in so many seconds before they are 429."""
BROUGHT = "req.fhdr(authorization,1)"
"""What `http_auth_bearer` reads, as it is: to compare it takes less than to read it."""
SHORT = f"{{ {BROUGHT},length le 8192 }}"
"""A connection remembers no more: `http_auth_bearer` reads up to a comma, after which anything may follow."""
TRACK = (
    "http-request set-var(txn.client) src",
    "http-request set-var(txn.client) var(txn.handed),field(2,/) if { var(txn.handed) -m found }",
    "http-request track-sc0 var(txn.client),ipmask(32,64) table _failures",
)
"""Counts by a client's address, which a header says where another part of the router passes a request on."""


def rules(auth: Auth, kids: Iterable[str], then: Sequence[str]) -> tuple[list[str], list[str]]:
    """Give the lines that let a request in, and those that refuse the rest; `kids` name the keys of tokens.

    What costs most, a hash or a signature, is done once for all requests of a connection that bring the same.
    `then` is done with a request that is let in, and never with one that is not.
    """
    match auth:
        case "none":
            return [*then], []
        case "key":
            right, learn, reasons = _key()
        case "token":
            right, learn, reasons = _token(sorted(kids))
    let_in = [
        f"http-request set-var(txn.right) bool(true) if {right}",
        # Before a header goes: what comes to a buffer with a gap, HAProxy puts in order by copying all of it.
        *(f"{line} if {{ var(txn.right) -m found }}" for line in then),
        "http-request del-header authorization if { var(txn.right) -m found }",
        "http-request allow if { var(txn.right) -m found }",
    ]
    return [*let_in, *learn, *let_in], [
        *(
            f"http-request set-var(txn.refused) str({reason}) unless {{ {fine} }}"
            for reason, fine in reasons.items()
        ),
        *TRACK,
        "http-request sc-inc-gpc0(0)",
        f"http-request set-var(txn.refused) str({TOO_MANY}) if {{ sc0_gpc0_rate gt {FAILURES} }}",
        f"http-request use-service lua.refuse_too_many if {{ var(txn.refused) -m str {TOO_MANY} }}",
        "http-request use-service lua.refuse_unauthorized",
    ]


def public_file(kid: str) -> str:
    """Name the file of a key that verifies tokens."""
    return f"token-{kid}.pem"


Checks = tuple[str, list[str], dict[str, str]]
"""The condition that a request is right because it brings what its connection is known for; the lines that
make it known; and each reason for which a request is wrong, with the condition that it is not."""


def _opens(name: str) -> str:
    """Tell whether what a variable holds, a key's hash or a token's audience, is for the service."""
    return f"var({name}),concat(:,txn.service),map({KEYS}) -m found"


def _key() -> Checks:
    right = f"{{ {BROUGHT},secure_memcmp(sess.key) }} {{ {_opens('sess.hash')} }}"
    learn = [  # a right key only: anybody may send a wrong one
        "http-request set-var(txn.hash) http_auth_bearer,sha2(256),hex",
        f"http-request set-var(sess.hash) var(txn.hash) if {{ {_opens('txn.hash')} }} {SHORT}",
        f"http-request set-var(sess.key) {BROUGHT} if {{ {_opens('txn.hash')} }} {SHORT}",
    ]
    return right, learn, {"key_wrong": "always_false", "key_missing": "req.hdr(authorization) -m found"}


def _token(kids: Iterable[str]) -> Checks:
    """Order the reasons from the last to the first: a token tells nothing unless its signature is right."""

    def query(part: str, field: str) -> str:
        return f"http_auth_bearer,jwt_{part}_query({field})"

    begun, lasts, here = "date,sub(sess.nbf) ge 0", "date,sub(sess.exp) lt 0", _opens("sess.aud")
    verified = "{ var(txn.verified) -m bool }"
    known = {  # the token itself only once it is valid, which then needs no look any more
        "nbf": (query("payload", "$.nbf,int"), verified),
        "exp": (query("payload", "$.exp,int"), verified),
        "aud": (query("payload", "$.aud"), verified),
        "token": (BROUGHT, f"{verified} {{ {begun} }} {SHORT}"),
    }
    learn = [
        f"http-request set-var(txn.kid) {query('header', '$.kid')}",
        *(
            f"http-request set-var(txn.verified) bool(true) if {{ var(txn.kid) -m str {kid} }} "
            f"{{ {query('header', '$.alg')} -m str {ALGORITHM} }} "
            f"{{ http_auth_bearer,jwt_verify({ALGORITHM},{public_file(kid)}) -m int 1 }}"
            for kid in kids
        ),
        *(
            f"http-request {change}"
            for name, (value, when) in known.items()  # what it does not say is not the one's before
            for change in (f"unset-var(sess.{name}) if {verified}", f"set-var(sess.{name}) {value} if {when}")
        ),
    ]
    reasons = {
        "token_not_yet_valid": begun,
        "token_expired": lasts,
        "token_of_another_service": here,
        "token_wrong": "var(txn.verified) -m bool",
        "token_missing": "req.hdr(authorization) -m found",
    }
    right = f"{{ {BROUGHT},secure_memcmp(sess.token) }} {{ {here} }} {{ {lasts} }}"
    return right, learn, reasons
