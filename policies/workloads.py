"""What no pod may be: of an image from elsewhere, without limits, beyond Pod Security, scaled by two."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.graph import Inputs, Resource, Stack, at, known, many
from policies.rule import resource_rule, stack_rule
from slipway.problems import problem
from slipway.settings.derived import login_server
from slipway.spec import AFTER_BUILD, DEVICE_PLUGIN_NAMESPACE, WEBSERVICE

DAEMON_SET = "kubernetes:apps:DaemonSet"
DEPLOYMENT = "kubernetes:apps:Deployment"
NAMESPACE = "kubernetes:core:Namespace"
DIGEST = re.compile(r"[^@]+@sha256:[0-9a-f]{64}")
RESTRICTED = "pod-security.kubernetes.io/enforce"
PODS: Mapping[str, tuple[str, ...]] = {
    "kubernetes:core:Pod": (),
    "kubernetes:core:PodTemplate": ("template",),
    "kubernetes:batch:CronJob": ("spec", "jobTemplate", "spec", "template"),
    **{
        f"kubernetes:{kind}": ("spec", "template")
        for kind in (
            "apps:DaemonSet",
            "apps:Deployment",
            "apps:ReplicaSet",
            "apps:StatefulSet",
            "batch:Job",
            "core:ReplicationController",
        )
    },
}
"""Where each kind of object has its pod."""
MICROSOFT = "mcr.microsoft.com/"
SCALERS = (
    "kubernetes:autoscaling:HorizontalPodAutoscaler",
    "kubernetes:keda.sh:ScaledObject",
)


@stack_rule(
    "image-from-registry",
    "On Azure images come from the workspace's registry: what a cluster runs passed the registry's door. "
    "NVIDIA's device plugin may be Microsoft's, as all that AKS itself puts on nodes.",
    *PODS,
)
def image_from_registry(resource: Resource, stack: Stack) -> Iterator[str]:
    if stack.azure is None:
        return
    registry = login_server(stack.azure)
    for path, image in _foreign_images(resource, stack):
        if _is_device_plugin(resource, image, stack) and image.startswith(MICROSOFT):
            continue
        if not image.startswith(f"{registry}/"):
            remedy = f"import it: az acr import -n {registry.split('.', maxsplit=1)[0]} --source {image}"
            yield problem(path, image, f"is not in the workspace's registry {registry}", remedy)


@stack_rule(
    "image-by-digest",
    "Images are named by digest: a tag can be moved, and then replicas of one service differ. "
    "NVIDIA's device plugin may be named by a version.",
    *PODS,
)
def image_by_digest(resource: Resource, stack: Stack) -> Iterator[str]:
    # Without a registry an image of ours is named by a hash of what it is made from; on Azure there is one.
    images = _foreign_images(resource, stack) if stack.azure is None else _images(resource)
    for path, image in images:
        if (
            image != AFTER_BUILD
            and not DIGEST.fullmatch(image)
            and not _is_device_plugin(resource, image, stack)
        ):
            yield problem(path, image, "names no digest", "write NAME@sha256:...")


@resource_rule(
    "resources-set",
    "Containers request CPU and memory, by which nodes are counted, and limit memory; of CPU they may.",
    *PODS,
)
def resources_set(resource: Resource, _: Stack) -> Iterator[str]:
    for path, container in _containers(resource, "containers", "initContainers"):
        for field in ("requests.cpu", "requests.memory", "limits.memory"):
            if not at(container, "resources", *field.split(".")):
                yield f"{path}.resources.{field}: is not set; set it"


@resource_rule(
    "pod-security-restricted",
    "Every namespace enforces Pod Security `restricted`: a pod that escapes its container owns the node. "
    "`gpu-resources` does not: NVIDIA's device plugin needs a folder of the node, and stands there alone.",
    NAMESPACE,
    *PODS,
)
def pod_security_restricted(resource: Resource, stack: Stack) -> Iterator[str]:
    if resource.type == NAMESPACE:
        given = at(resource.inputs, "metadata", "labels", RESTRICTED)
        if given != "restricted" and at(resource.inputs, "metadata", "name") != DEVICE_PLUGIN_NAMESPACE:
            yield problem(f"metadata.labels.{RESTRICTED}", given, "is not restricted", "set it so")
    elif at(resource.inputs, "metadata", "namespace") == DEVICE_PLUGIN_NAMESPACE:
        for path, container in _containers(resource, "containers", "initContainers", "ephemeralContainers"):
            image = at(container, "image")
            if not _is_device_plugin(resource, image, stack):
                rule = f"is not the device plugin, and {DEVICE_PLUGIN_NAMESPACE} is for it alone"
                yield problem(f"{path}.image", image, rule, "choose another namespace")


@resource_rule(
    "no-service-account-token",
    "Scoring pods get no token of Kubernetes' API: a model's code is not the cluster's administrator.",
    *PODS,
)
def no_service_account_token(resource: Resource, _: Stack) -> Iterator[str]:
    if at(template(resource), "metadata", "labels", WEBSERVICE) is None:
        return
    field = "automountServiceAccountToken"
    given = at(template(resource), "spec", field)
    if given is not False:
        yield problem(field, given, "a token would be mounted", "set it to false")


@stack_rule(
    "one-autoscaler",
    "No HorizontalPodAutoscaler or KEDA ScaledObject on what the router scales: two of them undo each other.",
    *SCALERS,
)
def one_autoscaler(scaler: Resource, stack: Stack) -> Iterator[str]:
    reference = at(scaler.inputs, "spec", "scaleTargetRef")
    if (at(reference, "kind") or "Deployment") != "Deployment":
        return
    name, namespace = at(reference, "name"), at(scaler.inputs, "metadata", "namespace")
    for deployment in stack.of(DEPLOYMENT):
        metadata = known(deployment.inputs, "metadata")
        same = (known(metadata, "name"), known(metadata, "namespace")) == (name, namespace)
        if same and known(metadata, "labels", "app.kubernetes.io/managed-by") == "slipway":
            remedy = "remove this object; autoscale_min_replicas and autoscale_max_replicas are the bounds"
            yield problem("spec.scaleTargetRef.name", name, "is scaled by the router", remedy)


def template(resource: Resource) -> Inputs:
    """Give metadata and spec of the pod that an object makes."""
    return at(resource.inputs, *PODS[resource.type])


def _containers(resource: Resource, *kinds: str) -> Iterator[tuple[str, Any]]:
    spec = at(template(resource), "spec")
    for kind in kinds:
        for index, container in enumerate(many(spec, kind)):
            yield f"{kind}[{at(container, 'name') or index}]", container


def _is_device_plugin(resource: Resource, image: str, stack: Stack) -> bool:
    """Tell whether an image is the device plugin that the stack file names, where it may stand."""
    return (
        stack.azure is not None
        and image == stack.azure.cluster.nvidia_device_plugin
        and resource.type == DAEMON_SET
        and at(resource.inputs, "metadata", "namespace") == DEVICE_PLUGIN_NAMESPACE
    )


def _foreign_images(resource: Resource, stack: Stack) -> Iterator[tuple[str, str]]:
    """Give the images that this stack does not make itself."""
    for path, image in _images(resource):
        if image not in stack.images and image != AFTER_BUILD:
            yield path, image


def _images(resource: Resource) -> Iterator[tuple[str, str]]:
    for path, container in _containers(resource, "containers", "initContainers", "ephemeralContainers"):
        yield f"{path}.image", str(at(container, "image"))
