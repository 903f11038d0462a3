"""A stack of this project on a cluster: images in its registry, objects as `slipway render` gives them."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from slipway.cli import main
from slipway.images.build import Places, build
from slipway.images.cache import Cache
from slipway.images.publish import publish
from slipway.images.recipe import ENVIRONMENTS, Recipe, router_recipe, webservice_recipe
from slipway.kube.render import ORDER
from slipway.spec import ROUTER_NAMESPACE, WebserviceSpec
from tests.cluster.debian import push_base
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.processes import until

ROOT = Path(__file__).parents[3]
PROJECT = ("Pulumi.yaml", "__main__.py", "components", "examples", "stacks")
NAME = "test"
LABEL = "app.kubernetes.io/managed-by=slipway"
PRUNED = sorted({*ORDER} - {"Namespace", "CustomResourceDefinition"})


def copy_project(folder: Path) -> None:
    """Copy what the program is made of into a folder, so that nothing is written into the repository."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def slipway(folder: Path, *arguments: str) -> str:
    """Run a command of Slipway in a project; give what it prints.

    It runs in this process: what a program needs takes seconds to load.
    """
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def key(cluster: Cluster, service: str) -> str:
    """Give the primary key of a web service."""
    get = ["get", "secret", f"{service}-keys", f"--namespace={ROUTER_NAMESPACE}"]
    return base64.b64decode(cluster.kubectl(*get, "--output=jsonpath={.data.primary}")).decode()


def router_url(cluster: Cluster) -> str:
    """Wait until the router's Service takes connections; give its address outside of the cluster."""
    service = ["service/slipway-router", f"--namespace={ROUTER_NAMESPACE}"]
    ingress = "{.status.loadBalancer.ingress[0].ip}"
    cluster.kubectl("wait", f"--for=jsonpath={ingress}", *service, "--timeout=60s")
    address = cluster.kubectl("get", *service, f"--output=jsonpath={ingress}")
    until(lambda: _connects(address))  # kube-proxy follows within a second or two
    return f"http://{address}"


def _connects(address: str) -> bool:
    try:
        socket.create_connection((address, 80), timeout=2).close()
    except OSError:
        return False
    return True


