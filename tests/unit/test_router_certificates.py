"""The router's certificates: which are used, what is said of the others, and the answer to ACME servers."""

import base64
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from slipway.certificates import Certificate, read
from slipway.kube.folder import Object
from slipway.router.acme import thumbprint
from slipway.router.certificates import bundle, complaints, fingerprint, secured
from slipway.router.feed import Objects
from slipway.router.options import Tls
from slipway.router.state import State
from tests.certificates import DAY, NOW, SIGNED_WITH_SHA_1, certificate

PUBLIC, KEY = certificate("a.example.com", "*.b.example.com")
_, FOREIGN = certificate()
TLS = Tls(8443, secrets=("tls",))


def secret(crt: object, key: object, name: str = "tls") -> Object:
    def encoded(value: object) -> object:
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value

    data = {"tls.crt": encoded(crt), "tls.key": encoded(key)}
    return {"kind": "Secret", "metadata": {"name": name, "namespace": "slipway"}, "data": data}


def taken(*secrets: Object, known: str | None = None) -> State:
    return secured(Objects(secrets=secrets), State(), TLS, "slipway", {"tls": known} if known else {})


def test_of_a_secret_chain_and_key_are_taken_and_nothing_else() -> None:
    around = b"Bag Attributes\n\n" + PUBLIC.replace(b"\n", b"\r\n") + PUBLIC
    state = taken(secret(around, b"# comment\n" + KEY))
    assert state.certificates == {"tls": (PUBLIC + PUBLIC + KEY).decode()}
    assert state.ignored == ()
    assert KEY.decode().splitlines()[1] not in repr(state)


BAD = [
    pytest.param([], "is missing", id="none"),
    pytest.param([secret(PUBLIC, b"no")], "holds no private key in PEM", id="no key"),
    pytest.param([secret(KEY, KEY)], "holds no certificate in PEM", id="no certificate"),
    pytest.param([secret(7, KEY)], "holds no certificate in PEM", id="no text"),
    pytest.param([{**secret(PUBLIC, KEY), "data": None}], "holds no certificate in PEM", id="no data"),
    pytest.param([secret(PUBLIC + SIGNED_WITH_SHA_1, KEY)], "one of the chain is signed", id="SHA-1"),
    pytest.param([secret(PUBLIC, FOREIGN)], "the key is not the certificate's", id="another's key"),
    pytest.param([secret(PUBLIC.replace(b"MII", b"AII"), KEY)], "the certificate is not X.509", id="torn"),
    pytest.param(
        [secret(PUBLIC, b"-----BEGIN PRIVATE KEY-----\n\nquit\x00\n-----END PRIVATE KEY-----")],
        "holds no private key in PEM",
        id="a command",
    ),
    pytest.param(
        [secret(*certificate(begins=NOW - 9 * DAY, ends=NOW - DAY))],
        "the certificate has expired on",
        id="over",
    ),
]


@pytest.mark.parametrize(("secrets", "said"), BAD)
def test_what_cannot_be_used_is_told_and_the_certificate_before_is_used_on(
    secrets: list[Object], said: str
) -> None:
    before = (PUBLIC + KEY).decode()
    state = taken(*secrets, known=before)
    assert state.certificates == {"tls": before}
    (line,) = state.ignored
    assert (line.place, line.reason) == ("Secret slipway/tls", "CertificateRefused")
    assert line.why.startswith(said)
    assert line.why.endswith("; the one before is used on")
    assert KEY.decode().splitlines()[1] not in str(line)


def test_a_certificate_that_has_expired_is_better_than_none() -> None:
    public, key = certificate(begins=NOW - 9 * DAY, ends=NOW - DAY)
    assert taken(secret(public, key)).certificates == {"tls": (public + key).decode()}


def test_one_bad_secret_does_not_keep_another_from_being_used() -> None:
    tls = Tls(8443, secrets=("bad", "tls"))
    state = secured(
        Objects(secrets=[secret(b"", b"", "bad"), secret(PUBLIC, KEY)]), State(), tls, "slipway", {}
    )
    assert list(state.certificates) == ["tls"]
    assert [one.place for one in state.ignored] == ["Secret slipway/bad"]


@given(st.text(), st.text())
def test_no_text_becomes_anything_but_pem_blocks(crt: str, key: str) -> None:
    with pytest.raises(ValueError, match="in PEM"):
        bundle(crt, key)


@pytest.mark.parametrize(
    ("life", "left", "near"),
    [(365, 31, False), (365, 29, True), (90, 23, False), (90, 22, True), (6, 2, False), (6, 1, True)],
)
def test_an_end_is_near_30_days_or_a_quarter_of_the_time_before(life: int, left: int, near: bool) -> None:
    ends = NOW + timedelta(days=left)
    served = {"Secret slipway/tls": Certificate(("a.example.com",), ends - timedelta(days=life), ends)}
    found = complaints(State(), served, ["a.example.com"], NOW)
    assert [one.reason for one in found] == (["CertificateExpiring"] if near else [])


def test_names_are_looked_up_as_clients_do() -> None:
    found = read(PUBLIC.decode(), KEY.decode())
    assert found.names == ("a.example.com", "*.b.example.com", "127.0.0.1")
    assert [found.covers(name) for name in ("a.example.com", "x.b.example.com")] == [True, True]
    assert not any(found.covers(name) for name in ("b.example.com", "x.y.b.example.com", "c.example.com"))
    (one,) = complaints(State(), {"Secret slipway/tls": found}, ["c.example.com"], NOW)
    assert one.reason == "CertificateNameMismatch"


def test_the_answer_to_an_acme_server_is_that_of_the_rfc() -> None:
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw=="
    )
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(base64.urlsafe_b64decode(n))).public_key()
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"  # RFC 7638, section 3.1


@pytest.mark.parametrize(
    ("secrets", "why"),
    [
        ([], "is missing"),
        ([secret(b"", b"no", "acme")], "holds no RSA"),
        ([secret(b"", KEY, "acme")], "no RSA"),
    ],
)
def test_an_acme_account_that_cannot_be_read_is_told(secrets: list[Object], why: str) -> None:
    tls = Tls(8443, secrets=("tls",), account="acme")
    state = secured(Objects(secrets=[*secrets, secret(PUBLIC, KEY)]), State(), tls, "slipway", {})
    (line,) = state.ignored
    assert why in str(line)
    assert state.account == ""


def test_files_that_go_while_they_are_looked_at_end_nothing(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}").touch()
    done = threading.Event()

    def replace_all() -> None:
        while not done.is_set():
            for number in range(100):
                (tmp_path / f"{number}").rename(tmp_path / "new")
                (tmp_path / "new").rename(tmp_path / f"{number}")

    other = threading.Thread(target=replace_all)
    other.start()
    try:
        for _ in range(200):
            fingerprint(tmp_path)
    finally:
        done.set()
        other.join()
    assert fingerprint(tmp_path) == fingerprint(tmp_path)
