"""What the container beside a scoring server takes that uploads for it."""

from __future__ import annotations

from slipway.sizing.resources import Resources

UPLOADER = Resources(cpu=50, memory=128, pods=0)
"""What it asks for, as a part of a pod: Python with Azure's SDK is 55 MiB, and parts are 4 MiB each."""
UPLOADER_LIMIT_MIB = 256
