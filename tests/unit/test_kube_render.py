"""Objects as YAML: order, owners, and Secrets apart."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.render import ORDER, autoscaled, in_order, render, render_secrets


def obj(kind: str, name: str = "a", namespace: str = "here", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, **more}


def deployment(autoscale_enabled: bool) -> dict[str, Any]:
    found = obj("Deployment", spec={"replicas": 3, "selector": {}})
    serving = json.dumps({"autoscale_enabled": autoscale_enabled})
    found["metadata"]["annotations"] = {"slipway/serving": serving, "pulumi.com/patchForce": "true"}
    return found


@given(st.permutations([*ORDER, "Job", "Ingress"]))
def test_when_objects_come_in_any_order_then_they_leave_in_the_order_of_creation(kinds: list[str]) -> None:
    assert [found["kind"] for found in in_order(map(obj, kinds))] == [*ORDER, "Ingress", "Job"]


def test_when_a_deployment_is_autoscaled_then_its_replicas_are_left_to_the_router() -> None:
    (found,) = yaml.safe_load_all(render([deployment(autoscale_enabled=True)]))
    assert found["spec"] == {"selector": {}}


def test_when_the_router_scales_itself_then_its_replicas_are_left_to_it() -> None:
    given = deployment(autoscale_enabled=False)
    given["metadata"]["annotations"] = {"slipway/scales-itself": "true"}
    (found,) = yaml.safe_load_all(render([given]))
    assert found["spec"] == {"selector": {}}


def test_when_replicas_are_fixed_then_they_stay() -> None:
    (found,) = yaml.safe_load_all(render([deployment(autoscale_enabled=False)]))
    assert found["spec"]["replicas"] == 3
    assert not autoscaled(obj("Deployment", spec={}))


def test_when_annotations_speak_to_pulumi_then_they_are_left_out() -> None:
    given = deployment(autoscale_enabled=False)
    (found,) = yaml.safe_load_all(render([given]))
    assert list(found["metadata"]["annotations"]) == ["slipway/serving"]
    assert "pulumi.com/patchForce" in given["metadata"]["annotations"]
    given["metadata"]["annotations"] = {"pulumi.com/patchForce": "true"}
    (found,) = yaml.safe_load_all(render([given]))
    assert "annotations" not in found["metadata"]


def test_when_there_are_secrets_then_they_are_rendered_apart() -> None:
    objects = [obj("Secret", stringData={"key": "hidden"}), obj("ConfigMap", data={"a": "b"})]
    assert "hidden" not in render(objects)
    assert [found["kind"] for found in yaml.safe_load_all(render(objects))] == ["ConfigMap"]
    assert [found["kind"] for found in yaml.safe_load_all(render_secrets(objects))] == ["Secret"]


texts = st.text(
    st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\x85\u2028\u2029\ufeff")
)


@given(
    st.dictionaries(texts, texts | st.sampled_from(["yes", "1e3", "0o7", "null", "~", "2026-01-02", "a: b"]))
)
def test_when_yaml_is_read_again_then_every_text_is_the_same(data: dict[str, str]) -> None:
    (found,) = yaml.safe_load_all(render([obj("ConfigMap", data=data)]))
    assert found["data"] == data
