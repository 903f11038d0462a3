"""The one router of a cluster: its pods, its address, what it may read and who may reach it.

Namespace and cluster-wide names are fixed, so that a second router fails when it is created.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import pods
from slipway.settings import Router as RouterSettings
from slipway.spec import MAX_TIMEOUT_MS, ROUTER_NAMESPACE

NAME = "slipway-router"
ADMIN_PORT = 8081
RUN_DIR = "/run/slipway"
GRACE_SECONDS = 2 * MAX_TIMEOUT_MS // 1000 + 150
"""The longest wait and scoring that a web service can ask for, and the slowest upload and answer."""
READS = {("apps", "deployments"), ("discovery.k8s.io", "endpointslices")}
"""What the router watches in every namespace, as (API group, resource)."""


@dataclass(frozen=True)
class RouterArgs:
    """Arguments of `Router`."""

    settings: RouterSettings
    image: pulumi.Input[str]


class Router(pulumi.ComponentResource):
    """Deployment, Service, identity, roles, disruption budget and NetworkPolicy of the router."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: RouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Router", name, {}, opts)
        labels = pods.labels(NAME, "router")
        selector = {pods.NAME: NAME}
        child = pods.children(self, opts)
        here = pods.metadata(NAME, ROUTER_NAMESPACE, labels)

        account = k8s.core.v1.ServiceAccount(name, metadata=here, opts=child)
        bound = self._permissions(name, labels, child)
        k8s.apps.v1.Deployment(
            name,
            metadata=here,
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=args.settings.replicas or 3,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
                strategy=pods.rolling_update(),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels),
                    spec=_pod(args, selector),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[account, *bound])),
        )
        service = k8s.core.v1.Service(
            name,
            metadata=here,
            spec=k8s.core.v1.ServiceSpecArgs(
                type=args.settings.service_type,
                selector=selector,
                ports=[k8s.core.v1.ServicePortArgs(name="http", port=80, target_port="http")],
            ),
            opts=child,
        )
        k8s.policy.v1.PodDisruptionBudget(
            name,
            metadata=here,
            spec=k8s.policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector)
            ),
            opts=child,
        )
        k8s.networking.v1.NetworkPolicy(
            name,
            metadata=here,
            spec=k8s.networking.v1.NetworkPolicySpecArgs(
                pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
                policy_types=["Ingress"],
                ingress=[
                    k8s.networking.v1.NetworkPolicyIngressRuleArgs(  # anyone, but only to requests' port
                        ports=[k8s.networking.v1.NetworkPolicyPortArgs(port="http", protocol="TCP")]
                    )
                ],
            ),
            opts=child,
        )
        self.url = service.status.apply(router_url)
        self.register_outputs({"url": self.url})

    def _permissions(
        self, name: str, labels: dict[str, str], child: pulumi.ResourceOptions
    ) -> list[pulumi.Resource]:
        rbac = k8s.rbac.v1
        verbs = ["list", "watch"]
        here, everywhere = pods.metadata(NAME, ROUTER_NAMESPACE, labels), pods.metadata(NAME, None, labels)
        subject = rbac.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=ROUTER_NAMESPACE)
        group = "rbac.authorization.k8s.io"
        secrets = rbac.PolicyRuleArgs(api_groups=[""], resources=["secrets"], verbs=verbs)
        reads = [
            rbac.PolicyRuleArgs(api_groups=[of], resources=[resource], verbs=verbs)
            for of, resource in sorted(READS)
        ]
        role = rbac.Role(name, metadata=here, rules=[secrets], opts=child)
        cluster_role = rbac.ClusterRole(name, metadata=everywhere, rules=reads, opts=child)
        return [
            rbac.RoleBinding(
                name,
                metadata=here,
                role_ref=rbac.RoleRefArgs(api_group=group, kind="Role", name=NAME),
                subjects=[subject],
                opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[role])),
            ),
            rbac.ClusterRoleBinding(
                name,
                metadata=everywhere,
                role_ref=rbac.RoleRefArgs(api_group=group, kind="ClusterRole", name=NAME),
                subjects=[subject],
                opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[cluster_role])),
            ),
        ]


def router_peer() -> k8s.networking.v1.NetworkPolicyPeerArgs:
    """Name the router's pods in another pod's NetworkPolicy."""
    namespace = {"kubernetes.io/metadata.name": ROUTER_NAMESPACE}
    return k8s.networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=namespace),
        pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={pods.NAME: NAME}),
    )


def router_url(status: k8s.core.v1.outputs.ServiceStatus | None) -> str:
    """Give the address of a load balancer where there is one, else the name inside the cluster."""
    balancer = status.load_balancer if status else None
    for ingress in (balancer.ingress if balancer else None) or []:
        if ingress.ip or ingress.hostname:
            return f"http://{ingress.ip or ingress.hostname}"
    return f"http://{NAME}.{ROUTER_NAMESPACE}.svc"


def _pod(args: RouterArgs, selector: dict[str, str]) -> k8s.core.v1.PodSpecArgs:
    settings = args.settings
    quantities = {
        "cpu": pods.cpu(settings.cpu_cores or 0.5),
        "memory": pods.memory(settings.memory_gb or 0.5),
    }
    variables = {
        "PORT": str(settings.port),
        "ADMIN_PORT": str(ADMIN_PORT),
        "MINIMUM_UPLOAD_RATE": str(settings.minimum_upload_rate),
        "SLIPWAY_RUN_DIR": RUN_DIR,
        "TMPDIR": RUN_DIR,
    }
    probe = k8s.core.v1.ProbeArgs
    return k8s.core.v1.PodSpecArgs(
        service_account_name=NAME,
        enable_service_links=False,
        security_context=pods.pod_security(),
        termination_grace_period_seconds=GRACE_SECONDS,
        topology_spread_constraints=[pods.spread(selector)],
        containers=[
            k8s.core.v1.ContainerArgs(
                name="router",
                image=args.image,
                ports=[
                    k8s.core.v1.ContainerPortArgs(name="http", container_port=settings.port),
                    k8s.core.v1.ContainerPortArgs(name="admin", container_port=ADMIN_PORT),
                ],
                env=[
                    pods.variable_of_pod("POD_NAME", "metadata.name"),
                    pods.variable_of_pod("POD_NAMESPACE", "metadata.namespace"),
                    pods.variable_of_pod("POD_IP", "status.podIP"),
                    *(pods.variable(key, value) for key, value in variables.items()),
                ],
                resources=k8s.core.v1.ResourceRequirementsArgs(
                    requests=quantities, limits={"memory": quantities["memory"]}
                ),
                security_context=pods.container_security(),
                liveness_probe=probe(
                    http_get=k8s.core.v1.HTTPGetActionArgs(path="/", port="admin"),
                    period_seconds=10,
                    timeout_seconds=2,
                    failure_threshold=3,
                ),
                readiness_probe=probe(
                    http_get=k8s.core.v1.HTTPGetActionArgs(path="/ready", port="admin"),
                    period_seconds=1,
                    timeout_seconds=2,
                    failure_threshold=3,
                ),
                volume_mounts=[k8s.core.v1.VolumeMountArgs(name="run", mount_path=RUN_DIR)],
            )
        ],
        volumes=[
            k8s.core.v1.VolumeArgs(
                name="run", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(medium="Memory")
            )
        ],
    )
