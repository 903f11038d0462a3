"""Wires the rest: the one place that sees every component of a stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.device_plugin import DevicePlugin, DevicePluginArgs
from components.image import Image, ImageArgs
from components.router import InternalAddress, Router, RouterArgs
from components.storage import Storage, service_account
from components.tls import Certificate, VaultCertificate
from components.webservice import Webservice, WebserviceArgs
from slipway.collect.config import WORKSPACE
from slipway.images.recipe import Recipe, router_recipe, webservice_recipes
from slipway.problems import KEY_FIELDS, Problems
from slipway.settings import Azure, Settings, key_setting
from slipway.settings.capacity import accelerators
from slipway.settings.derived import (
    blob_endpoint,
    registry,
    router_host,
    router_ip,
    router_size,
    storage_namespaces,
)
from slipway.settings.kinds import name_of, subscription_of
from slipway.settings.layers import PLATFORM_GIVES, not_given
from slipway.sizing.vms import NVIDIA
from slipway.spec import ROUTER, ROUTER_NAMESPACE

POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
PLATFORM_OUTPUTS = ("kubeconfig", "cluster_id", "registry")
"""What a stack of layer `services` reads of its platform."""
CERTIFICATE_OUTPUTS = ("tenant_id", "router_client_id")
"""What it reads too where the router's certificate is in the key vault; other platforms have none of it."""
STORAGE_OUTPUTS = ("webservices_client_id",)
"""And where web services use the storage."""
INSIGHTS_OUTPUT = "insights_connection_string"
"""What it reads too where a web service exports telemetry to the workspace."""

Outputs = Mapping[str, pulumi.Input[Any]]


@dataclass(frozen=True)
class PlatformArgs:
    """Arguments of `Platform`; `keys` holds the secret config values by their config key."""

    settings: Settings
    project: Path
    keys: Mapping[str, pulumi.Input[str]]


