"""The names that the states of stacks refer to."""

from __future__ import annotations

import base64
import importlib
import pickletools

from pulumi.dynamic import dynamic

from slipway.images.push import ImagePush, ImagePushProvider
from slipway.kube.resolve import IMAGE_PUSH


def test_a_state_refers_to_the_provider_by_these_names_and_holds_none_of_its_code() -> None:
    """Changing one strands every stack: its states hold the old one."""
    pickled: str = dynamic.serialize_provider(ImagePushProvider())  # pyright: ignore[reportUnknownMemberType]
    content = base64.b64decode(pickled)
    texts = [argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)]
    assert texts[:2] == ["slipway.images.push", "ImagePushProvider"]
    assert len(content) < 300
    assert importlib.import_module("slipway.images.push").ImagePushProvider is ImagePushProvider


def test_the_types_token_is_the_one_that_a_local_stack_passes() -> None:
    assert f"pulumi-python:{ImagePush._resource_type_name}" == IMAGE_PUSH  # pyright: ignore[reportPrivateUsage]
    assert IMAGE_PUSH == "pulumi-python:dynamic/slipway:ImagePush"
