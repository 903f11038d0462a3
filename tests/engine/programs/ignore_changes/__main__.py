"""Changes to ignore: paths, lists, names that are written otherwise in Python."""

# pyright: basic

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

metadata = k8s.meta.v1.ObjectMetaArgs(name="app", namespace="default")
labels = {"app": "app"}
k8s.apps.v1.Deployment(
    "app",
    metadata=metadata,
    spec=k8s.apps.v1.DeploymentSpecArgs(
        replicas=3,
        selector=k8s.meta.v1.LabelSelectorArgs(match_labels=labels),
        template=k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
            spec=k8s.core.v1.PodSpecArgs(
                enable_service_links=False,
                containers=[
                    k8s.core.v1.ContainerArgs(
                        name="app", image="app:1", env=[k8s.core.v1.EnvVarArgs(name="A", value="b")]
                    )
                ],
            ),
        ),
    ),
    opts=pulumi.ResourceOptions(ignore_changes=["spec.replicas", 'metadata.annotations["a.b/c"]']),
)
k8s.core.v1.Secret(
    "keys",
    metadata=k8s.meta.v1.ObjectMetaArgs(name="keys", namespace="default"),
    string_data={"a": "b"},
    opts=pulumi.ResourceOptions(ignore_changes=["data", "string_data", "stringData"]),
)
random.RandomString(
    "string", length=4, opts=pulumi.ResourceOptions(ignore_changes=["override_special", "keepers"])
)
