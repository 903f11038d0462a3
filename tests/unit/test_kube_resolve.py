"""From a graph to objects: what is made here, what is refused, and how it says so."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.engine import UNKNOWN, EngineError, Graph, Made, Registration, Secret, Value
from slipway.kube.random import CLASSES, PASSWORD, STRING, draw, generate
from slipway.kube.resolve import IMAGE_PUSH, Resolver, from_graph, told
from slipway.problems import Problems

KEY = "0123456789abcdefghij"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:dev::test::{type_}::{name}"


def registration(type_: str, name: str, inputs: dict[str, Value], **more: Any) -> Registration:
    return Registration(urn(type_, name), type_, name, True, inputs=inputs, **more)


def config_map(data: Value, name: str = "values", **more: Any) -> Registration:
    metadata: Value = {"name": name, "namespace": "here"}
    inputs: dict[str, Value] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return registration("kubernetes:core/v1:ConfigMap", name, inputs, **more)


def secret(data: Value, **more: Any) -> Registration:
    metadata: Value = {"name": "keys", "namespace": "here"}
    inputs: dict[str, Value] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": data,
    }
    return registration("kubernetes:core/v1:Secret", "keys", inputs, **more)


def graph(*registrations: Registration, encrypted: tuple[str, ...] = ()) -> Graph:
    return Graph("test", "dev", registrations, {}, encrypted)


def refusals(*registrations: Registration, encrypted: tuple[str, ...] = ()) -> tuple[str, ...]:
    with pytest.raises(Problems) as caught:
        from_graph(graph(*registrations, encrypted=encrypted))
    return caught.value.lines


def depends_on(*others: Registration) -> dict[str, Any]:
    urns = tuple(other.urn for other in others)
    return {"dependencies": urns, "property_dependencies": {"data": urns, "stringData": urns}}


def test_when_everything_is_known_then_objects_are_plain_and_in_order() -> None:
    objects = from_graph(graph(config_map({"b": "2", "a": "1"}), secret(Secret({"key": KEY})))).objects
    assert objects == [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "here"},
            "stringData": {"key": KEY},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "values", "namespace": "here"},
            "data": {"a": "1", "b": "2"},
        },
    ]
    assert list(objects[1]) == ["apiVersion", "kind", "metadata", "data"]
    assert list(objects[1]["data"]) == ["a", "b"]


def test_when_an_object_is_resolved_then_its_outputs_are_its_inputs() -> None:
    found = config_map({"a": "b"})
    assert Resolver()(found) == Made("here/values", found.inputs)


def test_when_a_value_is_known_already_then_it_is_not_made_again() -> None:
    password = registration(PASSWORD, "key", {"length": 20})
    assert Resolver({password.urn: {"result": Secret("kept")}})(password) == Made(
        UNKNOWN, {"result": Secret("kept")}
    )
    assert Resolver({password.urn: {"id": "none"}})(password) == Made("none", {})


def test_when_a_type_is_not_ours_to_make_then_the_resolver_leaves_it_unknown() -> None:
    assert Resolver()(registration("azure-native:storage:StorageAccount", "data", {})) is None


ACCOUNT = registration("azure-native:storage:StorageAccount", "data", {}, outputs={"name": UNKNOWN})


def test_when_a_value_comes_from_a_type_of_the_cloud_then_place_source_and_remedy_are_named() -> None:
    assert refusals(ACCOUNT, config_map({"a": UNKNOWN}, **depends_on(ACCOUNT))) == (
        "ConfigMap here/values, data.a: is known only once it exists, from "
        "azure-native:storage:StorageAccount `data`; "
        "export it from the stack and give --outputs, or run `pulumi up`",
    )


def test_when_all_values_are_known_then_what_comes_before_an_object_does_not_matter() -> None:
    assert len(from_graph(graph(ACCOUNT, config_map({"a": "b"}, **depends_on(ACCOUNT)))).objects) == 1


def test_when_the_graph_has_more_than_this_machine_can_run_then_that_is_refused_there() -> None:
    with pytest.raises(Problems) as caught:
        from_graph(graph(ACCOUNT, config_map({"a": "b"})), local=True)
    assert caught.value.lines == (
        "stack dev: has 1 resources such as azure-native:storage:StorageAccount `data`, which only Pulumi "
        "makes; run `pulumi up`",
    )
    password = registration(PASSWORD, "key", {"length": 20})
    provider = registration("pulumi:providers:kubernetes", "cluster", {})
    assert from_graph(graph(password, provider, config_map({"a": "b"})), local=True).objects


def test_when_a_function_may_have_made_objects_then_they_are_not_given_without_them() -> None:
    found = Graph("test", "dev", (config_map({"a": "b"}),), {}, unasked=("kubernetes:yaml:decode", "a:b:c"))
    with pytest.raises(
        Problems, match=r"^kubernetes:yaml:decode: is a function of Pulumi's provider that may"
    ):
        from_graph(found)


def test_when_outputs_of_the_stack_are_told_then_they_are_those_of_the_resources_it_exports() -> None:
    found = Graph(
        "test",
        "dev",
        (ACCOUNT,),
        {"name": UNKNOWN, "key": Secret(UNKNOWN), "masked": Secret(UNKNOWN), "more": UNKNOWN},
        exported={name: (ACCOUNT.urn, f"{name}Of") for name in ("name", "key", "masked", "absent")},
    )
    outputs: dict[str, Value] = {"name": "a", "key": "k", "masked": "[secret]", "more": "m"}
    assert told(found, outputs) == {ACCOUNT.urn: {"nameOf": "a", "keyOf": Secret("k")}}


def test_when_config_is_encrypted_then_the_refusal_names_object_field_key_and_ways() -> None:
    (line,) = refusals(secret(Secret(UNKNOWN)), encrypted=("test:key",))
    assert line == (
        "Secret here/keys, stringData: is not known, because the stack file holds `test:key` encrypted and "
        "Slipway decrypts nothing; run `pulumi up`, or run `pulumi config rm -s dev test:key` so that a "
        "value is made here"
    )


def test_when_secrets_are_not_asked_for_then_encrypted_config_is_no_obstacle() -> None:
    found = graph(secret(Secret(UNKNOWN)), config_map({"a": "b"}), encrypted=("test:key",))
    assert [obj["kind"] for obj in from_graph(found, secrets=False).objects] == ["ConfigMap"]


def test_when_a_field_of_another_object_is_unknown_then_the_refusal_names_both() -> None:
    service = registration(
        "kubernetes:core/v1:Service",
        "front",
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}},
        outputs={"status": UNKNOWN},
    )
    assert refusals(service, config_map({"list": [{"a": UNKNOWN}]}, **depends_on(service))) == (
        "ConfigMap here/values, data.list[0].a: is known only once it exists, from "
        "kubernetes:core/v1:Service `front`; export it from the stack and give --outputs, or run `pulumi up`",
    )


def test_when_objects_cannot_be_made_without_a_cluster_then_all_are_refused_at_once() -> None:
    metadata: dict[str, Value] = {"name": "a"}
    whole: dict[str, Value] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    lines = refusals(
        registration("kubernetes:core/v1:ConfigMap", "read", whole, external=True),
        registration("kubernetes:core/v1:ConfigMapPatch", "patch", whole),
        registration("kubernetes:helm.sh/v3:Release", "chart", {"chart": "a"}),
        registration("kubernetes:core/v1:ConfigMap", "unnamed", {**whole, "metadata": {}}),
    )
    assert [line.partition(";")[0] for line in lines] == [
        "ConfigMap a: is read from a cluster, and there is none here",
        "ConfigMap a: kubernetes:core/v1:ConfigMapPatch is no object but made by Pulumi's provider",
        "kubernetes:helm.sh/v3:Release chart: kubernetes:helm.sh/v3:Release is no object but made by "
        "Pulumi's provider",
        "ConfigMap unnamed, metadata.name: is missing, and Pulumi would invent one",
    ]


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param(Secret("anything"), id="marked"),
        pytest.param(KEY, id="whole"),
        pytest.param(f'{{"key": "{KEY}"}}', id="inside"),
        pytest.param("MDEyMzQ1Njc4OWFiY2RlZmdoaWo=", id="base64"),
    ],
)
def test_when_a_secret_stands_outside_a_secret_then_it_is_refused_and_not_repeated(leak: Value) -> None:
    (line,) = refusals(secret(Secret({"key": KEY})), config_map({"a": leak}))
    assert line.startswith("ConfigMap here/values, data.a: holds a secret")
    assert KEY not in line


def test_when_a_short_word_is_also_in_a_secret_then_it_is_no_leak() -> None:
    found = from_graph(graph(secret(Secret({"user": "admin"})), config_map({"port": "admin"})))
    assert len(found.objects) == 2


def test_when_there_are_images_then_their_recipes_are_given_by_reference() -> None:
    recipe: Value = {
        "runtime": "scoring",
        "python_version": "",
        "requirements": ["a"],
        "source_directory": "src",
        "entry_script": "score.py",
        "models": [],
    }
    image = Registration(
        urn("slipway:index:Image", "a"),
        "slipway:index:Image",
        "a",
        False,
        inputs={"repository": "slipway/a", "recipe": recipe},
        outputs={"reference": "slipway/a:1"},
    )
    recipes = from_graph(graph(image)).recipes
    assert recipes["slipway/a:1"].requirements == ("a",)


counts = st.integers(0, 8)


@given(
    st.integers(0, 40), st.sets(st.sampled_from(sorted(CLASSES))), st.tuples(counts, counts, counts, counts)
)
def test_when_a_text_is_drawn_then_it_is_as_asked_or_refused(
    length: int, allowed: set[str], least: tuple[int, ...]
) -> None:
    letters = {name: CLASSES[name] if name in allowed else "" for name in CLASSES}
    wanted = dict(zip(CLASSES, least, strict=True))
    possible = allowed and sum(least) <= length and all(name in allowed for name, n in wanted.items() if n)
    if not possible:
        with pytest.raises(ValueError, match=r"allowed|less than"):
            draw(length, letters, wanted)
        return
    text = draw(length, letters, wanted)
    assert len(text) == length
    assert set(text) <= set("".join(letters.values()))
    for name, count in wanted.items():
        assert sum(letter in CLASSES[name] for letter in text) >= count


def test_when_a_password_is_made_then_it_is_secret_and_never_the_same() -> None:
    inputs: dict[str, Value] = {"length": 32, "special": False}
    first, second = (generate(registration(PASSWORD, "key", inputs)) for _ in range(2))
    assert first is not None
    assert second is not None
    result = first.outputs["result"]
    assert isinstance(result, Secret)
    assert isinstance(result.value, str)
    assert len(result.value) == 32
    assert set(result.value) <= set(string.ascii_letters + string.digits)
    assert result != second.outputs["result"]


def test_when_a_string_is_made_then_it_is_its_own_id() -> None:
    made = generate(registration(STRING, "name", {"length": 6, "overrideSpecial": "_", "upper": False}))
    assert made is not None
    assert made.outputs["result"] == made.id


def test_when_a_length_is_unknown_then_so_is_the_value() -> None:
    assert generate(registration(PASSWORD, "key", {"length": UNKNOWN})) is None


def test_when_no_text_can_be_as_asked_then_the_error_names_the_resource() -> None:
    with pytest.raises(EngineError, match="`key`: length = 2 is less than the 3 characters asked for"):
        generate(registration(PASSWORD, "key", {"length": 2, "minUpper": 3}))


def test_when_an_image_is_pushed_then_that_keeps_nothing_from_being_local() -> None:
    push = registration(IMAGE_PUSH, "image", {"repository": "127.0.0.1:5000/a", "digest": UNKNOWN})
    assert len(from_graph(graph(config_map({}), push), local=True).objects) == 1
    assert Resolver()(push) == Made(UNKNOWN, push.inputs)
