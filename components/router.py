"""The one router of a cluster: its pods, its address, what it may read and who may reach it.

Its load balancer is public, or stands inside the network at a fixed address. Namespace and cluster-wide
names are fixed, so that a second router fails when it is created.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import pods, tls
from slipway.settings import Router as RouterSettings
from slipway.sizing.router import RouterSize
from slipway.spec import (
    AUTHORITY_SECRET,
    MAX_TIMEOUT_MS,
    ROUTER_NAMESPACE,
    SCALES_ITSELF,
    SIZE_VARIABLES,
    TOKEN_KEYS_SECRET,
)

NAME = "slipway-router"
TLS_PORT = 8443
ADMIN_PORT = 8081
PEER_PORT = 8444
RUN_DIR = "/run/slipway"
GRACE_SECONDS = 2 * MAX_TIMEOUT_MS // 1000 + 200
"""The longest wait and scoring that a web service can ask for, and the slowest upload and answer."""
ANNOTATIONS = {
    # AKS then tells the pod the API server's name, which a firewall can let pass; nobody else reads it.
    "kubernetes.azure.com/set-kube-service-host-fqdn": "true",
    # What a Prometheus, Azure's too, is commonly set up to look for.
    "prometheus.io/scrape": "true",
    "prometheus.io/port": str(ADMIN_PORT),
}
RIGHTS = {
    ("", "pods"): ("list", "watch"),
    ("apps", "deployments"): ("list", "watch"),
    ("apps", "deployments/scale"): ("patch",),
    ("authentication.k8s.io", "tokenreviews"): ("create",),
    ("authorization.k8s.io", "subjectaccessreviews"): ("create",),
    ("autoscaling", "horizontalpodautoscalers"): ("list", "watch"),
    ("discovery.k8s.io", "endpointslices"): ("list", "watch"),
    ("events.k8s.io", "events"): ("create", "patch"),
}
"""What the router may do in every namespace, by (API group, resource): no more than it does."""
RIGHTS_AT_HOME = {("", "secrets"): ("list", "watch", "create")}
"""What it may do in its own."""
RIGHTS_OVER_ITS_OWN = {("", "secrets"): ("update",)}
"""The same, but only of those that it keeps itself: `OWN_SECRETS`."""
RIGHTS_TO_SCALE_ITSELF = {("", "pods/resize"): ("patch",)}
"""What it may do there, too, where it scales itself."""
OWN_SECRETS = (AUTHORITY_SECRET, TOKEN_KEYS_SECRET)


@dataclass(frozen=True)
class InternalAddress:
    """Where an internal load balancer stands: the name of a subnet, and its address there if one is fixed."""

    subnet: str
    ip: str | None


@dataclass(frozen=True)
class RouterArgs:
    """Arguments of `Router`; `host` is the name that clients know, where there is one."""

    settings: RouterSettings
    image: pulumi.Input[str]
    size: RouterSize
    host: str | None = None
    internal: InternalAddress | None = None
    certificate: tls.Certificate | tls.VaultCertificate | None = None


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
        needed: list[pulumi.Resource] = [account, *self._permissions(name, args, labels, child)]
        volume: k8s.core.v1.VolumeArgs | None = None
        if args.certificate is not None:
            source, volume = tls.source(args.certificate, name, labels, child)
            needed.append(source)
        k8s.apps.v1.Deployment(
            name,
            metadata=pods.metadata(NAME, ROUTER_NAMESPACE, labels, _annotations(args.size)),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=args.size.replicas,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
                strategy=pods.rolling_update(),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels, annotations=ANNOTATIONS),
                    spec=_pod(args, selector, volume),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                child,
                pulumi.ResourceOptions(
                    depends_on=needed, ignore_changes=["spec.replicas"] if args.size.scales else None
                ),
            ),
        )
        encrypts = args.settings.tls is not None and args.settings.tls.encrypts
        ports = {"http": 80} | ({"https": 443} if encrypts else {})
        service = k8s.core.v1.Service(
            name,
            metadata=pods.metadata(NAME, ROUTER_NAMESPACE, labels, _load_balancer(args)),
            spec=k8s.core.v1.ServiceSpecArgs(
                type=args.settings.service_type,
                selector=selector,
                ports=[
                    k8s.core.v1.ServicePortArgs(name=port, port=number, target_port=port)
                    for port, number in ports.items()
                ],
            ),
            opts=child,
        )
        # The routers find each other, and their ports, by its EndpointSlices; it has no address.
        k8s.core.v1.Service(
            f"{name}-peers",
            metadata=pods.metadata(f"{NAME}-peers", ROUTER_NAMESPACE, labels),
            spec=k8s.core.v1.ServiceSpecArgs(
                cluster_ip="None",
                selector=selector,
                ports=[
                    k8s.core.v1.ServicePortArgs(name=port, port=number, target_port=port)
                    for port, number in {"admin": ADMIN_PORT, "peer": PEER_PORT}.items()
                ],
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
                    k8s.networking.v1.NetworkPolicyIngressRuleArgs(  # anyone, but only to requests' ports
                        ports=[
                            k8s.networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP")
                            for port in ports
                        ]
                    ),
                    k8s.networking.v1.NetworkPolicyIngressRuleArgs(  # `slipway status`, what collects metrics
                        from_=[_cluster_services(), router_peer()],  # who tell each other their loads
                        ports=[k8s.networking.v1.NetworkPolicyPortArgs(port="admin", protocol="TCP")],
                    ),
                    k8s.networking.v1.NetworkPolicyIngressRuleArgs(  # requests, to who owns their service
                        from_=[router_peer()],
                        ports=[k8s.networking.v1.NetworkPolicyPortArgs(port="peer", protocol="TCP")],
                    ),
                ],
            ),
            opts=child,
        )
        scheme = "https" if encrypts else "http"
        host = args.host
        self.url = (
            service.status.apply(router_url)
            if host is None
            else pulumi.Output.from_input(f"{scheme}://{host}")
        )
        self.register_outputs({"url": self.url})

    def _permissions(
        self, name: str, args: RouterArgs, labels: dict[str, str], child: pulumi.ResourceOptions
    ) -> list[pulumi.Resource]:
        rbac = k8s.rbac.v1
        here, everywhere = pods.metadata(NAME, ROUTER_NAMESPACE, labels), pods.metadata(NAME, None, labels)
        subject = rbac.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=ROUTER_NAMESPACE)
        group = "rbac.authorization.k8s.io"
        at_home = RIGHTS_AT_HOME | (RIGHTS_TO_SCALE_ITSELF if args.size.scales else {})
        rules = [*_rules(at_home), *_rules(RIGHTS_OVER_ITS_OWN, OWN_SECRETS)]
        role = rbac.Role(name, metadata=here, rules=rules, opts=child)
        cluster_role = rbac.ClusterRole(name, metadata=everywhere, rules=_rules(RIGHTS), opts=child)
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


def _rules(
    rights: Mapping[tuple[str, str], Sequence[str]], names: Sequence[str] = ()
) -> list[k8s.rbac.v1.PolicyRuleArgs]:
    return [
        k8s.rbac.v1.PolicyRuleArgs(
            api_groups=[group], resources=[resource], verbs=list(verbs), resource_names=list(names) or None
        )
        for (group, resource), verbs in rights.items()
    ]


def router_peer() -> k8s.networking.v1.NetworkPolicyPeerArgs:
    """Name the router's pods in another pod's NetworkPolicy."""
    namespace = {"kubernetes.io/metadata.name": ROUTER_NAMESPACE}
    return k8s.networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=namespace),
        pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={pods.NAME: NAME}),
    )


def _cluster_services() -> k8s.networking.v1.NetworkPolicyPeerArgs:
    """Name the pods that come with a cluster: an API server's way in (konnectivity), Azure Monitor."""
    namespace = {"kubernetes.io/metadata.name": "kube-system"}
    return k8s.networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=namespace)
    )


