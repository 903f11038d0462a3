"""Stacks without Azure for tests of their graphs, and projects around them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from slipway.engine import Graph, run
from tests.unit.stack_text import answer, make

PROJECT = Path(__file__).parents[2]
BASE = "organization/slipway/base"
SECURE = {"secure": "v1:abc:def"}
LOCAL: dict[str, Any] = {
    "slipway:kubernetes": {"context": "kind-slipway"},
    "slipway:router": {"replicas": 1},
    "slipway:webservices": [
        {
            "name": "diabetes",
            "source_directory": "examples/diabetes",
            "entry_script": "score.py",
            "models": ["examples/diabetes/model.joblib"],
            "environment": {"requirements": "requirements.txt"},
            "num_replicas": 2,
        }
    ],
}
VARIETY: dict[str, Any] = {
    "slipway:kubernetes": {"context": "test", "kubeconfig": "kubeconfig.yaml"},
    "slipway:router": {"image": "registry/router@sha256:1", "port": 9090, "service_type": "ClusterIP"},
    "slipway:webservices": [
        {
            "name": "scaled",
            "source_directory": "examples/echo",
            "entry_script": "score.py",
            "arguments": ["--greeting", "hello world"],
            "models": ["examples/diabetes/model.joblib"],
            "environment": {"environment_variables": {"MODE": "test"}},
            "namespace": "team-a",
            "autoscale_min_replicas": 2,
            "replica_max_concurrent_requests": 4,
            "max_batch_size": 4,
            "cpu_cores": 0.5,
            "cpu_cores_limit": 2.0,
            "memory_gb": 1.5,
            "memory_gb_limit": 3.0,
            "gpu_cores": 1,
            "scoring_timeout_ms": 1500,
            "initial_delay_seconds": 20,
        },
        {
            "name": "open-image",
            "environment": {"image": "registry/open@sha256:2"},
            "num_replicas": 3,
            "auth_enabled": False,
            "namespace": "team-a",
        },
        {
            "name": "collecting",
            "source_directory": "examples/echo",
            "entry_script": "score.py",
            "collect_model_data": True,
            "data_collector": {"sampling_rate": 0.25},
            "upload_outputs": True,
            "num_replicas": 1,
            "auth_enabled": False,
        },
        {
            "name": "registered",
            "environment": {"image": "registry/open@sha256:2"},
            "models": ["azureml:big:3", "azureml:small:1"],
            "model_volume_gb": 4,
            "num_replicas": 1,
            "auth_enabled": False,
        },
    ],
}


def project_with(folder: Path, config: Mapping[str, Any], stack: str = "test") -> Path:
    for name in ("__main__.py", "Pulumi.yaml"):
        shutil.copy(PROJECT / name, folder / name)
    for name in ("components", "examples"):
        (folder / name).symlink_to(PROJECT / name)
    (folder / "stacks").mkdir()
    (folder / "stacks" / f"Pulumi.{stack}.yaml").write_text(
        yaml.safe_dump({"config": config}), encoding="utf-8"
    )
    return folder


def on_a_platform(folder: Path, config: Mapping[str, Any], **known: str) -> Graph:
    """Run a stack of layer services on what one of layer platform gives, in which some outputs are known."""
    project = project_with(folder, {**config, "slipway:layer": "platform"}, "base")
    platform = run(project, "base", resolve=make, invoke=answer).outputs
    services = {**config, "slipway:layer": "services", "slipway:platform_stack": BASE}
    (project / "stacks" / "Pulumi.test.yaml").write_text(
        yaml.safe_dump({"config": services}), encoding="utf-8"
    )
    return run(project, "test", stacks={BASE: platform | known})
