"""The engine's pure parts: URNs, wire values, masks, values of YAML, durations."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.engine import UNKNOWN, Asset, Graph, Reference, Registration, Secret, Value, urns, wire
from slipway.engine.graph import known, secrets
from slipway.engine.mask import MASK, Mask
from slipway.engine.options import seconds
from slipway.engine.providers import default_inputs, default_name, serves
from slipway.engine.urns import Alias
from slipway.engine.values import as_text, read

GROUP = "urn:pulumi:dev::test::test:index:Group::outer"

texts = st.text().filter(lambda text: text != wire.UNKNOWN_TEXT)
leaves: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    texts,
    st.just(UNKNOWN),
)
keys = texts.filter(lambda key: key != wire.SIGNATURE)
values: st.SearchStrategy[Value] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(keys, inner, max_size=3),
        st.builds(Secret, inner),
        st.builds(Reference, texts, st.none() | st.just(UNKNOWN) | texts.filter(bool)),
        st.builds(Asset, st.booleans(), st.dictionaries(keys, inner, max_size=2)),
    ),
    max_leaves=12,
)


@given(values)
def test_when_a_value_goes_over_the_wire_and_back_then_it_is_the_same(value: Value) -> None:
    assert wire.read(wire.write(value)) == value


@given(values.filter(lambda value: value is not UNKNOWN), st.sets(st.sampled_from(["urn:a", "urn:b"])))
def test_when_a_transform_sees_a_property_then_value_and_dependencies_survive(
    value: Value, urns_of: set[str]
) -> None:
    struct = wire.write_struct({"property": value})
    shown = wire.for_transform(wire.for_transform(struct, {"property": urns_of}), {})
    found: set[str] = set()
    assert wire.read(shown.fields["property"], found) == value
    assert found == urns_of


def test_when_a_signature_is_unknown_then_reading_it_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown signature nonsense"):
        wire.read(wire.write({wire.SIGNATURE: "nonsense"}))


def test_when_a_parent_is_the_stack_then_its_type_is_not_in_the_urn() -> None:
    stack = urns.make("dev", "test", "", urns.STACK_TYPE, "test-dev")
    assert urns.make("dev", "test", stack, "a:b:C", "c") == "urn:pulumi:dev::test::a:b:C::c"


def test_when_a_parent_has_parents_then_all_their_types_are_in_the_urn() -> None:
    inner = urns.make("dev", "test", GROUP, "test:index:Group", "inner")
    child = urns.make("dev", "test", inner, "a:b:C", "c::d")
    assert child == "urn:pulumi:dev::test::test:index:Group$test:index:Group$a:b:C::c::d"
    assert (urns.type_of(child), urns.name_of(child)) == ("a:b:C", "c::d")


@pytest.mark.parametrize(
    ("alias", "urn"),
    [
        (Alias(urn="urn:pulumi:a::b::c:d:E::f"), "urn:pulumi:a::b::c:d:E::f"),
        (Alias(name="old"), "urn:pulumi:dev::test::test:index:Group$a:b:C::old"),
        (Alias(type="a:b:Old"), "urn:pulumi:dev::test::test:index:Group$a:b:Old::c"),
        (Alias(no_parent=True), "urn:pulumi:dev::test::a:b:C::c"),
        (Alias(stack="prod", project="other"), "urn:pulumi:prod::other::test:index:Group$a:b:C::c"),
        (Alias(parent="urn:pulumi:dev::test::x:y:Z::z"), "urn:pulumi:dev::test::x:y:Z$a:b:C::c"),
    ],
)
def test_when_an_alias_says_what_differs_then_the_rest_is_as_it_is(alias: Alias, urn: str) -> None:
    child = urns.make("dev", "test", GROUP, "a:b:C", "c")
    assert urns.aliases(child, GROUP, [alias], []) == (urn,)


def test_when_a_parent_was_renamed_then_children_named_after_it_were_too() -> None:
    child = urns.make("dev", "test", GROUP, "a:b:C", "outer-c")
    old = GROUP.replace("outer", "former")
    assert urns.aliases(child, GROUP, [Alias(name="x")], [old]) == (
        "urn:pulumi:dev::test::test:index:Group$a:b:C::x",
        "urn:pulumi:dev::test::test:index:Group$a:b:C::former-c",
    )


def test_when_a_version_is_asked_for_then_the_default_provider_has_it_in_its_name() -> None:
    assert default_name("", "") == "default"
    assert default_name("1.2.3-alpha.1+build", "https://a.b/c") == "default_1_2_3_alpha_1_build_https___a.b_c"


def test_when_a_package_is_configured_then_its_default_provider_gets_that() -> None:
    config = {"kubernetes:namespace": "a", "test:namespace": "b"}
    assert default_inputs("kubernetes", config, "", "") == {"namespace": "a"}
    versioned = default_inputs("kubernetes", config, "4.0.0", "")
    assert versioned == {"namespace": "a", "version": "4.0.0", "__internal": {}}
    assert serves("urn:pulumi:dev::test::pulumi:providers:random::own::id", "random:index:X")
    assert not serves("", "random:index:X")


secret_texts = st.text(min_size=4, max_size=30)


@given(secret_texts, st.text(max_size=10), st.text(max_size=10))
def test_when_a_secret_is_in_a_text_in_any_form_then_it_is_masked(
    secret: str, before: str, after: str
) -> None:
    mask = Mask([secret])
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, encoded, json.dumps(secret)[1:-1], quote(secret, safe="")):
        masked = mask(before + form + after)
        assert MASK in masked
        assert form not in masked.replace(MASK, "") or form in before + after


def test_when_a_secret_is_short_then_only_the_whole_text_is_masked() -> None:
    mask = Mask(["a", ""])
    assert (mask("a"), mask("banana"), mask("")) == (MASK, "banana", "")


def test_when_one_secret_begins_another_then_the_longer_is_masked_whole() -> None:
    assert Mask(["secret", "secret-and-more"])("<secret-and-more>") == f"<{MASK}>"


def test_when_secrets_are_nested_anywhere_in_a_graph_then_all_are_found() -> None:
    registration = Registration(
        "urn",
        "a:b:C",
        "c",
        True,
        inputs={"a": [Secret({"b": ["one"]})], "asset": Asset(True, {"x": Secret("two")})},
        outputs={"c": Secret("three")},
        options={"d": Secret("four")},
    )
    graph = Graph("test", "dev", (registration,), {"e": {"f": Secret(Secret("five"))}, "g": "plain"})
    assert set(secrets(graph)) == {"one", "two", "three", "four", "five"}
    assert graph["urn"] is registration
    with pytest.raises(KeyError):
        graph["other"]


def test_when_something_inside_is_unknown_then_the_whole_is_not_known() -> None:
    assert known({"a": [1, Secret("b")]})
    for value in ([UNKNOWN], {"a": Secret(UNKNOWN)}, Reference("urn", UNKNOWN), Asset(False, {"a": UNKNOWN})):
        assert not known(value)


def test_when_a_secret_is_printed_then_it_does_not_show() -> None:
    assert "hidden" not in repr(Secret("hidden"))
    assert "hidden" not in str({"a": [Secret("hidden")]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("0o17", "15"),
        ("017", "15"),
        ("-0x1f", "-31"),
        ("1_000", "1000"),
        ("1e3", "1000"),
        ("1.50", "1.5"),
        ("0.00001", "0.00001"),
        ("1.5e-9", "1.5e-9"),
        ("12:30", "12:30"),
        ("true", "true"),
        ("2026-01-02", "2026-01-02 00:00:00 +0000 UTC"),
        ("[2026-01-02, 1.0, <]", '["2026-01-02 00:00:00 +0000 UTC",1,"\\u003c"]'),
        ("{b: 1, a: null}", '{"a":null,"b":1}'),
    ],
)
def test_when_yaml_holds_a_value_then_a_program_sees_what_the_cli_hands_it(text: str, expected: str) -> None:
    assert as_text(read(text)) == expected


@given(st.datetimes(timezones=st.just(UTC)) | st.dates())
def test_when_a_date_is_handed_over_then_it_looks_as_go_prints_it(moment: date) -> None:
    text = as_text(moment)
    assert text.endswith(" +0000 UTC")
    assert (":" in text) == isinstance(moment, (date, datetime))


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1h1m1.5s", 3661.5), ("250ms", 0.25)])
def test_when_a_timeout_is_written_as_go_does_then_it_is_read_in_seconds(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)  # pyright: ignore[reportUnknownMemberType] untyped


@pytest.mark.parametrize("text", ["", "soon", "5", "5m tomorrow"])
def test_when_a_timeout_is_no_duration_then_the_error_shows_one(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration such as 90s"):
        seconds(text)
