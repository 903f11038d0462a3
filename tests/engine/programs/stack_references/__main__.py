"""Outputs of another stack: known, secret, absent, and used as inputs."""

# pyright: basic

import pulumi
import pulumi_kubernetes as k8s

base = pulumi.Config().require_bool("base")
if base:
    pulumi.export("text", "from base")
    pulumi.export("list", [1, 2])
    pulumi.export("secret", pulumi.Output.secret("hidden"))
else:
    other = pulumi.StackReference("organization/stack_references/base")
    named = pulumi.StackReference("named", stack_name="organization/stack_references/base")
    k8s.core.v1.ConfigMap(
        "values",
        metadata=k8s.meta.v1.ObjectMetaArgs(name="values", namespace="default"),
        data={
            "text": other.require_output("text"),
            "list": other.get_output("list").apply(lambda values: f"{values[1]}"),
            "secret": other.get_output("secret"),
            "named": named.get_output("text"),
            "absent": other.get_output("absent").apply(lambda value: f"{value}"),
        },
    )
    pulumi.export("text", other.get_output("text"))
    pulumi.export("secret", other.get_output("secret"))
