"""One web service in a cluster: its replicas, how they are found, its keys and who may reach them.

Replicas of an autoscaled service belong to the router after the first deployment, and so do the keys of
every service; both are told to Pulumi as changes to ignore. A fixed number stays Pulumi's own, by force,
so that a service can go from the one to the other and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random
from pydantic import SecretStr

from components import pods
from components.router import router_peer
from components.storage import (
    FOLDER,
    SPOOL_FOLDER,
    UPLOAD_SECONDS,
    Storage,
    fetch_models,
    upload_volumes,
    uploader,
)
from slipway.collect.config import ENABLED, SAMPLING_RATE, SPOOL
from slipway.images.layout import ROOT, model_dir
from slipway.spec import KEY_LENGTH, KEY_RULE, ROUTER_NAMESPACE, SERVING, WEBSERVICE, WebserviceSpec, is_key

PORT = 5001
"""v1's port of a scoring container."""
INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"
"""The variable that Azure Monitor's exporter reads, and the key in the Secret that it comes from."""
GRACE_SECONDS = 15
"""Beyond the scoring timeout: time for the router to notice, and for a stuck `run` to be cut off."""


@dataclass(frozen=True)
class WebserviceArgs:
    """Arguments of `Webservice`; a key that neither they nor the spec give is made at random once.

    `storage` is where registered models come from and uploads go to, `workspace` Azure ML's variables of it.
    """

    spec: WebserviceSpec
    image: pulumi.Input[str]
    storage: Storage | None = None
    workspace: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    primary_key: pulumi.Input[str] | None = None
    secondary_key: pulumi.Input[str] | None = None
    insights: pulumi.Input[str] | None = None
    """connection string of Application Insights, where the service exports to it"""


