"""What every pod of ours is: labelled, spread over nodes, and within Pod Security `restricted`."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as k8s

from slipway.images.recipe import USER

NAME = "app.kubernetes.io/name"


def labels(name: str, component: str) -> dict[str, str]:
    """Give the labels that Kubernetes recommends."""
    return {NAME: name, "app.kubernetes.io/component": component, "app.kubernetes.io/managed-by": "slipway"}


def metadata(
    name: str, namespace: str | None, labels: dict[str, str], annotations: dict[str, str] | None = None
) -> k8s.meta.v1.ObjectMetaArgs:
    """Name an object for good: Pulumi adds no random suffix to it."""
    return k8s.meta.v1.ObjectMetaArgs(
        name=name, namespace=namespace, labels=labels, annotations=annotations or None
    )


def children(parent: pulumi.Resource, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Options of a component's children; what the component depends on, they depend on."""
    return pulumi.ResourceOptions(parent=parent, depends_on=opts.depends_on if opts else None)


def pod_security() -> k8s.core.v1.PodSecurityContextArgs:
    """Run as nobody special, with the container runtime's system call filter."""
    return k8s.core.v1.PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=USER,
        run_as_group=USER,
        fs_group=USER,
        seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
    )


def container_security() -> k8s.core.v1.SecurityContextArgs:
    """Hold no capability and write nowhere but to mounted volumes."""
    return k8s.core.v1.SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
    )


def spread(match: dict[str, str]) -> k8s.core.v1.TopologySpreadConstraintArgs:
    """Prefer different nodes for the pods that match."""
    return k8s.core.v1.TopologySpreadConstraintArgs(
        max_skew=1,
        topology_key="kubernetes.io/hostname",
        when_unsatisfiable="ScheduleAnyway",
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=match),
    )


def rolling_update() -> k8s.apps.v1.DeploymentStrategyArgs:
    """Replace one pod at a time, the new one ready before the old one goes."""
    return k8s.apps.v1.DeploymentStrategyArgs(
        type="RollingUpdate",
        rolling_update=k8s.apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
    )


def variable(name: str, value: str) -> k8s.core.v1.EnvVarArgs:
    """Give an environment variable its value."""
    return k8s.core.v1.EnvVarArgs(name=name, value=literal(value))


def literal(text: str) -> str:
    """Write a text so that a process gets it as it is: Kubernetes would replace `$(NAME)` and `$$`."""
    return text.replace("$", "$$")


def variable_of_pod(name: str, path: str) -> k8s.core.v1.EnvVarArgs:
    """Give an environment variable what the pod is told of itself."""
    source = k8s.core.v1.ObjectFieldSelectorArgs(field_path=path)
    return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(field_ref=source))


def variable_of_secret(name: str, secret: str, key: str) -> k8s.core.v1.EnvVarArgs:
    """Give an environment variable what a Secret of the pod's namespace holds."""
    source = k8s.core.v1.SecretKeySelectorArgs(name=secret, key=key)
    return k8s.core.v1.EnvVarArgs(name=name, value_from=k8s.core.v1.EnvVarSourceArgs(secret_key_ref=source))


def cpu(cores: float) -> str:
    """Write cores as a Kubernetes quantity: 0.1 is `100m`."""
    return f"{round(cores * 1000)}m"


def memory(gigabytes: float) -> str:
    """Write v1's gigabytes, which are powers of two, as a Kubernetes quantity: 0.5 is `512Mi`."""
    return f"{round(gigabytes * 1024)}Mi"