def router_url(status: k8s.core.v1.outputs.ServiceStatus | None) -> str:
    """Give the address of a load balancer where there is one, else the name inside the cluster."""
    balancer = status.load_balancer if status else None
    for ingress in (balancer.ingress if balancer else None) or []:
        if ingress.ip or ingress.hostname:
            return f"http://{ingress.ip or ingress.hostname}"
    return f"http://{NAME}.{ROUTER_NAMESPACE}.svc"


def _annotations(size: RouterSize) -> dict[str, str]:
    """Say who owns the number of pods: the router, or this program, which takes it back from there."""
    return {SCALES_ITSELF: "true"} if size.scales else {"pulumi.com/patchForce": "true"}


def _load_balancer(args: RouterArgs) -> dict[str, str]:
    """Say to Azure's cloud provider what kind of load balancer the Service is."""
    azure = "service.beta.kubernetes.io/azure"
    annotations: dict[str, str] = {}
    if args.internal is not None:
        annotations[f"{azure}-load-balancer-internal"] = "true"
        annotations[f"{azure}-load-balancer-internal-subnet"] = args.internal.subnet
        if args.internal.ip is not None:
            annotations[f"{azure}-load-balancer-ipv4"] = args.internal.ip
    if args.settings.tls is not None and args.settings.tls.leaf_domain_label is not None:
        annotations[f"{azure}-dns-label-name"] = args.settings.tls.leaf_domain_label
    return annotations


