"""The smaller pure parts: Python versions, ports, health in v1's words."""

import socket
from itertools import islice

import pytest

from slipway.images.bases import satisfies
from slipway.kube.folder import Object
from slipway.kube.health import Health, health
from slipway.local.ports import Fixed, busy, fixed, free


@pytest.mark.parametrize(
    ("specifier", "holds"),
    [
        ("", True),
        ("3.11", True),
        ("3", True),
        ("3.1", False),
        ("3.11.7", True),
        ("3.11.8", False),
        (">=3.10", True),
        (">=3.10,<3.12", True),
        (">=3.10, <3.11", False),
        ("==3.11.*", True),
        ("!=3.11.*", False),
        ("==3.11", False),
        ("~=3.9", True),
        ("~=3.11.2", True),
        ("~=3.10.2", False),
        ("<=3.11", False),
        (">3.11", True),
    ],
)
def test_python_specifiers_mean_what_packages_say(specifier: str, holds: bool) -> None:
    assert satisfies(specifier, "3.11.7") is holds


def deployment(name: str, *ports: int) -> Object:
    containers = [
        {"name": "c", "image": "i", "ports": [{"name": f"p{p}", "containerPort": p} for p in ports]}
    ]
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "n"},
        "spec": {"template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}},
    }


def service(name: str, kind: str, target: str | int) -> Object:
    spec = {"type": kind, "selector": {"app": name}, "ports": [{"port": 80, "targetPort": target}]}
    return {"kind": "Service", "metadata": {"name": name, "namespace": "n"}, "spec": spec}


def test_only_what_a_load_balancer_leads_to_is_fixed() -> None:
    objects = [
        deployment("router", 8080, 8081),
        deployment("other", 9000),
        service("router", "LoadBalancer", "p8080"),
        service("other", "ClusterIP", 9000),
    ]
    assert fixed(objects) == [Fixed("n", "router", 8080)]


def test_free_ports_are_free_and_not_those_to_avoid() -> None:
    avoid = set(range(20000, 32760))
    ports = list(islice(free(avoid), 3))
    assert len(set(ports)) == 3
    assert not avoid & set(ports)
    assert not any(map(busy, ports))


def test_a_port_that_somebody_listens_on_is_busy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert busy(port)
    assert not busy(port)


def ended(second: int, code: int, reason: str = "Error") -> Object:
    return {"terminated": {"exitCode": code, "reason": reason, "finishedAt": f"2026-01-01T00:00:0{second}Z"}}


def pod(*, ready: bool = True, restarts: int = 0, waiting: str = "", last: Object | None = None) -> Object:
    state: Object = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    conditions = [{"type": "Ready", "status": str(ready)}]
    statuses: list[Object] = [{"restartCount": restarts, "state": state, "lastState": last or {}}]
    return {"metadata": {"name": "p"}, "status": {"conditions": conditions, "containerStatuses": statuses}}


def crashing(restarts: int = 3) -> Object:
    return pod(ready=False, restarts=restarts, waiting="CrashLoopBackOff")


@pytest.mark.parametrize(
    ("wanted", "updated", "pods", "expected"),
    [
        pytest.param(2, 2, [pod(), pod()], Health("Healthy", 2, 2, 0), id="all ready"),
        pytest.param(1, 1, [pod(restarts=4)], Health("Healthy", 1, 1, 4), id="ready again"),
        pytest.param(
            2,
            2,
            [pod(restarts=1, last=ended(2, 137)), pod(restarts=2, last=ended(1, 3))],
            Health("Healthy", 2, 2, 3, "exit 137"),
            id="both restarted, one of them later",
        ),
        pytest.param(
            1,
            1,
            [pod(restarts=1, last=ended(1, 143, "Unhealthy"))],
            Health("Healthy", 1, 1, 1, "unhealthy"),
            id="restarted by its probe",
        ),
        pytest.param(1, 1, [pod(last=ended(1, 0))], Health("Healthy", 1, 1, 0), id="an init container's end"),
        pytest.param(2, 2, [pod(), pod(ready=False)], Health("Transitioning", 1, 2, 0), id="starting"),
        pytest.param(1, 1, [pod(), pod()], Health("Transitioning", 2, 1, 0), id="old one still there"),
        pytest.param(2, 2, [pod(), crashing()], Health("Unhealthy", 1, 2, 3), id="one of two crashes"),
        pytest.param(1, 1, [crashing()], Health("Failed", 0, 1, 3), id="all crash"),
        pytest.param(
            1, 1, [pod(ready=False, restarts=1)], Health("Unhealthy", 0, 1, 1), id="restarted, not ready"
        ),
        pytest.param(0, 0, [], Health("Healthy", 0, 0, 0), id="none wanted"),
    ],
)
def test_health_is_said_in_v1s_words(wanted: int, updated: int, pods: list[Object], expected: Health) -> None:
    status = {"updatedReplicas": updated}
    obj: Object = {"metadata": {}, "spec": {"replicas": wanted}, "status": status}
    assert health(obj, pods) == expected


def test_a_router_of_which_no_pod_is_wanted_has_failed() -> None:
    labels = {"app.kubernetes.io/component": "router"}
    obj: Object = {"metadata": {"labels": labels}, "spec": {"replicas": 0}, "status": {}}
    assert health(obj, []) == Health("Failed", 0, 0, 0)
