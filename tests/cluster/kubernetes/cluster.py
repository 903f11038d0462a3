"""A Kubernetes for tests: the one that SLIPWAY_TEST_KUBECONFIG names, else a node made for this run."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from slipway.images.cache import Cache
from tests.cluster.kubernetes import commands
from tests.cluster.kubernetes.balancer import load_balancer
from tests.cluster.kubernetes.build import programs
from tests.cluster.kubernetes.component import Component, tail
from tests.cluster.kubernetes.images import push_pause
from tests.cluster.kubernetes.machine import Machine, machine
from tests.cluster.registries import configure, registry

KUBECONFIG = "SLIPWAY_TEST_KUBECONFIG"
REGISTRY = "SLIPWAY_TEST_REGISTRY"
DEADLINE = 120.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Cluster:
    """A running cluster, and a registry that it pulls from and this machine pushes to."""

    kubeconfig: Path
    context: str
    registry: str
    """host:port, the same for both"""
    program: str
    """kubectl"""
    machine: Machine | None = None
    components: Mapping[str, Component] = field(default_factory=dict[str, Component])

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl; give what it writes to stdout."""
        done = subprocess.run(
            self.kubectl_command(*arguments), input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def kubectl_command(self, *arguments: str) -> list[str]:
        return [self.program, f"--kubeconfig={self.kubeconfig}", f"--context={self.context}", *arguments]

    def component(self, name: str) -> Component:
        """Give a component to stop and start; a test that does so to somebody's own cluster is skipped."""
        if self.machine is None:
            pytest.skip(f"would stop {name} of the cluster in {KUBECONFIG}; runs on one made for the test")
        return self.components[name]

    def wait_ready(self) -> None:
        """Wait until the API server answers and the node takes pods."""
        _until("the API server answers", self.answers, self.components)
        node = f"node/{commands.NODE}"
        for event in ("create", "condition=Ready"):
            self.kubectl("wait", f"--for={event}", node, f"--timeout={DEADLINE}s")

    def answers(self) -> bool:
        """Tell whether the API server is ready."""
        command = self.kubectl_command("get", "--raw", "/readyz", "--request-timeout=2s")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def cluster(say: Callable[[str], None]) -> Generator[Cluster]:
    """Give the user's cluster, or make one."""
    given = os.environ.get(KUBECONFIG)
    if given:
        yield _of_user(Path(given))
    else:
        with single_node(say) as made:
            yield made


@contextmanager
def single_node(say: Callable[[str], None]) -> Generator[Cluster]:
    """Start a cluster in a machine of its own, and end it with all that it made."""
    folder = programs()
    assert folder.exists(), "Kubernetes is not built; run `make test-cluster`"
    begin = time.monotonic()

    def told(what: str) -> None:
        say(f"{what} after {time.monotonic() - begin:.1f} s")

    parts: dict[str, Component] = {}
    with ExitStack() as ends:
        ends.callback(lambda: [part.ends() for part in parts.values()])
        made = ends.enter_context(machine(f"{folder}:{SYSTEM_PATH}"))
        running = ends.enter_context(registry(made.folder / "registry"))
        configure(made.folder / "registry.yaml", running.store, running.host)
        kubeconfig = commands.write(made, push_pause(running.host, Cache(made.folder / "cache")))
        run = {"registry": ["docker-registry", "serve", str(made.folder / "registry.yaml")]}
        run |= commands.commands(made)
        parts |= {name: Component(made, name, command) for name, command in run.items()}
        program = str(folder / "kubectl")
        new = Cluster(kubeconfig, commands.CONTEXT, running.host, program, made, parts)
        ends.callback(lambda: [part.resume() for part in parts.values()])  # what is paused cannot end
        made.run("iptables", *commands.KUBELET_CLOSED)
        told("the machine stands")
        for name in ("registry", "etcd", "containerd", "kube-apiserver"):
            parts[name].start()
        _until("the API server answers", new.answers, parts)
        told("the API server answers")
        for part in parts.values():
            if not part.running:
                part.start()
        new.wait_ready()
        told("the node is ready")
        ends.enter_context(load_balancer(new.kubectl_command, made.address))
        yield new


def _of_user(kubeconfig: Path) -> Cluster:
    program, address = shutil.which("kubectl"), os.environ.get(REGISTRY)
    assert program is not None, f"kubectl is not on PATH, and {KUBECONFIG} is set"
    assert address, f"{REGISTRY} is not set: host:port of a registry that the cluster pulls from"
    command = [program, f"--kubeconfig={kubeconfig}", "config", "current-context"]
    context = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Cluster(kubeconfig, context, address, program)


def _until(what: str, holds: Callable[[], bool], parts: Mapping[str, Component]) -> None:
    """Wait for what nothing tells; fail early, with its log, when a component has ended."""
    end = time.monotonic() + DEADLINE
    while not holds():
        late = time.monotonic() > end
        ended = [part for part in parts.values() if part.ended]
        if late or ended:
            logs = "".join(f"\n{part.name}:\n{tail(part.log)}" for part in ended or parts.values())
            raise AssertionError(f"waited in vain until {what}{logs}")
        time.sleep(0.05)
