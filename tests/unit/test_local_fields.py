"""What processes on one machine cannot honour is refused by name, before anything starts."""

import copy
from collections.abc import Callable

import pytest

from slipway.kube.folder import Object
from slipway.local.fields import TABLE, Meaning, check

DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "replicas": 2,
        "minReadySeconds": 0,
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web", "tier": "front"}},
            "spec": {
                "restartPolicy": "Always",
                "securityContext": {"runAsNonRoot": True},
                "containers": [
                    {
                        "name": "server",
                        "image": "web:1",
                        "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": 8000}],
                        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                        "resources": {"limits": {"memory": "1Gi"}},
                        "livenessProbe": {"httpGet": {"path": "/", "port": 8000, "scheme": "HTTP"}},
                        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}],
            },
        },
    },
}


def changed(change: Callable[[Object, Object, Object], object]) -> list[str]:
    obj = copy.deepcopy(DEPLOYMENT)
    pod = obj["spec"]["template"]["spec"]
    change(obj["spec"], pod, pod["containers"][0])
    return check([obj], {"web:1"})


def test_when_every_field_is_used_or_without_meaning_then_nothing_is_said() -> None:
    assert check([DEPLOYMENT, {"kind": "NetworkPolicy", "metadata": {"name": "x"}}], {"web:1"}) == []


REFUSED: list[tuple[Callable[[Object, Object, Object], object], str]] = [
    (lambda s, p, c: s.update(paused=True), "spec.paused = `True` has no local equivalent"),
    (lambda s, p, c: s.update(minReadySeconds=5), "spec.minReadySeconds = `5` has no local equivalent"),
    (
        lambda s, p, c: s["selector"].update(matchLabels={"app": "other"}),
        "spec.selector.matchLabels must be among",
    ),
    (lambda s, p, c: s["selector"].update(matchExpressions=[]), "spec.selector.matchExpressions"),
    (lambda s, p, c: p.update(hostAliases=[]), "spec.template.spec.hostAliases has no local equivalent"),
    (lambda s, p, c: p.update(containers=[]), "spec.template.spec.containers is empty"),
    (lambda s, p, c: p.update(restartPolicy="Never"), "restartPolicy = `Never` has no local equivalent"),
    (
        lambda s, p, c: p.update(volumes=[{"name": "tmp", "hostPath": {}}]),
        "volumes[tmp].hostPath has no local",
    ),
    (lambda s, p, c: p.update(volumes=[]), "volumeMounts names `tmp`, which is not among the volumes"),
    (lambda s, p, c: c.update(image="web:2"), "containers[server].image = `web:2` is not among the images"),
    (lambda s, p, c: c.update(lifecycle={}), "containers[server].lifecycle has no local equivalent"),
    (
        lambda s, p, c: c.update(comand=["x"]),
        "containers[server].comand is no field that the local engine knows",
    ),
    (lambda s, p, c: c["livenessProbe"].update(exec={}), "livenessProbe.exec has no local equivalent"),
    (lambda s, p, c: c["livenessProbe"]["httpGet"].update(scheme="HTTPS"), "scheme = `HTTPS` has no local"),
    (lambda s, p, c: c["livenessProbe"]["httpGet"].update(port=9), "httpGet.port = `9` is not among the"),
    (lambda s, p, c: c["volumeMounts"][0].update(subPath="x"), "volumeMounts[/tmp].subPath has no local"),
    (
        lambda s, p, c: c["env"].append({"name": "B", "valueFrom": {"resourceFieldRef": {}}}),
        "env[B].valueFrom.resourceFieldRef has no local equivalent",
    ),
]


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_when_a_field_cannot_be_honoured_then_it_is_named(
    change: Callable[[Object, Object, Object], object], said: str
) -> None:
    lines = changed(change)
    assert len(lines) == 1
    assert lines[0].startswith("Deployment shop/web: ")
    assert said in lines[0]


def test_when_several_fields_are_wrong_then_all_are_named() -> None:
    assert (
        len(
            changed(lambda s, p, c: (s.update(paused=True), p.update(hostAliases=[]), c.update(lifecycle={})))
        )
        == 3
    )


def test_when_another_workload_is_given_then_it_is_refused() -> None:
    lines = check([{"kind": "StatefulSet", "metadata": {"name": "db"}}], set())
    assert lines == ["StatefulSet default/db: only Deployments run as local processes; leave it out"]


def test_every_row_has_a_meaning() -> None:
    assert set(TABLE.values()) == set(Meaning)
