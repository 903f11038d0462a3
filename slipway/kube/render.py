"""Kubernetes objects as YAML, for `kubectl apply`, GitOps and tests against a cluster.

Objects come in the order in which a cluster can take them. What someone else owns is left out: the
replicas of an autoscaled Deployment, which are the router's, and Secrets, which only `render_secrets`
gives, to be created where they are absent and never applied over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

import yaml

from slipway.kube.folder import Object
from slipway.spec import SCALES_ITSELF, SERVING

ORDER = (
    "Namespace",
    "PriorityClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "Secret",
    "ConfigMap",
    "PersistentVolumeClaim",
    "Service",
    "DaemonSet",
    "Deployment",
    "PodDisruptionBudget",
    "NetworkPolicy",
)
"""Kinds in the order of creation; other kinds come last."""
PULUMI = "pulumi.com/"


def render(objects: Collection[Object]) -> str:
    """Give the YAML of all objects but Secrets."""
    return _yaml(rendered(objects))


def render_secrets(objects: Collection[Object]) -> str:
    """Give the YAML of the Secrets alone; for a file that only its owner can read."""
    return _yaml(_without_pulumi(obj) for obj in in_order(objects) if obj["kind"] == "Secret")


def rendered(objects: Iterable[Object]) -> list[Object]:
    """Give all objects but Secrets as they are to be applied, in order."""
    return [_as_applied(obj) for obj in in_order(objects) if obj["kind"] != "Secret"]


def in_order(objects: Iterable[Object]) -> list[Object]:
    """Sort objects as a cluster can take them, then by namespace and name."""
    return sorted(objects, key=_key)


def autoscaled(obj: Object) -> bool:
    """Tell whether the router owns the replicas of a Deployment."""
    annotations = obj.get("metadata", {}).get("annotations", {})
    if SCALES_ITSELF in annotations:
        return True
    serving = annotations.get(SERVING)
    return bool(serving) and json.loads(serving).get("autoscale_enabled") is True


def _key(obj: Object) -> tuple[int, str, str, str]:
    kind, metadata = obj["kind"], obj["metadata"]
    place = ORDER.index(kind) if kind in ORDER else len(ORDER)
    return place, kind, metadata.get("namespace", ""), metadata["name"]


def _as_applied(obj: Object) -> Object:
    obj = _without_pulumi(obj)
    if obj["kind"] == "Deployment" and autoscaled(obj):
        obj["spec"] = {name: value for name, value in obj["spec"].items() if name != "replicas"}
    return obj


def _without_pulumi(obj: Object) -> Object:
    """Copy an object without the annotations that only speak to Pulumi."""
    metadata: dict[str, Any] = dict(obj["metadata"])
    annotations: dict[str, str] = metadata.get("annotations") or {}
    metadata["annotations"] = {k: v for k, v in annotations.items() if not k.startswith(PULUMI)}
    return {**obj, "metadata": {name: value for name, value in metadata.items() if value != {}}}


def _yaml(objects: Iterable[Object]) -> str:
    return yaml.safe_dump_all(
        objects, explicit_start=True, sort_keys=False, allow_unicode=True, width=1_000_000
    )
