"""Secrets: from config, from values, nested, unknown, and outputs that are secret by option."""

# pyright: basic

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

config = pulumi.Config()
key, number, nested = (
    config.require_secret("key"),
    config.require_secret_int("number"),
    config.require_secret_object("object"),
)
plain = config.require("plain")
password = random.RandomPassword("password", length=12)
string = random.RandomString(
    "string", length=12, opts=pulumi.ResourceOptions(additional_secret_outputs=["result", "length"])
)
k8s.core.v1.Secret(
    "keys",
    metadata=k8s.meta.v1.ObjectMetaArgs(name="keys", namespace="default"),
    string_data={"encrypted": key, "generated": password.result, "plain": plain},
)
k8s.core.v1.ConfigMap(
    "mixed",
    metadata=k8s.meta.v1.ObjectMetaArgs(name="mixed", namespace="default"),
    data={
        "secret": pulumi.Output.secret("hidden"),
        "within": pulumi.Output.concat("<", key, ">"),
        "number": number.apply(str),
        "object": nested.apply(lambda value: value["a"]),
        "from-secret-output": string.length.apply(lambda length: f"{length}"),
        "shown": pulumi.Output.unsecret(pulumi.Output.secret("shown")),
        "plain": plain,
    },
)
pulumi.export("secret", pulumi.Output.secret("hidden"))
pulumi.export("key", key)
pulumi.export("password", password.result)
pulumi.export("plain", plain)
pulumi.export("is_secret", pulumi.runtime.is_config_secret("secrets:key"))
