"""A stack on a real cluster, applied as `slipway render` gives it, with images that Slipway built."""

from __future__ import annotations

import json
from collections.abc import Generator
from http import HTTPStatus
from typing import Any

import httpx
import pytest

from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import LABEL, PRUNED, Stack, deployed, key, new_stack, router_url
from tests.cluster.processes import until

ECHO = {"source_directory": "examples/echo", "entry_script": "score.py", "cpu_cores": 0.05}
SERVICES = [{"name": "echo", **ECHO}, {"name": "fixed", "num_replicas": 2, **ECHO}]


@pytest.fixture(name="stack", scope="module")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    with deployed(
        new_stack(cluster, tmp_path_factory.mktemp("stack"), SERVICES, replicas=1, cpu_cores=0.2)
    ) as made:
        yield made


@pytest.fixture(name="client", scope="module")
def _client(stack: Stack) -> Generator[httpx.Client]:
    """Give a client outside of the cluster, of the router's Service."""
    with httpx.Client(base_url=router_url(stack.cluster), trust_env=False, timeout=10) as client:
        yield client


def score(client: httpx.Client, stack: Stack, service: str, body: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key(stack.cluster, service)}"}
    return client.post(f"/api/v1/service/{service}/score", json=body, headers=headers)


def facts(stack: Stack) -> dict[str, Any]:
    """Give what no controller changes of the objects of a stack."""
    found = stack.cluster.kubectl("get", ",".join(PRUNED), "-A", f"--selector={LABEL}", "--output=json")
    return {
        obj["metadata"]["uid"]: (
            obj["metadata"]["name"],
            obj["metadata"].get("generation"),
            obj.get("data") if obj["kind"] == "Secret" else None,
        )
        for obj in json.loads(found)["items"]
    }


@pytest.mark.parametrize("service", ["echo", "fixed"])
def test_a_request_from_outside_is_scored_behind_the_router(
    stack: Stack, client: httpx.Client, service: str
) -> None:
    answer = score(client, stack, service, {"a": 1})
    assert answer.status_code == HTTPStatus.OK, answer.text
    assert answer.json()["echo"] == {"a": 1}


def test_a_request_without_the_key_is_refused(stack: Stack, client: httpx.Client) -> None:
    assert client.post("/api/v1/service/echo/score", json={}).status_code == HTTPStatus.UNAUTHORIZED


def test_applying_a_stack_again_changes_nothing(stack: Stack) -> None:
    before = facts(stack)
    stack.apply()
    assert facts(stack) == before


def test_what_leaves_a_stack_is_pruned_with_its_keys_and_answers_no_more(
    stack: Stack, client: httpx.Client
) -> None:
    kept, all_services = facts(stack), stack.webservices
    stack.webservices = [*all_services, {"name": "more", **ECHO}]
    stack.write()
    stack.apply()
    stack.wait()
    until(lambda: score(client, stack, "more", 1).status_code == HTTPStatus.OK)
    assert {name for name, *_ in facts(stack).values()} >= {"more", "more-keys"}
    stack.webservices = all_services
    stack.write()
    stack.apply()
    until(lambda: client.post("/api/v1/service/more/score").status_code == HTTPStatus.NOT_FOUND)
    assert facts(stack) == kept
