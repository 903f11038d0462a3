"""An image by hash.

The reference is known before anything exists, because the program computes it from the image's content.
Nothing is built or pushed yet: a laptop makes the same content from the recipe, and on a cluster the
stack file names an image that exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pulumi

from slipway.images.recipe import Recipe, reference


@dataclass(frozen=True)
class ImageArgs:
    """Arguments of `Image`; the recipe's paths begin at the project's folder."""

    repository: str
    recipe: Recipe
    project: Path


class Image(pulumi.ComponentResource):
    """What an image is made of and the reference that follows from it."""

    reference: str

    def __init__(self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = {"repository": args.repository, "recipe": args.recipe.to_dict()}
        super().__init__("slipway:index:Image", name, inputs, opts)
        self.reference = reference(args.repository, args.recipe, args.project)
        self.register_outputs({"reference": self.reference})
