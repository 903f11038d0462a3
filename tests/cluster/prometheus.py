"""A real Prometheus, which finds a cluster's pods by their annotations and judges docs/alerts.yaml.

Debian's is built without the discovery of Kubernetes: a file has what that would say of the pods.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.alerts import RULES
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.processes import until
from tests.ports import free_port

POD = "__meta_kubernetes_pod"
ANNOTATION = f"{POD}_annotation_prometheus_io_"
PODS = {
    "job_name": "kubernetes-pods",
    "relabel_configs": [
        {"action": "keep", "source_labels": [f"{ANNOTATION}scrape"], "regex": "true"},
        {"source_labels": [f"{ANNOTATION}path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {
            "source_labels": ["__address__", f"{ANNOTATION}port"],
            "regex": r"([^:]+)(?::\d+)?;(\d+)",
            "replacement": "$1:$2",
            "target_label": "__address__",
        },
        {"action": "labelmap", "regex": f"{POD}_label_(.+)"},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{POD}_name"], "target_label": "pod"},
    ],
}
"""The job of this name that Prometheus' own example for Kubernetes and its Helm chart have."""


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def ask(self, path: str) -> Any:
        return (
            httpx.get(f"{self.url}/api/v1/{path}", trust_env=False, timeout=10)
            .raise_for_status()
            .json()["data"]
        )

    def healthy(self) -> list[str]:
        """Name the pods that it scrapes with success, once for each target."""
        return sorted(
            one["labels"]["pod"] for one in self.ask("targets")["activeTargets"] if one["health"] == "up"
        )

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


@contextmanager
def prometheus(cluster: Cluster, folder: Path) -> Generator[Prometheus]:
    """Run it outside of the cluster, from where pods are reached; it looks each second."""
    folder.mkdir(exist_ok=True)
    (folder / "pods.json").write_text(json.dumps(list(_discovered(cluster))))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{**PODS, "file_sd_configs": [{"files": [str(folder / "pods.json")]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            made = Prometheus(f"http://{address}")
            until(lambda: _ready(made, process, folder / "log"))
            yield made
        finally:
            process.terminate()


def _discovered(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Give what `kubernetes_sd_configs` with the role `pod` does: a target for each port of a container."""
    for pod in json.loads(cluster.kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]:
        metadata, labels = pod["metadata"], dict[str, str]()
        labels |= {"__meta_kubernetes_namespace": metadata["namespace"], f"{POD}_name": metadata["name"]}
        for kind in ("label", "annotation"):
            for name, value in metadata.get(f"{kind}s", {}).items():
                labels[f"{POD}_{kind}_{re.sub('[^a-zA-Z0-9_]', '_', name)}"] = value
        address = pod["status"].get("podIP")  # one that waits for a node has none
        for container in pod["spec"]["containers"] if address else ():
            for port in container.get("ports", ()):
                yield {"targets": [f"{address}:{port['containerPort']}"], "labels": labels}


def _ready(made: Prometheus, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"{made.url}/-/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False
