"""What the router may do in a cluster: each right is one that it uses, and there is no other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from components.router import (
    OWN_SECRETS,
    RIGHTS,
    RIGHTS_AT_HOME,
    RIGHTS_OVER_ITS_OWN,
    RIGHTS_TO_SCALE_ITSELF,
)
from slipway.kube.client import Client, ClusterError, connect
from slipway.router.callers import ClusterCallers, Refused
from slipway.router.feed import OWN, OWN_SERVICE, WriteError
from slipway.router.state import Service
from slipway.router.watches import ClusterFeed, sources
from slipway.router.writes import ClusterWriter
from tests.cluster.kubernetes.cluster import Cluster

Json = dict[str, Any]
HOME, MODELS = "rights-home", "rights-models"
SECONDS = 20.0
CREATE = ("create", "--validate=false", "--filename=-", "--output=json")
WEBSERVICE = {"slipway/webservice": "echo"}
EVERY = [
    (right, verb)
    for rights in (RIGHTS, RIGHTS_AT_HOME, RIGHTS_TO_SCALE_ITSELF, RIGHTS_OVER_ITS_OWN)
    for right, verbs in rights.items()
    for verb in verbs
]
EVERYWHERE = {(*right, verb) for right, verbs in RIGHTS.items() for verb in verbs}
AT_HOME = {
    (*right, verb)
    for rights in (RIGHTS_AT_HOME, RIGHTS_TO_SCALE_ITSELF, RIGHTS_OVER_ITS_OWN)
    for right, verbs in rights.items()
    for verb in verbs
}


def metadata(name: str, namespace: str = "", **labels: str) -> Json:
    return {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})


POD = {"containers": [{"name": "scoring", "image": "nowhere/none"}]}
ROUTER_POD = {
    "containers": [{"name": "router", "image": "nowhere/none", "resources": {"requests": {"cpu": "50m"}}}]
}
OBJECTS: list[Json] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(HOME)},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(MODELS)},
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata("echo", MODELS, **WEBSERVICE),
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": WEBSERVICE},
            "template": {"metadata": {"labels": WEBSERVICE}, "spec": POD},
        },
    },
    {"apiVersion": "v1", "kind": "Pod", "metadata": metadata("echo", MODELS, **WEBSERVICE), "spec": POD},
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata("echo", MODELS, **WEBSERVICE),
        "addressType": "IPv4",
        "endpoints": [],
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata("router", HOME, **dict([OWN_SERVICE])),
        "addressType": "IPv4",
        "endpoints": [],
    },
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata("echo", MODELS),
        "spec": {
            "maxReplicas": 1,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "echo"},
        },
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata("slipway-router", HOME, **dict([OWN])),
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": dict([OWN])},
            "template": {"metadata": {"labels": dict([OWN])}, "spec": ROUTER_POD},
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata("router", HOME, **{**dict([OWN]), "pod-template-hash": "none"}),
        "spec": ROUTER_POD,
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(OWN_SECRETS[0], HOME, **WEBSERVICE)},
    {"apiVersion": "v1", "kind": "Secret", "metadata": metadata("elsewhere", MODELS, **WEBSERVICE)},
]
DEPLOYMENT = OBJECTS[2]
ROLE = (
    (Path(__file__).parents[2] / "docs/auth.md")
    .read_text(encoding="utf-8")
    .partition("```yaml\n")[2]
    .partition("```")[0]
)
ECHO = Service("echo", deployment=(MODELS, "echo"))


@pytest.fixture(scope="module", autouse=True)
def _objects(cluster: Cluster) -> Generator[None]:
    for some in (OBJECTS[:2], OBJECTS[2:]):
        cluster.kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(some))
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={MODELS}")
    yield
    cluster.kubectl("delete", "namespace", HOME, MODELS, "--wait=false")


def rules(rights: Any, without: object, **names: object) -> list[Json]:
    """Give rights as a Role has them, less one verb of one."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": left, **names}
        for (group, resource), verbs in rights.items()
        if (left := [verb for verb in verbs if ((group, resource), verb) != without])
    ]


