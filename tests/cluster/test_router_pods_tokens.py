"""Who gets a token of three routers, and that one that any of them gave lets in at all of them."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Generator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from slipway.router import token_keys
from slipway.spec import ROUTER_NAMESPACE, TOKEN_KEYS_SECRET
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.stack import Stack, deployed, key
from tests.cluster.processes import until
from tests.cluster.routers import RouterPod, by_ownership, router_pods, three_routers
from tests.cluster.test_router_rights import ROLE

NAMESPACE = "slipway-tokens"
ECHO = {
    "namespace": NAMESPACE,
    "source_directory": "examples/echo",
    "entry_script": "score.py",
    "num_replicas": 1,
    "cpu_cores": 0.05,
    "memory_gb": 0.25,
    "max_request_wait_time": 10_000,  # a busy machine fails no request
}
TAKING, KEYED = {"name": "taking", "token_auth_enabled": True, **ECHO}, {"name": "keyed", **ECHO}
SECRET = (TOKEN_KEYS_SECRET, f"--namespace={ROUTER_NAMESPACE}")


@pytest.fixture(name="stack", scope="module")
def _stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    made = three_routers(cluster, tmp_path_factory.mktemp("tokens") / "project", TAKING, KEYED)
    with deployed(made):
        for name in ("caller", "stranger"):
            cluster.kubectl("create", "serviceaccount", name, f"--namespace={NAMESPACE}")
        yield made


@pytest.fixture(name="pods", scope="module")
def _pods(stack: Stack) -> list[RouterPod]:
    """Give the routers, the owner of `taking` first."""
    until(lambda: len(router_pods(stack.cluster)) == 3)
    return by_ownership(stack.cluster, "taking")


@pytest.fixture(name="login", scope="module")
def _login(stack: Stack) -> str:
    """Give the login of an account that a Role as docs/auth.md has it lets have tokens of `taking`."""
    role, binding = yaml.safe_load_all(ROLE)
    for obj in (role, binding):
        obj["metadata"]["namespace"] = NAMESPACE
    role["rules"][0]["resourceNames"] = ["taking"]
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "caller", "namespace": NAMESPACE}]
    stack.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all([role, binding]))
    return login_of(stack, "caller")


def login_of(stack: Stack, account: str) -> str:
    return stack.cluster.kubectl("create", "token", account, f"--namespace={NAMESPACE}").strip()


def ask(pod: RouterPod, bearer: str, path: str = "score", service: str = "taking") -> httpx.Response:
    headers = {"Authorization": f"Bearer {bearer}"}
    return httpx.post(pod.uri(service, path), json={}, headers=headers, trust_env=False, timeout=30)


def said(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("reason", "")


def token(pod: RouterPod, login: str) -> str:
    """Get a token, as soon as there is a key for it and the cluster knows the right to it."""
    found: list[str] = []

    def given() -> bool:
        answer = ask(pod, login, "token")
        assert answer.status_code in (
            HTTPStatus.OK,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ), answer.text
        if answer.status_code == HTTPStatus.OK:
            found.append(answer.json()["token"])
        return bool(found)

    until(given, 30)
    return found[0]


def signed_by(token: str) -> str:
    """Give which key signed a token."""
    return json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"]


def held(stack: Stack) -> dict[str, Any]:
    return json.loads(stack.cluster.kubectl("get", "secret", *SECRET, "--output=json"))


def test_a_token_is_given_by_every_router_to_whom_a_role_names_alone(
    stack: Stack, pods: list[RouterPod], login: str
) -> None:
    token(pods[0], login)
    stranger = login_of(stack, "stranger")
    for pod in pods:
        given = ask(pod, login, "token")
        assert given.status_code == HTTPStatus.OK, given.text
        assert {"token", "refresh_by"} <= given.json().keys()
        assert said(ask(pod, stranger, "token")) == (403, "token_forbidden")
        assert said(ask(pod, f"{login}x", "token")) == (401, "login_wrong")
        assert said(ask(pod, login)) == (401, "token_wrong"), "a login is no token"


def test_a_token_lets_in_at_all_routers_as_soon_as_the_first_key_is_made_and_an_older_one_does_not(
    stack: Stack, pods: list[RouterPod], login: str
) -> None:
    old, before = token(pods[0], login), held(stack)["metadata"]["uid"]
    stack.cluster.kubectl("delete", "secret", *SECRET)
    get = ["get", "secret", *SECRET, "--ignore-not-found", "--output=jsonpath={.metadata.uid}"]
    until(lambda: stack.cluster.kubectl(*get) not in ("", before))
    for pod in pods:
        new = token(pod, login)
        assert signed_by(new) != signed_by(old)
        assert [ask(one, new).status_code for one in pods] == [200, 200, 200]
        assert said(ask(pod, old)) == (401, "token_wrong")


def test_while_keys_rotate_a_token_of_any_router_lets_in_at_all(
    stack: Stack, pods: list[RouterPod], login: str, say: Any
) -> None:
    token(pods[0], login)
    found = held(stack)
    following = token_keys.make(int(time.time()) + 5)
    written = token_keys.write((*token_keys.read(found), following), ROUTER_NAMESPACE, found)
    stack.cluster.kubectl("replace", "--filename=-", stdin=json.dumps(written))
    signed: Counter[tuple[str, str]] = Counter()
    end = time.monotonic() + 30
    while len({pod for pod, kid in signed if kid == following.kid}) < 3:
        assert time.monotonic() < end, signed
        for pod in pods:
            new = token(pod, login)
            assert [ask(one, new).status_code for one in pods] == [200, 200, 200]
            signed[pod.name, signed_by(new)] += 1
    say(f"tokens by router and key: {sorted(signed.values())}")
    assert len({kid for _, kid in signed}) == 2
    assert len(token_keys.read(held(stack))) > len(token_keys.read(found)), "the next one is published"


@contextlib.contextmanager
def forwarded(stack: Stack) -> Generator[str]:
    """Give the router's address on this machine, as `kubectl port-forward` makes it."""
    forward = stack.cluster.kubectl_command(
        "port-forward", "service/slipway-router", f"--namespace={ROUTER_NAMESPACE}", ":80"
    )
    with subprocess.Popen(forward, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = re.search(r"127.0.0.1:(\d+)", process.stdout.readline())
        assert port is not None
        yield f"http://127.0.0.1:{port[1]}"
        process.kill()


def test_the_command_gets_a_token_from_the_cluster_by_the_kubeconfig_or_by_a_login(
    stack: Stack, pods: list[RouterPod], login: str, tmp_path: Path
) -> None:
    file = tmp_path / "login"
    file.write_text(login)
    with forwarded(stack) as url:
        for option in ([], ["--login-file", str(file)]):
            found = stack.slipway("token", "taking", "--url", url, *option).strip()
            assert [ask(pod, found).status_code for pod in pods] == [200, 200, 200]
        data = tmp_path / "request.json"
        data.write_text('{"a": 1}')
        assert json.loads(stack.slipway("score", "taking", "--data", str(data), "--url", url))["echo"] == {
            "a": 1
        }


def test_an_address_that_fails_by_all_routers_gets_429_and_keeps_no_right_key_out(
    stack: Stack, pods: list[RouterPod]
) -> None:
    right = key(stack.cluster, "keyed")
    failed = [said(ask(pod, "w" * 32, service="keyed")) for _ in range(20) for pod in pods]
    assert set(failed) == {(401, "key_wrong"), (429, "too_many_failures")}
    assert failed[:10] == [(401, "key_wrong")] * 10
    assert failed[-10:] == [(429, "too_many_failures")] * 10, "by whichever router they come, one counts"
    for pod in pods:
        assert said(ask(pod, "w" * 32, service="keyed")) == (429, "too_many_failures")
        assert ask(pod, right, service="keyed").status_code == HTTPStatus.OK
