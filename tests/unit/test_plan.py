"""Graphs shown to people and programs: what matters, and never a secret."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from slipway.engine import UNKNOWN, Asset, Graph, Reference, Registration, Secret, Value
from slipway.kube.resolve import IMAGE_PUSH
from slipway.plan import to_json, tree

KEY = "planted-key-0123456789"
STACK = "urn:pulumi:dev::test::pulumi:pulumi:Stack::test-dev"
PLATFORM = "urn:pulumi:dev::test::slipway:index:Platform::main"


def node(type_: str, name: str, inputs: dict[str, Value] | None = None, **more: Any) -> Registration:
    given: dict[str, Any] = {"parent": PLATFORM, "custom": True, **more}
    return Registration(f"urn:pulumi:dev::test::{type_}::{name}", type_, name, inputs=inputs or {}, **given)


def kubernetes(kind: str, name: str, spec: Value, **more: Value) -> Registration:
    metadata: dict[str, Value] = {"name": name, "namespace": "here"}
    inputs: dict[str, Value] = {"kind": kind, "metadata": {**metadata, **more}, "spec": spec}
    return node(f"kubernetes:x/v1:{kind}", name, inputs)


def graph(*registrations: Registration, outputs: dict[str, Value] | None = None, **more: Any) -> Graph:
    stack = Registration(STACK, "pulumi:pulumi:Stack", "test-dev", False)
    platform = node("slipway:index:Platform", "main", custom=False, parent=STACK)
    provider = node("pulumi:providers:random", "default_1_0_0", parent="")
    return Graph("test", "dev", (stack, platform, provider, *registrations), outputs or {}, **more)


def line_of(text: str, word: str) -> str:
    return next(line for line in text.splitlines() if word in line).lstrip("│ ├└─")


DEPLOYMENT: Value = {
    "replicas": 3,
    "template": {
        "spec": {
            "containers": [
                {
                    "image": "slipway/a:1",
                    "ports": [{"name": "http", "containerPort": 5001}],
                    "resources": {"requests": {"memory": "1Gi", "cpu": "100m"}},
                }
            ]
        }
    },
}
POLICY: Value = {
    "ingress": [
        {
            "from": [
                {
                    "namespaceSelector": {"matchLabels": {"x": "front"}},
                    "podSelector": {"matchLabels": {"y": "router"}},
                },
                {"ipBlock": {"cidr": "10.0.0.0/8"}},
            ],
            "ports": [{"port": "http"}],
        }
    ]
}


@pytest.mark.parametrize(
    ("registration", "line"),
    [
        (
            kubernetes("Deployment", "a", DEPLOYMENT),
            "Deployment here/a  replicas 3  image slipway/a:1  http 5001  cpu 100m, memory 1Gi",
        ),
        (
            kubernetes("Deployment", "a", {}, annotations={"slipway/serving": '{"autoscale_enabled": true}'}),
            "Deployment here/a  replicas 1 at first, then the router's",
        ),
        (
            kubernetes("Service", "a", {"clusterIP": "None", "ports": [{"port": 80, "targetPort": "http"}]}),
            "Service here/a  headless  80 to http",
        ),
        (
            kubernetes("NetworkPolicy", "a", POLICY),
            "NetworkPolicy here/a  from front router or 10.0.0.0/8 to http",
        ),
        (kubernetes("NetworkPolicy", "a", {}), "NetworkPolicy here/a  from nowhere"),
        (
            kubernetes("NetworkPolicy", "a", {"ingress": [{}]}),
            "NetworkPolicy here/a  from anywhere to any port",
        ),
        (kubernetes("ConfigMap", "a", {}), "ConfigMap here/a"),
        (kubernetes("Deployment", "a", UNKNOWN), "Deployment here/a  replicas 1"),
        (
            node("kubernetes:rbac/v1:Role", "r", {"rules": [{"verbs": ["list"], "resources": ["secrets"]}]}),
            "Role r  list secrets",
        ),
        (node("random:index:RandomPassword", "r", {"length": 8}), "RandomPassword r  8 characters"),
        (node("pulumi:providers:kubernetes", "k"), "Provider kubernetes k"),
        (
            node("a:b:Data", "d", protect=True, external=True, ignore_changes=("x", "y")),
            "Data d  protected  read only  ignores x, y",
        ),
        (
            node(
                "slipway:index:Image",
                "i",
                {"repository": "slipway/a", "recipe": {"runtime": "scoring"}},
                custom=False,
            ),
            "Image i  slipway/a, runtime scoring",
        ),
        (
            node(
                IMAGE_PUSH,
                "p",
                {"repository": "r.test/a", "digest": f"sha256:{'0' * 64}", "tags": ["v1", "v2"]},
            ),
            "ImagePush p  r.test/a@sha256:000000000000...  v1, v2",
        ),
        (
            node(IMAGE_PUSH, "p", {"repository": "r.test/a", "digest": UNKNOWN, "tags": []}),
            "ImagePush p  r.test/a  digest: after build",
        ),
    ],
)
def test_when_a_resource_is_in_the_tree_then_what_matters_stands_beside_it(
    registration: Registration, line: str
) -> None:
    assert line_of(tree(graph(registration)), line.split(maxsplit=1)[0] + " ") == line


def test_when_resources_have_parents_then_the_tree_shows_them_below() -> None:
    group = node("a:b:Group", "g", custom=False)
    text = tree(
        graph(group, node("a:b:Child", "one", parent=group.urn), node("a:b:Child", "two", parent=group.urn))
    )
    assert text == (
        "test dev\n"
        "└─ Platform main\n"
        "   └─ Group g\n"
        "      ├─ Child one\n"
        "      └─ Child two\n"
        "\n"
        "2 resources in 2 components\n"
        "This is the graph alone: no provider was asked, so there is no diff and no drift.\n"
    )


def test_when_there_are_outputs_then_they_end_the_tree() -> None:
    outputs: dict[str, Value] = {"uris": {"a": "http://a", "b": UNKNOWN}, "key": Secret(KEY)}
    text = tree(graph(outputs=outputs, encrypted_config=("test:key",), unasked=("test:index:get",)))
    assert "outputs\n  key: [secret]\n  uris.a: http://a\n  uris.b: [unknown]\n" in text
    assert "encrypted, so unknown here: test:key\nnot asked, so unknown here: test:index:get\n" in text


def planted() -> Graph:
    encoded = base64.b64encode(KEY.encode()).decode()
    secret = node(
        "kubernetes:core/v1:Secret",
        "keys",
        {
            "kind": "Secret",
            "metadata": {"name": f"keys-{KEY}"},
            "stringData": Secret({"a": KEY}),
            "data": {"a": encoded},
        },
        options={"replacementTrigger": KEY},
        source=f"{KEY}.py:1",
    )
    named = node("a:b:Named", f"named-{KEY}")
    deployment = kubernetes(
        "Deployment",
        "a",
        {"template": {"spec": {"containers": [{"image": f"a:{KEY}", "env": [{"value": f"key={KEY}"}]}]}}},
        annotations={"slipway/serving": json.dumps({"leak": KEY}), KEY: "as a name"},
    )
    component = node("a:b:Group", "g", {"text": f"<{KEY}>"}, custom=False, outputs={"list": [f"{KEY}!"]})
    asset = node("a:b:Asset", "s", {"file": Asset(False, {"text": KEY}), "other": Reference("urn", KEY)})
    return graph(secret, named, deployment, component, asset, outputs={"shown": f"https://x/?key={KEY}"})


def test_when_keys_are_planted_anywhere_then_neither_form_of_the_plan_holds_one() -> None:
    found = planted()
    encoded = base64.b64encode(KEY.encode()).decode()
    for text in (tree(found), json.dumps(to_json(found))):
        assert "[secret]" in text
        assert KEY not in text
        assert encoded not in text


def test_when_a_graph_is_given_as_json_then_it_says_all_that_is_set_and_what_it_is_not() -> None:
    registration = node(
        "a:b:Data",
        "d",
        {"a": UNKNOWN, "b": Reference("urn", UNKNOWN)},
        dependencies=("urn:a",),
        property_dependencies={"a": ("urn:a",)},
        provider="urn:p",
        aliases=("urn:old",),
        version="1.2.3",
        source="__main__.py:3",
        options={"deleteBeforeReplace": True},
    )
    found = to_json(graph(registration, encrypted_config=("test:key",)))
    assert json.loads(json.dumps(found)) == found
    resources = found["resources"]
    assert isinstance(resources, list)
    assert resources[-1] == {
        "urn": registration.urn,
        "type": "a:b:Data",
        "name": "d",
        "custom": True,
        "parent": PLATFORM,
        "inputs": {"a": "[unknown]", "b": {"urn": "urn", "id": "[unknown]"}},
        "dependencies": ["urn:a"],
        "propertyDependencies": {"a": ["urn:a"]},
        "provider": "urn:p",
        "aliases": ["urn:old"],
        "version": "1.2.3",
        "source": "__main__.py:3",
        "options": {"deleteBeforeReplace": True},
    }
    assert "no diff" in str(found["note"])
    assert found["encryptedConfig"] == ["test:key"]