class Platform(pulumi.ComponentResource):
    """What a stack is: on Azure everything beneath the cluster too, then router, images and web services."""

    outputs: dict[str, pulumi.Input[Any]]

    def __init__(self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = args.settings
        architecture = settings.images.architecture
        recipes, mistakes = webservice_recipes(settings.services, args.project, architecture)
        if mistakes:
            raise Problems(mistakes)
        super().__init__("slipway:index:Platform", name, {"settings": _said(settings)}, opts)
        self._ready: list[pulumi.Resource] = []
        self._registry: list[pulumi.Resource] = []
        azure = self._azure(settings)
        self.outputs = dict(azure)
        if settings.layer != "platform":
            self.outputs["scoring_uris"] = self._services(args, recipes, azure)
        self.register_outputs(self.outputs)

    def _azure(self, settings: Settings) -> Outputs:
        """Make what the cluster stands on, or read it of the stack that made it."""
        if settings.azure is None:
            return {}
        if settings.platform_stack is not None:
            platform = pulumi.StackReference(
                settings.platform_stack, opts=pulumi.ResourceOptions(parent=self)
            )
            tls = settings.router.tls
            vault = tls is not None and tls.key_vault_certificate is not None
            names = PLATFORM_OUTPUTS + (CERTIFICATE_OUTPUTS if vault else ())
            names += STORAGE_OUTPUTS if storage_namespaces(settings) else ()
            insights = any(spec.exports_to_workspace() for spec in settings.services)
            names += (INSIGHTS_OUTPUT,) if insights else ()
            given = platform.get_output(PLATFORM_GIVES).apply(lambda given: _checked(settings, given))
            return {
                name: pulumi.Output.all(platform.get_output(name), given).apply(lambda both: both[0])
                for name in names
            }
        from components.azure import AzurePlatform  # noqa: PLC0415 only such a stack imports azure-native

        made = AzurePlatform("azure", settings, pulumi.ResourceOptions(parent=self))
        self._ready, self._registry = made.ready, made.registry
        return made.outputs

    def _services(
        self, args: PlatformArgs, recipes: Mapping[str, Recipe], azure: Outputs
    ) -> dict[str, pulumi.Output[str]]:
        settings = args.settings
        cluster = self._cluster(settings, azure)
        in_cluster = pulumi.ResourceOptions(parent=self, provider=cluster, depends_on=self._ready)
        namespaces = {
            namespace: k8s.core.v1.Namespace(
                namespace,
                metadata=k8s.meta.v1.ObjectMetaArgs(name=namespace, labels=POD_SECURITY),
                opts=in_cluster,
            )
            for namespace in sorted({ROUTER_NAMESPACE} | {spec.namespace for spec in settings.webservices})
        }

        def within(*names: str, after: Iterable[pulumi.Resource | None] = ()) -> pulumi.ResourceOptions:
            first = [namespaces[name] for name in sorted(set(names))]
            first += [one for one in after if one is not None]
            return pulumi.ResourceOptions(parent=self, provider=cluster, depends_on=first)

        def image(service: str, recipe: Recipe) -> Image:
            made = ImageArgs(
                repository=f"slipway/{service}",
                recipe=recipe,
                project=args.project,
                registry=registry(settings),
                global_registry=settings.images.global_registry or "",
            )
            return Image(service, made, pulumi.ResourceOptions(parent=self, depends_on=self._registry))

        existing = settings.router.image
        slipway = image(ROUTER, router_recipe(settings.images.architecture)) if existing is None else None
        slipway_image = slipway.reference if slipway is not None else existing or ""
        storage = Storage(
            slipway_image, blob_endpoint(settings.azure) if settings.azure is not None else None
        )
        accounts: dict[str, pulumi.Resource] = {}
        workspace: Mapping[str, pulumi.Input[str]] = {}
        if settings.azure is not None:
            if any(spec.collect_model_data for spec in settings.services):
                workspace = _workspace(settings.azure, azure["cluster_id"])
            for namespace in storage_namespaces(settings):
                client_id = azure["webservices_client_id"]
                accounts[namespace] = service_account(namespace, client_id, within(namespace))
        router = Router(
            "router",
            RouterArgs(
                settings=settings.router,
                image=slipway_image,
                size=router_size(settings),
                host=router_host(settings),
                internal=_internal(settings),
                certificate=_certificate(settings, args.keys, azure),
            ),
            within(ROUTER_NAMESPACE, after=[slipway]),
        )
        self._device_plugin(settings, in_cluster)
        with_versions = [spec for spec in settings.webservices if spec.versions]  # for address and keys
        for spec in (*with_versions, *settings.services):
            existing = spec.environment.image
            own = image(spec.name, recipes[spec.name]) if spec.name in recipes else None
            storing = [slipway, accounts.get(spec.namespace)] if spec.uses_storage else []
            Webservice(
                spec.name,
                WebserviceArgs(
                    spec=spec,
                    image=own.reference if own is not None else existing or "",
                    storage=storage,
                    workspace=workspace,
                    primary_key=args.keys.get(key_setting(spec.name, "primary_key")),
                    secondary_key=args.keys.get(key_setting(spec.name, "secondary_key")),
                    insights=azure[INSIGHTS_OUTPUT] if spec.exports_to_workspace() else None,
                ),
                within(ROUTER_NAMESPACE, spec.namespace, after=[own, *storing]),
            )
        return {
            spec.name: router.url.apply(lambda url, name=spec.name: scoring_uri(url, name))
            for spec in settings.webservices
        }

    def _device_plugin(self, settings: Settings, opts: pulumi.ResourceOptions) -> None:
        azure = settings.azure
        image = azure.cluster.nvidia_device_plugin if azure is not None else None
        if azure is not None and image is not None and NVIDIA in accelerators(azure):
            DevicePlugin("device-plugin", DevicePluginArgs(image), opts)

    def _cluster(self, settings: Settings, azure: Outputs) -> k8s.Provider:
        """Give the way into the cluster; the one of another cluster is a replacement of everything in it."""
        kubeconfig, context, identity = azure.get("kubeconfig"), None, azure.get("cluster_id")
        if settings.kubernetes is not None:
            kubeconfig, context = settings.kubernetes.kubeconfig, settings.kubernetes.context
        return k8s.Provider(
            "cluster",
            kubeconfig=kubeconfig,
            context=context,
            cluster_identifier=identity,
            enable_secret_mutable=True,  # a new certificate is written over the old one, which is never gone
            opts=pulumi.ResourceOptions(parent=self),
        )


def _checked(settings: Settings, given: list[str] | None) -> list[str] | None:
    """Give back what a platform says that it gives. Raises `RunError` if that is not all that is asked."""
    if mistake := not_given(settings, given):
        raise pulumi.RunError(mistake)
    return given


def _workspace(azure: Azure, cluster_id: pulumi.Input[str]) -> Mapping[str, pulumi.Input[str]]:
    """Give Azure ML's variables of a workspace; its subscription is the cluster's."""
    subscription = pulumi.Output[str].from_input(cluster_id).apply(subscription_of)
    group = azure.resource_group.name or name_of(azure.resource_group.id or "")
    return dict(zip(WORKSPACE, (subscription, group, azure.workspace.name), strict=True))


def scoring_uri(url: str, service: str) -> str:
    """Give v1's address of a web service behind the router's."""
    return f"{url}/api/v1/service/{service}/score"


def _internal(settings: Settings) -> InternalAddress | None:
    azure = settings.azure
    if azure is None or not settings.internal:
        return None
    address, adopted = router_ip(azure), azure.network.subnets.router.id
    name = name_of(adopted) if adopted is not None else "snet-router"
    return InternalAddress(name, str(address) if address is not None else None)


def _certificate(
    settings: Settings, keys: Mapping[str, pulumi.Input[str]], azure: Outputs
) -> Certificate | VaultCertificate | None:
    tls = settings.router.tls
    if tls is None:
        return None
    if tls.certificate is not None:
        return Certificate(tls.certificate, keys[key_setting(ROUTER, "tls_key")])
    if tls.key_vault_certificate is None or settings.azure is None:
        return None
    workspace = settings.azure.workspace
    return VaultCertificate(
        cloud=settings.azure.cloud,
        name=tls.key_vault_certificate,
        vault=name_of(workspace.key_vault.id or workspace.name),
        tenant_id=azure["tenant_id"],
        client_id=azure["router_client_id"],
    )


def _said(settings: Settings) -> dict[str, Any]:
    """Give what the stack file says, for policies to read; keys given by a program are left out."""
    said = settings.model_dump(mode="json", exclude_defaults=True)
    for spec in said.get("webservices", []):
        for field in KEY_FIELDS:
            spec.pop(field, None)
    return said
