"""Dependencies that follow from values: outputs, applies, several outputs at once, nested ones."""

# pyright: basic

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

a = random.RandomString("a", length=4, special=False)
b = random.RandomString("b", length=a.length, keepers={"of": a.result})
k8s.core.v1.ConfigMap(
    "values",
    metadata=k8s.meta.v1.ObjectMetaArgs(
        name="values", namespace="default", labels={"b": b.length.apply(lambda length: f"length-{length}")}
    ),
    data={
        "known": pulumi.Output.all(a.length, b.length).apply(lambda lengths: f"{lengths[0]}+{lengths[1]}"),
        "unknown": pulumi.Output.concat("prefix ", a.result),
        "plain": "text",
        "json": pulumi.Output.json_dumps({"a": a.length}),
    },
)
k8s.core.v1.ConfigMap(
    "none", metadata=k8s.meta.v1.ObjectMetaArgs(name="none", namespace="default"), data={"plain": "text"}
)
unknown_map = a.result.apply(lambda result: {result: "key"})
k8s.core.v1.ConfigMap(
    "unknown-map",
    metadata=k8s.meta.v1.ObjectMetaArgs(name="unknown-map", namespace="default"),
    data=unknown_map,
)
created = a.result.apply(lambda _: random.RandomString("only-when-known", length=4).result)
known = a.length.apply(lambda _: random.RandomString("in-apply", length=5).length)
random.RandomString("after-apply", length=known)
pulumi.export("created", created)