class Webservice(pulumi.ComponentResource):
    """Deployment, Service, NetworkPolicy and, with keys, Secret of one web service.

    One that has versions is its Secret alone, and each version all of the rest.
    """

    def __init__(self, name: str, args: WebserviceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Webservice", name, {}, opts)
        spec = args.spec
        labels = pods.labels(spec.name, "webservice") | {WEBSERVICE: spec.name}
        child = pods.children(self, opts)
        if not spec.versions:
            self._deploy(name, args, labels, child)
        authenticated = spec.auth_enabled or spec.token_auth_enabled  # on one machine a token costs a key
        if authenticated and spec.endpoint == spec.name:
            k8s.core.v1.Secret(
                f"{name}-keys",
                metadata=pods.metadata(f"{spec.name}-keys", ROUTER_NAMESPACE, labels),
                string_data={
                    "primary": self._key(f"{name}-primary-key", args.primary_key, spec.primary_key),
                    "secondary": self._key(f"{name}-secondary-key", args.secondary_key, spec.secondary_key),
                },
                opts=pulumi.ResourceOptions.merge(
                    child, pulumi.ResourceOptions(ignore_changes=["data", "stringData"])
                ),
            )
        self.register_outputs({})

    def _deploy(
        self, name: str, args: WebserviceArgs, labels: dict[str, str], child: pulumi.ResourceOptions
    ) -> None:
        """Make what runs, how it is found and who may reach it."""
        spec = args.spec
        selector = {WEBSERVICE: spec.name}
        storage = args.storage if spec.uses_storage else None
        if spec.uses_storage and storage is None:
            raise pulumi.RunError(
                f"{spec.name}: models come from a storage and uploads go there; give `storage`"
            )
        ignored = None if spec.num_replicas else ["spec.replicas"]
        k8s.apps.v1.Deployment(
            name,
            metadata=pods.metadata(spec.name, spec.namespace, labels, _annotations(spec)),
            spec=k8s.apps.v1.DeploymentSpecArgs(
                replicas=spec.num_replicas or spec.autoscale_min_replicas,
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
                strategy=pods.rolling_update(),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(
                        labels=labels | (storage.labels if storage else {}),
                        annotations=(storage.annotations or None) if storage else None,
                    ),
                    spec=_pod(args, selector, storage),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(ignore_changes=ignored)),
        )
        k8s.core.v1.Service(
            name,
            metadata=pods.metadata(spec.name, spec.namespace, labels),
            spec=k8s.core.v1.ServiceSpecArgs(
                cluster_ip="None",  # the router goes to the pods themselves
                selector=selector,
                ports=[k8s.core.v1.ServicePortArgs(name="http", port=80, target_port="http")],
            ),
            opts=child,
        )
        k8s.networking.v1.NetworkPolicy(
            name,
            metadata=pods.metadata(spec.name, spec.namespace, labels),
            spec=k8s.networking.v1.NetworkPolicySpecArgs(
                pod_selector=k8s.meta.v1.LabelSelectorArgs(match_labels=selector),
                policy_types=["Ingress"],
                ingress=[
                    k8s.networking.v1.NetworkPolicyIngressRuleArgs(
                        from_=[router_peer()],
                        ports=[k8s.networking.v1.NetworkPolicyPortArgs(port="http", protocol="TCP")],
                    )
                ],
            ),
            opts=child,
        )
        if args.insights is not None:
            k8s.core.v1.Secret(
                f"{name}-insights",
                metadata=pods.metadata(f"{spec.name}-insights", spec.namespace, labels),
                string_data={INSIGHTS: pulumi.Output.secret(args.insights)},
                opts=child,
            )

    def _key(
        self, name: str, given: pulumi.Input[str] | None, of_spec: SecretStr | None
    ) -> pulumi.Input[str]:
        if given is None and of_spec is not None:
            given = of_spec.get_secret_value()
        if given is not None:
            return pulumi.Output.secret(given).apply(lambda text: usable_key(name, text))
        opts = pulumi.ResourceOptions(parent=self)
        return random.RandomPassword(name, length=KEY_LENGTH, special=False, opts=opts).result


def usable_key(name: str, text: str) -> str:
    """Give the text back if it can be a key. Raises `pulumi.RunError`, which does not repeat it."""
    if not is_key(text):
        raise pulumi.RunError(f"{name}: {KEY_RULE}")
    return text


def _annotations(spec: WebserviceSpec) -> dict[str, str]:
    annotations = {SERVING: spec.serving().model_dump_json()}
    if spec.num_replicas:
        annotations["pulumi.com/patchForce"] = "true"  # takes the field back from the router's scaling
    return annotations


def _pod(args: WebserviceArgs, selector: dict[str, str], storage: Storage | None) -> k8s.core.v1.PodSpecArgs:
    spec = args.spec
    requests = {"cpu": pods.cpu(spec.cpu_cores), "memory": pods.memory(spec.memory_gb)}
    limits = {"memory": pods.memory(spec.memory_gb_limit or spec.memory_gb)}
    if spec.cpu_cores_limit is not None:
        limits["cpu"] = pods.cpu(spec.cpu_cores_limit)
    if spec.gpu_cores:
        limits[spec.accelerator] = str(spec.gpu_cores)
    own = {
        "PORT": str(PORT),
        "SERVICE_NAME": spec.name,
        "SCORING_TIMEOUT_MS": str(spec.scoring_timeout_ms),
        "REPLICA_MAX_CONCURRENT_REQUESTS": str(spec.replica_max_concurrent_requests),
        "TMPDIR": "/tmp",  # noqa: S108  # the mounted volume, the one place that can be written to
    }
    if spec.max_batch_size > 1:
        own |= {"MAX_BATCH_SIZE": str(spec.max_batch_size), "BATCH_WAIT_MS": str(spec.batch_wait_ms)}
    volumes = [k8s.core.v1.VolumeArgs(name="tmp", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs())]
    mounts = [k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")]  # noqa: S108
    first: list[k8s.core.v1.ContainerArgs] = []
    workspace: Mapping[str, pulumi.Input[str]] = {}
    grace = -(-spec.scoring_timeout_ms // 1000) + GRACE_SECONDS
    if storage is not None and spec.registered_models:
        first.append(fetch_models(spec, storage, dict(requests)))
        own["AZUREML_MODEL_DIR"] = model_dir(spec.registered_models, ROOT)
        requests["ephemeral-storage"] = pods.memory(spec.model_volume_gb)
        empty = k8s.core.v1.EmptyDirVolumeSourceArgs()
        volumes.append(k8s.core.v1.VolumeArgs(name="models", empty_dir=empty))
        mounts.append(k8s.core.v1.VolumeMountArgs(name="models", mount_path=FOLDER, read_only=True))
    if storage is not None and spec.uploads:
        first.append(uploader(spec, storage))
        for volume, mount in upload_volumes(spec):
            volumes.append(volume)
            mounts.append(mount)
        grace += UPLOAD_SECONDS
    if spec.collect_model_data:
        own |= {ENABLED: "true", SPOOL: SPOOL_FOLDER, SAMPLING_RATE: f"{spec.data_collector.sampling_rate:g}"}
        workspace = args.workspace
    if spec.enable_app_insights:
        own["AML_APP_INSIGHTS_ENABLED"] = "true"
    variables = own | spec.environment.environment_variables
    return k8s.core.v1.PodSpecArgs(
        service_account_name=storage.service_account if storage is not None else None,
        automount_service_account_token=False,
        enable_service_links=False,
        security_context=pods.pod_security(),
        termination_grace_period_seconds=grace,
        topology_spread_constraints=[pods.spread(selector)],
        tolerations=_tolerations(spec),
        init_containers=first or None,
        containers=[
            k8s.core.v1.ContainerArgs(
                name="scoring",
                image=args.image,
                args=[pods.literal(text) for text in spec.arguments] or None,
                ports=[k8s.core.v1.ContainerPortArgs(name="http", container_port=PORT)],
                env=[
                    pods.variable_of_pod("POD_IP", "status.podIP"),
                    *(pods.variable(key, value) for key, value in variables.items()),
                    *(k8s.core.v1.EnvVarArgs(name=key, value=value) for key, value in workspace.items()),
                    *(
                        [pods.variable_of_secret(INSIGHTS, f"{spec.name}-insights", INSIGHTS)]
                        if args.insights is not None
                        else ()
                    ),
                ],
                resources=k8s.core.v1.ResourceRequirementsArgs(requests=requests, limits=limits),
                security_context=pods.container_security(),
                liveness_probe=k8s.core.v1.ProbeArgs(
                    http_get=k8s.core.v1.HTTPGetActionArgs(path="/", port="http"),
                    period_seconds=spec.period_seconds,
                    initial_delay_seconds=spec.initial_delay_seconds,
                    timeout_seconds=spec.timeout_seconds,
                    success_threshold=spec.success_threshold,
                    failure_threshold=spec.failure_threshold,
                ),
                readiness_probe=k8s.core.v1.ProbeArgs(
                    http_get=k8s.core.v1.HTTPGetActionArgs(path="/ready", port="http"),
                    period_seconds=1,
                    timeout_seconds=spec.timeout_seconds,
                    failure_threshold=spec.failure_threshold,
                ),
                volume_mounts=mounts,
            )
        ],
        volumes=volumes,
    )


def _tolerations(spec: WebserviceSpec) -> list[k8s.core.v1.TolerationArgs] | None:
    """Let a service that asks for accelerators onto the nodes that keep everything else away."""
    if not spec.gpu_cores:
        return None
    return [k8s.core.v1.TolerationArgs(key=spec.accelerator, operator="Exists", effect="NoSchedule")]
