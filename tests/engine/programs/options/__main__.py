"""The rarer options: replacement, timeouts, deletion, versions."""

# pyright: basic

from typing import Any

import pulumi
import pulumi_random as random

Options = pulumi.ResourceOptions


def string(name: str, **options: Any) -> random.RandomString:
    return random.RandomString(name, length=4, opts=Options(**options))


first = string("first", delete_before_replace=True)
string("not-before", delete_before_replace=False)
timeouts = pulumi.CustomTimeouts(create="30s", update="1m30s", delete="1h")
string("timeouts", custom_timeouts=timeouts)
string("timeouts-dict", custom_timeouts={"create": "90s"})
string("replaced", replace_on_changes=["length", "override_special"])
string("with-first", deleted_with=first)
string("when-first", replace_with=[first])
string("triggered", replacement_trigger=pulumi.Output.from_input({"a": [1, "b"]}))
string("hidden", hide_diffs=["length"])
string("secret", additional_secret_outputs=["result"])
