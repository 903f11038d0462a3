"""Where an API server keeps the objects of a kind."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """Where the API server keeps a kind."""

    api_version: str
    plural: str

    @property
    def root(self) -> str:
        """Give the path of its API."""
        return f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"


RESOURCES = {
    "Deployment": Resource("apps/v1", "deployments"),
    "EndpointSlice": Resource("discovery.k8s.io/v1", "endpointslices"),
    "Event": Resource("v1", "events"),
    "Event.events.k8s.io": Resource("events.k8s.io/v1", "events"),
    "HorizontalPodAutoscaler": Resource("autoscaling/v2", "horizontalpodautoscalers"),
    "Node": Resource("v1", "nodes"),
    "Pod": Resource("v1", "pods"),
    "ReplicaSet": Resource("apps/v1", "replicasets"),
    "Secret": Resource("v1", "secrets"),
    "Service": Resource("v1", "services"),
    "SubjectAccessReview": Resource("authorization.k8s.io/v1", "subjectaccessreviews"),
    "TokenReview": Resource("authentication.k8s.io/v1", "tokenreviews"),
}
"""The kinds that are asked for, as kubectl calls them: with the group where the name does not do."""


def path_of(kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """Give the path of a kind's objects, or of one, or of a part of it."""
    resource = RESOURCES[kind]
    parts = [
        resource.root,
        *(["namespaces", namespace] if namespace else []),
        resource.plural,
        name,
        subresource,
    ]
    return "/".join(part for part in parts if part)