@contextlib.asynccontextmanager
async def account(cluster: Cluster, folder: Path, name: str, without: object) -> AsyncGenerator[Client]:
    """Be a service account with the router's rights less one."""
    rbac = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": HOME}
    objects: list[Json] = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(name, HOME)}]
    own = rules(RIGHTS_OVER_ITS_OWN, without, resourceNames=list(OWN_SECRETS))
    for kind, given, namespace in (
        ("Role", [*rules(RIGHTS_AT_HOME | RIGHTS_TO_SCALE_ITSELF, without), *own], HOME),
        ("ClusterRole", rules(RIGHTS, without), ""),
    ):
        head = {"apiVersion": f"{rbac}/v1", "metadata": metadata(f"rights-{name}", namespace)}
        reference = {"apiGroup": rbac, "kind": kind, "name": f"rights-{name}"}
        objects += [
            {**head, "kind": kind, "rules": given},
            {**head, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject]},
        ]
    text = yaml.safe_dump_all(objects)
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=text)
    try:
        token = cluster.kubectl("create", "token", name, f"--namespace={HOME}").strip()
        config: Json = yaml.safe_load(cluster.kubeconfig.read_text())
        (context,) = [one["context"] for one in config["contexts"] if one["name"] == cluster.context]
        context["user"] = name
        config["users"] = [{"name": name, "user": {"token": token}}]
        path = folder / "kubeconfig"
        path.write_text(json.dumps(config))
        await known(cluster, name, without)
        async with connect(path, cluster.context) as client:
            yield client
    finally:
        cluster.kubectl("delete", "--filename=-", "--wait=false", stdin=text)


async def known(cluster: Cluster, name: str, without: object) -> None:
    """Wait until the API server knows of the account's roles, which it learns a little later."""
    wanted = EVERYWHERE | AT_HOME
    if without is not None:
        ((group, resource), verb) = cast("tuple[tuple[str, str], str]", without)
        wanted -= {(group, resource, verb)}
    async with asyncio.timeout(SECONDS):
        while await asyncio.to_thread(granted, cluster, HOME, name, HOME) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def granted(cluster: Cluster, home: str, name: str, namespace: str) -> set[tuple[str, str, str]]:
    """Give what a service account may do in a namespace and any other account may not."""
    mine, others = (_rules(cluster, home, one, namespace) for one in (name, "nobody"))
    return mine - others


def _rules(cluster: Cluster, home: str, name: str, namespace: str) -> set[tuple[str, str, str]]:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    user = f"--as=system:serviceaccount:{home}:{name}"
    said: Json = json.loads(cluster.kubectl(*CREATE, user, stdin=json.dumps(review)))
    assert not said["status"]["incomplete"]
    return {
        (group, resource, verb)
        for rule in said["status"]["resourceRules"]
        for group in rule.get("apiGroups", [])
        for resource in rule.get("resources", [])
        for verb in rule["verbs"]
    }


async def feeding(client: Client, said: str) -> None:
    """Wait for the feed to say this of what it may not."""
    async with ClusterFeed(client, HOME) as feed:
        while feed.behind is None or said not in feed.behind.error:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.02)


async def feeding_without_autoscalers(client: Client, _: str) -> None:
    """Wait for snapshots without what the feed can do without."""
    async with ClusterFeed(client, HOME) as feed:
        while (objects := await feed.next()).autoscalers:
            pass
        assert objects.deployments
        assert feed.behind is None


async def scaling(client: Client, said: str) -> None:
    with pytest.raises(WriteError, match=re.escape(said)):
        await ClusterWriter(client).scale(MODELS, "echo", 0)


async def resizing(client: Client, said: str) -> None:
    with pytest.raises(WriteError, match=re.escape(said)):
        await ClusterWriter(client).resize(HOME, "slipway-router", "router", 100)


async def making(client: Client, said: str) -> None:
    with pytest.raises(WriteError, match=re.escape(said)):
        await ClusterWriter(client).put_secret(secret("made"))


async def renewing(client: Client, said: str) -> None:
    (found,) = (await client.list("Secret", HOME, labels="slipway/webservice")).items
    with pytest.raises(WriteError, match=re.escape(said)):
        await ClusterWriter(client).put_secret(found)


def secret(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(name, HOME)}


async def telling(client: Client, said: str) -> None:
    async def tell() -> None:
        for writer in (ClusterWriter(client), ClusterWriter(client)):  # the second finds the first's Event
            await writer.event(DEPLOYMENT, "Normal", "Routable", said)

    with pytest.raises(WriteError, match=re.escape(said)):
        await tell()


async def knowing(client: Client, said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)) as refused:
        await ClusterCallers(client).name(await client.bearer() or "", ECHO)
    assert refused.value.reason == "tokens_unavailable"


