"""What the program does about images: it builds them under Pulumi, and never in our own engine."""

from __future__ import annotations

import os
from enum import StrEnum

VARIABLE = "SLIPWAY_IMAGES"
"""Environment variable of the program's process, which our engine sets; Pulumi does not."""


class Mode(StrEnum):
    """What an image's reference is made from."""

    BUILD = "build"
    """the image itself, which is built if need be"""
    CACHED = "cached"
    """what was built before on this machine; else it is not known"""
    NAMED = "named"
    """the files that it would be built from, where this machine takes a registry's place"""


def mode() -> Mode:
    """Tell what this run is."""
    return Mode(os.environ.get(VARIABLE, Mode.BUILD))
