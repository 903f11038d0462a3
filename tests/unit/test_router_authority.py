"""The routers' own authority: who was given a certificate by it is known to all, through every renewal."""

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.kube.folder import Object
from slipway.router.authority import (
    AUTHORITY_DAYS,
    AUTHORITY_RENEWAL,
    CERTIFICATE_DAYS,
    CERTIFICATE_RENEWAL,
    CLOCKS,
    OVERLAP,
    Member,
    issue,
    read,
    renewed,
)
from slipway.router.state import Identity
from slipway.spec import AUTHORITY_SECRET

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def secret(data: dict[str, str]) -> Object:
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
    return {"kind": "Secret", "metadata": {"name": AUTHORITY_SECRET}, "data": encoded}


def knows(one: Identity, other: Identity, at: datetime) -> bool:
    """Whether a router with one identity takes another's certificate."""
    leaf = x509.load_pem_x509_certificate(other.certificate.encode())
    for authority in x509.load_pem_x509_certificates(one.authorities.encode()):
        try:
            leaf.verify_directly_issued_by(authority)
        except InvalidSignature:
            continue
        return authority.not_valid_after_utc > at and leaf.not_valid_after_utc > at
    return False


def test_openssl_takes_a_certificate_for_both_ends_of_a_connection(tmp_path: Path) -> None:
    data = renewed({}, datetime.now(UTC))
    assert data is not None
    identity = issue(data, "router-0", datetime.now(UTC))
    assert identity is not None
    (tmp_path / "leaf.pem").write_text(identity.certificate)
    (tmp_path / "authorities.pem").write_text(identity.authorities)
    for purpose in ("sslclient", "sslserver"):
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            "authorities.pem",
            "leaf.pem",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout == "leaf.pem: OK\n", done.stderr


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 11), min_size=20, max_size=40))
def test_routers_that_look_daily_know_each_other_while_their_authority_changes(hours: list[int]) -> None:
    data = renewed({}, NOW)
    assert data is not None
    now = NOW + AUTHORITY_DAYS - AUTHORITY_RENEWAL
    members = [Member("a"), Member("b")]
    identities = [member.look([secret(data)], now) for member in members]
    for number, pause in enumerate([*hours, 11, 11, 11, 11, 11, 11]):
        now += timedelta(hours=pause)
        data = renewed(data, now) or data
        # The other one sees it at its next turn.
        identities[number % 2] = members[number % 2].look([secret(data)], now)
        one, other = identities
        assert one is not None
        assert other is not None
        assert knows(one, other, now)
        assert knows(other, one, now)
    assert "old.crt" in data, "it has changed"


def test_an_authority_is_followed_by_one_that_was_trusted_for_a_day_before() -> None:
    first = renewed({}, NOW)
    assert first is not None
    assert renewed(first, NOW + timedelta(days=300)) is None
    late = NOW + AUTHORITY_DAYS - AUTHORITY_RENEWAL + CLOCKS
    both = renewed(first, late)
    assert both is not None
    assert both["tls.crt"] == first["tls.crt"]
    assert renewed(both, late + OVERLAP / 2) is None
    second = renewed(both, late + OVERLAP + CLOCKS)
    assert second is not None
    assert second["tls.crt"] == both["next.crt"]
    assert second["old.crt"] == first["tls.crt"]
    assert "old.key" not in second
    assert renewed(second, late + OVERLAP + 2 * CLOCKS) is None


def test_an_authority_that_has_ended_is_followed_at_once() -> None:
    first = renewed({}, NOW)
    assert first is not None
    both = renewed(first, NOW + AUTHORITY_DAYS - timedelta(days=1))
    assert both is not None
    for data in (first, both):
        late = NOW + AUTHORITY_DAYS + timedelta(days=9)
        assert issue(data, "a", late) is not None, "of no use, but no reason to end"
        made = renewed(data, late)
        assert made is not None
        one, other = issue(made, "a", late), issue(made, "b", late)
        assert one is not None
        assert other is not None
        assert knows(one, other, late)
        assert renewed(made, late + CLOCKS) is None


def test_a_certificate_is_renewed_well_before_its_end_and_only_then() -> None:
    data = renewed({}, NOW)
    assert data is not None
    member = Member("a")
    first = member.look([secret(data)], NOW)
    assert member.look([secret(data)], NOW + timedelta(days=1)) is first
    later = NOW + CERTIFICATE_DAYS - CERTIFICATE_RENEWAL + CLOCKS
    assert member.look([secret(data)], later) is not first
    assert member.look([], later) is not None, "what one has is used on"


@pytest.mark.parametrize(
    "data", [None, {}, {"tls.crt": "!"}, {"tls.crt": "eA==", "tls.key": "eA=="}, {"tls.crt": None}]
)
def test_what_cannot_be_read_is_no_authority_and_is_made_anew(data: object) -> None:
    held = read({"data": data})
    assert issue(held, "a", NOW) is None
    assert Member("a").look([{**secret({}), "data": data}], NOW) is None
    made = renewed(held, NOW)
    assert made is not None
    assert issue(made, "a", NOW) is not None
    mixed = {**made, "tls.key": (renewed({}, NOW) or {})["tls.key"]}
    assert issue(mixed, "a", NOW) is None, "the key is another's"


def test_an_authority_of_a_kind_that_is_not_known_is_made_anew(tmp_path: Path) -> None:
    crt, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:secp112r1 -nodes"
    command = f"openssl req -x509 {kind} -subj /CN=x -keyout {key} -out {crt}"
    subprocess.run(command.split(), check=True, capture_output=True)
    held = {one.name: one.read_text() for one in (crt, key)}
    assert Member("a").look([secret(held)], NOW) is None
    made = renewed(held, NOW)
    assert made is not None
    assert issue(made, "a", NOW) is not None