@dataclass
class Stack:
    """A stack's file in a copy of the project, which lies in `folder`, a new one."""

    cluster: Cluster
    folder: Path
    base: str
    router: Mapping[str, Any]
    """settings of the router"""
    webservices: Sequence[Mapping[str, Any]]
    """settings of the web services; those without a base image or an image get the one of `base`"""
    applied: str = field(default="", init=False)

    def __post_init__(self) -> None:
        copy_project(self.folder)

    def write(self, *, push: bool = True) -> None:
        """Write the stack's file, and have the images of its web services in the registry."""
        services = [self._on_base(service) for service in self.webservices]
        cluster = self.cluster
        config = {
            "slipway:kubernetes": {"context": cluster.context, "kubeconfig": str(cluster.kubeconfig)},
            "slipway:images": {"registry": cluster.registry},
            "slipway:router": dict(self.router),
            "slipway:webservices": services,
        }
        (self.folder / f"stacks/Pulumi.{NAME}.yaml").write_text(yaml.safe_dump({"config": config}))
        specs = [one for service in services for one in WebserviceSpec.model_validate(service).deployed()]
        for spec in specs:
            if push and spec.environment.image is None:
                recipe = webservice_recipe(spec, self.folder)
                _pushed(cluster, f"slipway/{spec.name}", recipe, self.folder)

    def render(self) -> str:
        """Give what `slipway render` prints; Secrets are in `secrets`."""
        return self.slipway("render", "--secrets", str(self.secrets))

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets.yaml"

    def apply(self, *options: str) -> None:
        """Apply what the stack is, create the Secrets that are absent, prune what it is no more."""
        self.applied = self.render()
        secrets = list(yaml.safe_load_all(self.secrets.read_text()))
        self.cluster.kubectl(
            "apply", "--server-side", "--validate=strict", "--filename=-", *options, stdin=self.applied
        )
        for secret in secrets:
            self._create(secret)
        self._prune({_key(obj) for obj in [*yaml.safe_load_all(self.applied), *secrets]})

    def wait(self, timeout: float = 120) -> None:
        """Wait until every Deployment is rolled out."""
        for obj in yaml.safe_load_all(self.applied):
            if obj["kind"] == "Deployment":
                name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
                where = [f"deployment/{name}", f"--namespace={namespace}", f"--timeout={timeout}s"]
                self.cluster.kubectl("rollout", "status", *where)

    def delete(self) -> None:
        """Take all of it away, at once: nobody waits for requests any more."""
        kubectl, objects = self.cluster.kubectl, list(yaml.safe_load_all(self.applied))
        kubectl("delete", "--ignore-not-found", "--wait=false", "--filename=-", stdin=self.applied)
        namespaces = [obj["metadata"]["name"] for obj in objects if obj["kind"] == "Namespace"]
        for name in namespaces:
            kubectl("delete", "pods", "--all", "--force", "--grace-period=0", f"--namespace={name}")
        for name in namespaces:
            kubectl("wait", "--for=delete", f"namespace/{name}", "--timeout=60s")

    def slipway(self, *arguments: str) -> str:
        """Run a command on this stack; give what it prints."""
        return slipway(self.folder, *arguments, "--stack", NAME)

    def _on_base(self, service: Mapping[str, Any]) -> dict[str, Any]:
        environment = service.get("environment", {})
        if not {"image", "base_image", "base_dockerfile"} & environment.keys():
            environment = {**environment, "base_image": self.base}
        return {**service, "environment": environment}

    def _create(self, secret: Mapping[str, Any]) -> None:
        """Create a Secret unless it is there: the cluster's own is the truth."""
        name, namespace = secret["metadata"]["name"], secret["metadata"]["namespace"]
        kubectl = self.cluster.kubectl
        if not kubectl("get", "secret", name, f"--namespace={namespace}", "--ignore-not-found", "-o", "name"):
            kubectl("create", "--validate=strict", "--filename=-", stdin=yaml.safe_dump(secret))

    def _prune(self, wanted: Collection[tuple[str, str, str]]) -> None:
        """Delete what has Slipway's label and is not wanted; never a namespace.

        kubectl's own pruning cannot: by label it knows client-side apply alone, by set one namespace.
        """
        kubectl = self.cluster.kubectl
        found = json.loads(kubectl("get", ",".join(PRUNED), "--all-namespaces", f"-l={LABEL}", "-o=json"))
        for kind, namespace, name in sorted({_key(obj) for obj in found["items"]} - set(wanted)):
            kubectl(
                "delete", "--wait=false", kind, name, *([f"--namespace={namespace}"] if namespace else [])
            )


def new_stack(
    cluster: Cluster, folder: Path, webservices: Sequence[Mapping[str, Any]] = (), **router: Any
) -> Stack:
    """Give a stack whose router has these settings, and an image in the registry; nothing is applied yet."""
    base = push_base(cluster.registry, Cache())
    image = _pushed(cluster, "slipway/router", replace(router_recipe(), base_image=base))
    return Stack(cluster, folder, base, {"image": image, **router}, webservices)


@contextlib.contextmanager
def deployed(stack: Stack) -> Generator[Stack]:
    """Have a stack rolled out within the context."""
    stack.write()
    try:
        stack.apply()
        stack.wait()
        yield stack
    finally:
        stack.delete()


def _key(obj: Mapping[str, Any]) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _pushed(cluster: Cluster, repository: str, recipe: Recipe, project: Path = ROOT) -> str:
    cache, place = Cache(), f"{cluster.registry}/{repository}"
    image = build(recipe, project, Places(cluster.registry), cache)
    environments = f"{cluster.registry}/{ENVIRONMENTS}"
    publish(place, image.digest, cache, environments=environments, tags=("test",))
    return f"{place}@{image.digest}"
