"""A stand-in for azure-native: a provider that behaves as Azure does where our stacks would notice.

`world.py` holds what exists, `resources.py` and `identities.py` the outputs, `rules.py` and `cluster.py`
what Azure refuses, `functions.py` what programs ask, `provider.py` the protocol. Types, enums and required
inputs are the SDK's own; ids and what replaces are those of `slipway.plan.replacements`.

Left out: time (but for writes that must not overlap), quotas, regions and their offers, soft delete.
"""
