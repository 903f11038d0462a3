"""The policy pack: `pulumi preview --policy-pack policies`.

Pulumi runs it in this folder, as a process of its own.
"""

import sys
from pathlib import Path

from pulumi_policy import EnforcementLevel, PolicyPack

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # Pulumi puts only this folder there

from policies.rules import POLICIES

PolicyPack("slipway", POLICIES, EnforcementLevel.MANDATORY)