def _pod(
    args: RouterArgs, selector: dict[str, str], certificates: k8s.core.v1.VolumeArgs | None
) -> k8s.core.v1.PodSpecArgs:
    settings, size = args.settings, args.size
    requests = {"cpu": f"{size.pod.cpu}m", "memory": f"{size.pod.memory}Mi"}
    limits = {"memory": f"{size.limit.memory}Mi"} | ({"cpu": f"{size.limit.cpu}m"} if size.limit.cpu else {})
    variables = {
        "PORT": str(settings.port),
        "ADMIN_PORT": str(ADMIN_PORT),
        "PEER_PORT": str(PEER_PORT),
        "MINIMUM_UPLOAD_RATE": str(settings.minimum_upload_rate),
        "ACCESS_LOG_RATE": str(settings.access_log_rate),
        "ROUTER_MEMORY": str(size.limit.memory),
        "SLIPWAY_RUN_DIR": RUN_DIR,
        "TMPDIR": RUN_DIR,
    }
    if size.scales:
        numbers = (size.replicas, size.pod.cpu, size.limit.cpu)
        variables |= dict(zip(SIZE_VARIABLES, map(str, numbers), strict=True))
    ports = {"http": settings.port, "admin": ADMIN_PORT, "peer": PEER_PORT}
    memory = k8s.core.v1.EmptyDirVolumeSourceArgs(medium="Memory")
    volumes = [k8s.core.v1.VolumeArgs(name="run", empty_dir=memory)]
    mounts = [k8s.core.v1.VolumeMountArgs(name="run", mount_path=RUN_DIR)]
    if settings.tls is not None and settings.tls.encrypts:
        ports["https"] = TLS_PORT
        variables |= tls.variables(settings.tls, args.host, TLS_PORT)
    if certificates is not None:
        volumes.append(certificates)
        mounts.append(k8s.core.v1.VolumeMountArgs(name="tls", mount_path=tls.FOLDER, read_only=True))
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
                    k8s.core.v1.ContainerPortArgs(name=name, container_port=number)
                    for name, number in ports.items()
                ],
                env=[
                    pods.variable_of_pod("POD_NAME", "metadata.name"),
                    pods.variable_of_pod("POD_NAMESPACE", "metadata.namespace"),
                    pods.variable_of_pod("POD_IP", "status.podIP"),
                    *(pods.variable(key, value) for key, value in variables.items()),
                ],
                resources=k8s.core.v1.ResourceRequirementsArgs(requests=requests, limits=limits),
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
                    timeout_seconds=1,
                    failure_threshold=3,
                ),
                volume_mounts=mounts,
            )
        ],
        volumes=volumes,
    )
