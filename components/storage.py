"""How pods of web services use the workspace's storage: a container fetches models, another one uploads.

On Azure a pod is an identity of Entra by its service account; what runs the model's code gets no token of it.
Elsewhere a Secret of the namespace, made by whoever runs the cluster, holds the account.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import pods
from slipway.collect.config import SPOOL
from slipway.images.layout import APP, MODELS, ROOT
from slipway.sizing.uploader import UPLOADER, UPLOADER_LIMIT_MIB
from slipway.spec import WebserviceSpec
from slipway.storage.names import BLOB_ENDPOINT, FETCH, MODELS_DIR, OUTPUTS, UPLOAD

SERVICE_ACCOUNT = "slipway-webservice"
SECRET = "azure-storage"  # noqa: S105  # its name
FOLDER = f"{ROOT}/{MODELS}"
SPOOL_FOLDER = "/var/slipway/spool"
SPOOL_SIZE = "512Mi"
"""Twice what the spool's files take: beyond it the node would evict the pod."""
OUTPUTS_FOLDER = f"{ROOT}/{APP}/outputs"
OUTPUTS_SIZE = "1Gi"
UPLOAD_SECONDS = 30
"""Of a pod's grace: for the rest of the uploads, once its scoring server has ended."""
FETCH_MEMORY_GB = 0.5
"""What the fetch may take beyond what a small service has: ten ranges on their way, each held twice."""
_IDENTITY = "azure.workload.identity"


@dataclass(frozen=True)
class Storage:
    """The storage as a pod reaches it: with Slipway's own image, at an endpoint that Azure's pods enter."""

    image: pulumi.Input[str]
    blob_endpoint: str | None

    @property
    def labels(self) -> dict[str, str]:
        """Give the labels of a pod that is an identity."""
        return {f"{_IDENTITY}/use": "true"} if self.blob_endpoint is not None else {}

    @property
    def annotations(self) -> dict[str, str]:
        """Give the annotations of a pod whose model must not be that identity."""
        return {f"{_IDENTITY}/skip-containers": "scoring"} if self.blob_endpoint is not None else {}

    @property
    def account(self) -> list[k8s.core.v1.EnvFromSourceArgs] | None:
        """Give the Secret that holds the account where pods are no identity."""
        secret = k8s.core.v1.SecretEnvSourceArgs(name=SECRET, optional=True)
        return None if self.blob_endpoint else [k8s.core.v1.EnvFromSourceArgs(secret_ref=secret)]

    @property
    def service_account(self) -> str | None:
        """Name the service account of a pod that is an identity."""
        return SERVICE_ACCOUNT if self.blob_endpoint is not None else None


def service_account(
    namespace: str, client_id: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> k8s.core.v1.ServiceAccount:
    """Make the account by which the pods of a namespace are the identity `client_id`."""
    metadata = k8s.meta.v1.ObjectMetaArgs(
        name=SERVICE_ACCOUNT,
        namespace=namespace,
        labels=pods.labels(SERVICE_ACCOUNT, "webservice"),
        annotations={f"{_IDENTITY}/client-id": client_id},
    )
    return k8s.core.v1.ServiceAccount(
        f"{namespace}-{SERVICE_ACCOUNT}", metadata=metadata, automount_service_account_token=False, opts=opts
    )


def uploader(spec: WebserviceSpec, storage: Storage) -> k8s.core.v1.ContainerArgs:
    """Give the container that uploads what a web service collects and puts out.

    It is an init container that stays, so that it begins before the scoring server and ends after it.
    """
    variables = {"SERVICE_NAME": spec.name}
    if storage.blob_endpoint is not None:
        variables[BLOB_ENDPOINT] = storage.blob_endpoint
    if spec.collect_model_data:
        variables[SPOOL] = SPOOL_FOLDER
    if spec.upload_outputs:
        variables[OUTPUTS] = OUTPUTS_FOLDER
    return k8s.core.v1.ContainerArgs(
        name="upload",
        image=storage.image,
        command=list(UPLOAD),
        restart_policy="Always",
        env=[
            pods.variable_of_pod("POD_NAME", "metadata.name"),
            *(pods.variable(name, value) for name, value in variables.items()),
        ],
        env_from=storage.account,
        resources=k8s.core.v1.ResourceRequirementsArgs(
            requests={"cpu": f"{UPLOADER.cpu}m", "memory": f"{UPLOADER.memory}Mi"},
            limits={"memory": f"{UPLOADER_LIMIT_MIB}Mi"},
        ),
        security_context=pods.container_security(),
        volume_mounts=[mount for _, mount in upload_volumes(spec)],
    )


def upload_volumes(
    spec: WebserviceSpec,
) -> list[tuple[k8s.core.v1.VolumeArgs, k8s.core.v1.VolumeMountArgs]]:
    """Give the volumes that a scoring server shares with its uploader, and where both see them."""
    wanted = (
        (spec.collect_model_data, "model-data", SPOOL_FOLDER, SPOOL_SIZE),
        (spec.upload_outputs, "outputs", OUTPUTS_FOLDER, OUTPUTS_SIZE),
    )
    return [
        (
            k8s.core.v1.VolumeArgs(
                name=name, empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs(size_limit=size)
            ),
            k8s.core.v1.VolumeMountArgs(name=name, mount_path=path),
        )
        for used, name, path, size in wanted
        if used
    ]


def fetch_models(
    spec: WebserviceSpec, storage: Storage, requests: dict[str, str]
) -> k8s.core.v1.ContainerArgs:
    """Give the init container that lays registered models out as v1 does, before the service starts.

    It asks for no more than the service, so that a node which has room for the one has it for both.
    """
    variables = {MODELS_DIR: FOLDER}
    if storage.blob_endpoint is not None:
        variables[BLOB_ENDPOINT] = storage.blob_endpoint
    memory = max(spec.memory_gb_limit or spec.memory_gb, FETCH_MEMORY_GB)
    return k8s.core.v1.ContainerArgs(
        name="models",
        image=storage.image,
        command=list(FETCH),
        args=[str(model) for model in spec.registered_models],
        env=[pods.variable(name, value) for name, value in variables.items()],
        env_from=storage.account,
        resources=k8s.core.v1.ResourceRequirementsArgs(
            requests=requests, limits={"memory": pods.memory(memory)}
        ),
        security_context=pods.container_security(),
        volume_mounts=[k8s.core.v1.VolumeMountArgs(name="models", mount_path=FOLDER)],
    )
