"""The cluster itself: it stands beside others, its parts can be stopped, and it leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.kubernetes.cluster import KUBECONFIG, Cluster
from tests.cluster.kubernetes.machine import remove

ROOT = Path(__file__).parents[2]
SHARED = (
    "/etc/cni",
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
"""Where such programs write by default."""
OURS = str(Path("/proc/self/ns/pid").readlink())
DEADLINE = 30.0
WEB = ["create", "deployment", "web", "--replicas=2"]


@contextmanager
def started() -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run `python -m tests.cluster.kubernetes`; give it, once it stands, and the name that all of it has."""
    environment = {name: value for name, value in os.environ.items() if name != KUBECONFIG}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.kubernetes"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.match(r"export KUBECONFIG=.*/(slipway-\d+)/", process.stdout.readline())
        assert found is not None
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def processes(name: str) -> Iterator[tuple[str, str]]:
    """Give the namespace of process ids and the command of all processes that are told a name."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_text().replace("\0", " ")
            if name in command:
                yield str((folder / "ns/pid").readlink()), command


def inside(namespaces: set[str]) -> list[str]:
    """Give the processes in namespaces."""
    found: list[str] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str((folder / "ns/pid").readlink()) in namespaces:
                found.append((folder / "status").read_text())
    return found


def running(name: str, namespaces: set[str]) -> list[str]:
    """Give what this machine has of a cluster beside files."""
    addresses = rf"\b{name}\b|\b198\.1[89]\.{name.partition('-')[2]}\."
    network = [
        line for what in ("link", "address", "route") for line in ip(what) if re.search(addresses, line)
    ]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/{name}/" in line]
    return network + mounts + inside(namespaces) + [command for _, command in processes(name)]


def ip(what: str) -> list[str]:
    done = subprocess.run(["ip", "-o", what], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def files(name: str) -> list[str]:
    """Give the folders of a cluster, control groups among them."""
    found = [*Path("/sys/fs/cgroup").glob(f"{name}*"), *Path("/sys/fs/cgroup").glob(f"*/{name}*")]
    return [str(path) for path in [*found, *Path(tempfile.gettempdir()).glob(f"{name}*")]]


def test_a_cluster_that_is_ended_leaves_nothing(cluster: Cluster) -> None:
    assert cluster.component("etcd").running, "another cluster stands beside it"
    before = [path for path in SHARED if Path(path).exists()]
    with started() as (process, name):
        folder = Path(tempfile.gettempdir(), name)
        ours = {namespace for namespace, _ in processes(name)} - {OURS}
        assert len(ours) == 1
        assert len(inside(ours)) > 8
        other = Cluster(folder / "lib/kubernetes/admin.kubeconfig", cluster.context, "", cluster.program)
        reference = next(re.finditer(r"127\.0\.0\.1:\d+", (folder / "registry.yaml").read_text()))[0]
        other.kubectl(*WEB, f"--image={reference}/pause:1")
        other.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert running(name, ours) + files(name) == []
    assert [path for path in SHARED if Path(path).exists()] == before
    cluster.wait_ready()


def test_a_cluster_whose_process_is_killed_ends_with_it(cluster: Cluster) -> None:
    assert cluster.component("etcd").running, "another cluster stands beside it"
    with started() as (process, name):
        ours = {namespace for namespace, _ in processes(name)} - {OURS}
        process.kill()
        end = time.monotonic() + DEADLINE
        while found := running(name, ours):
            assert time.monotonic() < end, "\n".join(found)
            time.sleep(0.05)
        remove(name, Path(tempfile.gettempdir(), name))  # the next one does so too
        assert files(name) == []


def test_the_api_server_can_be_stopped_and_comes_back_with_all_that_it_knew(cluster: Cluster) -> None:
    server = cluster.component("kube-apiserver")
    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    server.stop()
    try:
        assert not cluster.answers()
    finally:
        server.start()
    cluster.wait_ready()
    assert cluster.kubectl("get", "configmap", "kept", "--output=jsonpath={.data.a}") == "b"
    cluster.kubectl("delete", "configmap", "kept")


def test_etcd_can_be_paused_and_nothing_is_written_until_it_goes_on(cluster: Cluster) -> None:
    etcd = cluster.component("etcd")
    etcd.pause()
    try:
        with pytest.raises(AssertionError, match=r"[Tt]imeout|timed out"):
            cluster.kubectl("create", "configmap", "late", "--request-timeout=2s")
    finally:
        etcd.resume()
    cluster.wait_ready()
    cluster.kubectl("delete", "configmap", "late", "--ignore-not-found")


def test_pods_outlive_the_kubelet(cluster: Cluster) -> None:
    kubelet = cluster.component("kubelet")
    cluster.kubectl(*WEB, f"--image={cluster.registry}/pause:1")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    columns = "custom-columns=POD:.metadata.uid,CONTAINER:.status.containerStatuses[0].containerID"
    get = ["get", "pods", "--selector=app=web", f"--output={columns}"]
    before = cluster.kubectl(*get)
    kubelet.stop()
    kubelet.start()
    cluster.wait_ready()
    assert cluster.kubectl(*get) == before
    cluster.kubectl("delete", "deployment", "web")
