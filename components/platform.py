"""Wires the rest: the one place that sees every component of a stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as k8s

from components.image import Image, ImageArgs
from components.router import Router, RouterArgs
from components.webservice import Webservice, WebserviceArgs
from slipway.images.recipe import Recipe, webservice_recipes
from slipway.problems import Problems
from slipway.settings import Settings, key_setting
from slipway.settings.derived import router_size
from slipway.spec import ROUTER_NAMESPACE

POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


@dataclass(frozen=True)
class PlatformArgs:
    """Arguments of `Platform`; `keys` holds the secret config values by their config key."""

    settings: Settings
    project: Path
    keys: Mapping[str, pulumi.Input[str]]


class Platform(pulumi.ComponentResource):
    """Namespaces, the router, and an image and a web service for each entry of the settings."""

    scoring_uris: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:Platform", name, {}, opts)
        settings = args.settings
        recipes, mistakes = webservice_recipes(settings.webservices, args.project)
        if mistakes:
            raise Problems(mistakes)
        child = pulumi.ResourceOptions(parent=self)
        assert settings.kubernetes is not None
        cluster = k8s.Provider(
            "cluster",
            kubeconfig=settings.kubernetes.kubeconfig,
            context=settings.kubernetes.context,
            opts=child,
        )
        in_cluster = pulumi.ResourceOptions(parent=self, provider=cluster)
        namespaces = {
            namespace: k8s.core.v1.Namespace(
                namespace,
                metadata=k8s.meta.v1.ObjectMetaArgs(name=namespace, labels=POD_SECURITY),
                opts=in_cluster,
            )
            for namespace in sorted({ROUTER_NAMESPACE} | {spec.namespace for spec in settings.webservices})
        }

        def within(*names: str) -> pulumi.ResourceOptions:
            after = [namespaces[name] for name in sorted(set(names))]
            return pulumi.ResourceOptions(parent=self, provider=cluster, depends_on=after)

        def image(service: str, recipe: Recipe) -> str:
            made = ImageArgs(repository=f"slipway/{service}", recipe=recipe, project=args.project)
            return Image(service, made, child).reference

        router = Router(
            "router",
            RouterArgs(
                settings.router,
                settings.router.image or image("router", Recipe(runtime="router")),
                router_size(settings),
            ),
            within(ROUTER_NAMESPACE),
        )
        for spec in settings.webservices:
            existing = spec.environment.image
            Webservice(
                spec.name,
                WebserviceArgs(
                    spec=spec,
                    image=existing or image(spec.name, recipes[spec.name]),
                    primary_key=args.keys.get(key_setting(spec.name, "primary_key")),
                    secondary_key=args.keys.get(key_setting(spec.name, "secondary_key")),
                ),
                within(ROUTER_NAMESPACE, spec.namespace),
            )
        self.scoring_uris = {
            spec.name: router.url.apply(lambda url, name=spec.name: scoring_uri(url, name))
            for spec in settings.webservices
        }
        self.register_outputs({"scoring_uris": self.scoring_uris})


def scoring_uri(url: str, service: str) -> str:
    """Give v1's address of a web service behind the router's."""
    return f"{url}/api/v1/service/{service}/score"
