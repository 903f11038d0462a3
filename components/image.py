"""An image by digest, in the registry from which the cluster pulls it.

Under Pulumi it is built before it is registered, so that its digest is known to a preview and to policies,
and pushed when the stack is deployed. `slipway plan` and `slipway render` know it if it was built on this
machine. Without a registry nothing is built: this machine makes the same content from the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pulumi

from slipway.images.mode import Mode, mode
from slipway.images.recipe import ENVIRONMENTS, Recipe, image_hash
from slipway.spec import IMAGE


@dataclass(frozen=True)
class ImageArgs:
    """Arguments of `Image`; the recipe's paths begin at the project's folder.

    `registry` is where the image goes, as host, port and path; empty where it goes nowhere.
    """

    repository: str
    recipe: Recipe
    project: Path
    registry: str = ""
    global_registry: str = ""


class Image(pulumi.ComponentResource):
    """What an image is made of and the reference that follows from it; who uses it depends on this."""

    reference: pulumi.Input[str]

    def __init__(self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        repository = f"{args.registry}/{args.repository}".lstrip("/")
        content = image_hash(args.recipe, args.project)
        inputs = {"repository": repository, "recipe": args.recipe.to_dict()}
        super().__init__(IMAGE, name, inputs, opts)
        if not args.registry or mode() is Mode.NAMED:
            self.reference = f"{repository}:{content}"
        else:
            self.reference = self._pushed(name, args, repository, content, opts)
        self.register_outputs({"reference": self.reference})

    def _pushed(
        self, name: str, args: ImageArgs, repository: str, content: str, opts: pulumi.ResourceOptions | None
    ) -> pulumi.Input[str]:
        from slipway.images.push import ImagePush, ImagePushArgs  # noqa: PLC0415 stacks with a registry only

        digest = _digest(args)
        child = pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None)
        push = ImagePush(
            name,
            ImagePushArgs(
                repository=repository,
                digest=digest if digest is not None else cast("str", pulumi.output.Unknown()),
                tags=[content],
                environments=f"{args.registry}/{ENVIRONMENTS}",
            ),
            child,
        )
        if digest is None:
            return push.digest.apply(lambda told: f"{repository}@{told}")
        return f"{repository}@{digest}"


def _digest(args: ImageArgs) -> str | None:
    """Give the digest, None where nothing is built here or now."""
    from slipway.images import build, dockerfile  # noqa: PLC0415 as above
    from slipway.images.cache import Cache  # noqa: PLC0415

    if mode() is Mode.CACHED:
        return build.cached(args.recipe, args.project, Cache())
    places = build.Places(args.registry, args.global_registry)
    preview = pulumi.runtime.is_dry_run()
    try:
        return build.build(
            args.recipe, args.project, places, Cache(), preview=preview, say=pulumi.log.info
        ).digest
    except dockerfile.OnlyWhenDeploying:
        return None
