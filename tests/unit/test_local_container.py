"""A container's translation to a process; the real thing is in tests/local."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.kube.folder import Object
from slipway.kube.read import port_of
from slipway.local.container import ConfigError, LocalImage, Process, expand, files, process

IMAGE = LocalImage("/venv/bin/python", "/app", ("-m", "server"), {"PATH": "/venv/bin", "A": "image"})
VOLUMES = Path("/state/pod")


def pod(container: Object, **spec: object) -> Object:
    whole: Object = {"name": "c", "image": "i", **container}
    metadata: Object = {"name": "web-1", "namespace": "shop", "uid": "u", "labels": {"b": "2", "a": "1"}}
    return {"metadata": metadata, "spec": {"containers": [whole], **spec}}


def lookup(kind: str, namespace: str, name: str) -> Object | None:
    objects: dict[tuple[str, str, str], Object] = {
        ("Secret", "shop", "keys"): {"data": {"k": base64.b64encode(b"secret").decode()}},
        ("ConfigMap", "shop", "settings"): {"data": {"colour": "red"}, "binaryData": {"raw": "AAE="}},
        ("ConfigMap", "other", "elsewhere"): {"data": {"x": "y"}},
    }
    return objects.get((kind, namespace, name))


def run(container: Object) -> Process:
    one = pod(container)
    return process(
        one, one["spec"]["containers"][0], IMAGE, volumes=VOLUMES, lookup=lookup, extra={"EXTRA": "1"}
    )


def env(*variables: Object, **more: object) -> dict[str, str]:
    return dict(run({"env": list(variables), **more}).env)


def test_when_nothing_is_given_then_the_image_decides() -> None:
    assert run({}) == Process(
        ("/venv/bin/python", "-m", "server"),
        {"PATH": "/venv/bin", "A": "image", "HOSTNAME": "web-1", "HOME": "/state/pod", "EXTRA": "1"},
        "/app",
    )


def test_when_args_are_given_then_they_follow_the_image_and_a_command_replaces_it() -> None:
    variable = {"name": "X", "value": "1"}
    assert run({"args": ["--x", "$(X)"], "env": [variable]}).argv == (
        "/venv/bin/python",
        "-m",
        "server",
        "--x",
        "1",
    )
    assert run({"command": ["sh", "-c"], "args": ["exit"]}).argv == ("sh", "-c", "exit")


def test_when_a_variable_is_a_containers_port_then_it_is_the_local_one() -> None:
    ports = [{"name": "http", "containerPort": 8080, "hostPort": 23456}]
    given_ = env({"name": "PORT", "value": "8080"}, {"name": "OTHER", "value": "80801"}, ports=ports)
    assert (given_["PORT"], given_["OTHER"]) == ("23456", "80801")


@pytest.mark.parametrize(
    ("value", "local"),
    [
        ("/run/x", "/state/pod/run"),
        ("/run/x/", "/state/pod/run"),
        ("/run/x/a/b", "/state/pod/run/a/b"),
        ("/run/x/inner/a", "/state/pod/inner/a"),
        ("/run/xy", "/run/xy"),
        ("/run", "/run"),
    ],
)
def test_when_a_variable_begins_with_a_mount_path_then_it_is_the_local_path(value: str, local: str) -> None:
    mounts = [{"name": "run", "mountPath": "/run/x"}, {"name": "inner", "mountPath": "/run/x/inner"}]
    assert env({"name": "DIR", "value": value}, volumeMounts=mounts)["DIR"] == local


def test_when_variables_refer_to_objects_then_they_have_their_values() -> None:
    secret = {"secretKeyRef": {"name": "keys", "key": "k"}}
    optional = {"configMapKeyRef": {"name": "settings", "key": "absent", "optional": True}}
    label = {"fieldRef": {"fieldPath": "metadata.labels['a']"}}
    given_ = env(
        {"name": "S", "valueFrom": secret},
        {"name": "O", "valueFrom": optional},
        {"name": "L", "valueFrom": label},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "colour", "value": "own"},
        envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "absent", "optional": True}}],
    )
    assert (given_["S"], given_["L"], given_["IP"], given_["colour"]) == ("secret", "1", "127.0.0.1", "own")
    assert "O" not in given_


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ({"secretKeyRef": {"name": "absent", "key": "k"}}, "Secret shop/absent does not exist"),
        ({"configMapKeyRef": {"name": "elsewhere", "key": "x"}}, "ConfigMap shop/elsewhere does not exist"),
        ({"secretKeyRef": {"name": "keys", "key": "other"}}, "Secret shop/keys has no key `other`"),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "fieldPath `spec.nope` is not one"),
    ],
)
def test_when_something_is_missing_then_the_error_names_it(variable: Object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        env({"name": "X", "valueFrom": variable})


def test_when_volumes_are_given_then_their_files_are_known() -> None:
    volumes: list[Object] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "all", "configMap": {"name": "settings"}},
        {"name": "some", "secret": {"secretName": "keys", "items": [{"key": "k", "path": "deep/k"}]}},
        {
            "name": "info",
            "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
    ]
    assert files(pod({}, volumes=volumes), lookup) == {
        "tmp": {},
        "all": {"raw": b"\x00\x01", "colour": b"red"},
        "some": {"deep/k": b"secret"},
        "info": {"labels": b'a="1"\nb="2"'},
    }


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/out"])
def test_when_a_files_path_leaves_its_volume_then_it_is_refused(path: str) -> None:
    item = {"key": "k", "path": path}
    with pytest.raises(ConfigError, match="leaves the volume"):
        files(pod({}, volumes=[{"name": "v", "secret": {"secretName": "keys", "items": [item]}}]), lookup)


def test_when_a_port_is_asked_for_then_name_and_number_lead_to_the_local_one() -> None:
    one = pod({"ports": [{"name": "http", "containerPort": 8080, "hostPort": 23456}]})
    assert (port_of(one, "http"), port_of(one, 8080), port_of(one, "nope")) == (23456, 23456, None)


def test_expand_follows_kubernetes_rules() -> None:
    assert expand("$(A)-$(B)-$$(A)-$A-$$", {"A": "1"}) == "1-$(B)-$(A)-$A-$"


@given(st.text(alphabet="$()AB x"))
def test_whatever_the_text_is_what_holds_no_reference_stays(text: str) -> None:
    if "$" not in text:
        assert expand(text, {"A": "1"}) == text
    assert expand(text.replace("$", "$$"), {"A": "1"}) == text, "doubling every $ escapes anything"
