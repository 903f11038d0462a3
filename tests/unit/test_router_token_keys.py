"""Which keys sign and verify tokens, as time goes by."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.router import token_keys
from slipway.router.token_keys import PERIOD, START_SECONDS, TokenKey, due, kept, signer
from slipway.router.tokens import LIFETIME
from slipway.spec import TOKEN_KEYS_SECRET

KEY = token_keys.make(1)
"""Of all keys here; what they are named is what counts."""


def named(since: int) -> TokenKey:
    return TokenKey(since, KEY.public, KEY.private)


@given(st.lists(st.integers(1, 3 * PERIOD), min_size=1, max_size=40))
def test_what_signs_was_known_long_before_and_verifies_until_its_last_token_has_expired(
    steps: list[int],
) -> None:
    now = 1_000_000.0
    keys: tuple[TokenKey, ...] = ()
    published: dict[int, float] = {}
    signed: dict[int, float] = {}
    for step in [0, 1, START_SECONDS + 1, *steps]:
        now += step
        if (since := due(keys, now)) is not None:
            first = not keys
            keys = kept(keys, named(since))
            published[since] = now
            assert since - now >= (START_SECONDS if first else PERIOD)
        found = signer(keys, now)
        if found is not None:
            signed[found.since] = now
        known = {key.since for key in keys}
        assert len(known) <= 3
        for since, last in signed.items():
            assert since in known or now - last > LIFETIME
    assert signer(keys, now) is not None
    assert due(keys, now) is None


def test_a_secret_gives_back_the_keys_that_it_was_made_of() -> None:
    keys = (named(9), named(10))
    secret = token_keys.write(keys, "slipway", None)
    assert secret["metadata"]["name"] == TOKEN_KEYS_SECRET
    assert token_keys.read(secret) == keys
    assert token_keys.read(None) == ()
    assert "PRIVATE" not in repr(keys)
    replaced = token_keys.write(keys, "slipway", {"metadata": {"resourceVersion": "7"}})
    assert replaced["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    "data",
    [
        {"1.pem": "=secret="},
        {"1.pem": base64.b64encode(b"secret").decode()},
        {"../1.pem": token_keys.write([KEY], "a", None)["data"]["1.pem"]},
        {"1 2.pem": token_keys.write([KEY], "a", None)["data"]["1.pem"]},
        {"1.pem": 7},
        {"1.pem": None},
        ["secret"],
        "secret",
    ],
)
def test_a_secret_that_cannot_be_read_says_so_without_a_word_of_it(data: object) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - its text is looked at
        token_keys.read({"metadata": {"name": TOKEN_KEYS_SECRET}, "data": data})
    assert "secret" not in str(error.value)
    assert "PRIVATE" not in str(error.value)