FUNCTIONS: dict[str, Callable[[Client, str], Awaitable[None]]] = {
    "patch deployments/scale": scaling,
    "patch pods/resize": resizing,
    "create secrets": making,
    "update secrets": renewing,
    "create events": telling,
    "create tokenreviews": knowing,
    "create subjectaccessreviews": knowing,
    "patch events": telling,
    "list horizontalpodautoscalers": feeding_without_autoscalers,
}
"""What uses a right, by its verb and resource; else it is the feed."""


@pytest.mark.parametrize(("right", "verb"), EVERY, ids=[f"{verb} {right[1]}" for right, verb in EVERY])
def test_without_a_right_what_uses_it_fails(
    cluster: Cluster, tmp_path: Path, right: tuple[str, str], verb: str
) -> None:
    async def scenario() -> None:
        group, resource = right
        of, _, sub = resource.partition("/")
        name = f"no-{verb}-{of}{sub}"
        said = f'cannot {verb} resource "{resource}" in API group "{group}"'
        async with account(cluster, tmp_path, name, (right, verb)) as client, asyncio.timeout(SECONDS):
            await FUNCTIONS.get(f"{verb} {resource}", feeding)(client, said)

    asyncio.run(scenario())


def test_with_all_rights_all_is_read_and_written(cluster: Cluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with account(cluster, tmp_path, "all", None) as client, asyncio.timeout(SECONDS):
            async with ClusterFeed(client, HOME) as feed:
                objects = await feed.next()
                assert feed.behind is None
            for name in sources(HOME):
                found: list[Json] = getattr(objects, name)
                # Other tests' pods may still be going.
                assert sum(one["metadata"]["namespace"] in (HOME, MODELS) for one in found) == 1, name
            await ClusterWriter(client).scale(MODELS, "echo", 0)
            assert await ClusterWriter(client).resize(HOME, "router", "router", 100)
            assert await ClusterWriter(client).put_secret(secret("routers"))
            assert await ClusterWriter(client).put_secret(objects.secrets[0])
            for writer in (ClusterWriter(client), ClusterWriter(client)):
                await writer.event(objects.deployments[0], "Normal", "Routable", "all is well")
        shown = cluster.kubectl("describe", "deployment", "echo", f"--namespace={MODELS}")
        assert re.search(r"Normal +Routable +\S+ \(x2 over \S+\) +slipway-router +all is well", shown), shown

    asyncio.run(scenario())


def test_a_token_is_for_whom_a_role_names_in_the_namespace_of_the_web_service(
    cluster: Cluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with account(cluster, tmp_path, "callers", None) as client:
            callers, login = ClusterCallers(client), await client.bearer() or ""
            name = f"system:serviceaccount:{HOME}:callers"
            for wrong in ("x", f"{login}x"):
                with pytest.raises(Refused) as refused:
                    await callers.name(wrong, ECHO)
                assert refused.value.reason == "login_wrong"
            with pytest.raises(Refused, match=name) as refused:
                await callers.name(login, ECHO)
            assert refused.value.reason == "token_forbidden"
            objects: list[Json] = list(yaml.safe_load_all(ROLE))
            for obj in objects:
                obj["metadata"]["namespace"] = MODELS
            objects[0]["rules"][0]["resourceNames"] = ["echo"]
            objects[1]["subjects"] = [{"kind": "ServiceAccount", "name": "callers", "namespace": HOME}]
            cluster.kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(objects))

            async with asyncio.timeout(SECONDS):
                while True:
                    with contextlib.suppress(Refused):
                        assert await callers.name(login, ECHO) == name
                        break
                    await asyncio.sleep(0.05)
            for other in (
                Service("other", deployment=(MODELS, "other")),
                Service("echo", deployment=(HOME, "echo")),
            ):
                with pytest.raises(Refused):
                    await callers.name(login, other)

    asyncio.run(scenario())


def test_what_a_router_may_do_is_the_table_and_no_more(cluster: Cluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with account(cluster, tmp_path, "table", None) as client:
            assert granted(cluster, HOME, "table", MODELS) == EVERYWHERE
            assert granted(cluster, HOME, "table", HOME) == EVERYWHERE | AT_HOME
            with pytest.raises(ClusterError, match='cannot list resource "secrets"'):
                await client.list("Secret", MODELS)
            other = await client.create(secret("another"))
            with pytest.raises(ClusterError, match='cannot update resource "secrets"'):
                await client.replace(other)

    asyncio.run(scenario())
