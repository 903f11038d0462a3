"""Model data collection: rows go through memory into files of a spool, which another container uploads.

It is the one package that the scoring server imports, so it enters users' images too: Python >= 3.9 and the
standard library. `ModelDataCollector` is Azure ML v1's, `Collector` v2's; scripts keep their imports, because
`names.provide` registers Azure ML's. Uploading is left to `slipway.storage`, which has the cloud's SDK.
"""

from slipway.collect.v1 import ModelDataCollector
from slipway.collect.v2 import Collector

__all__ = ["Collector", "ModelDataCollector"]
