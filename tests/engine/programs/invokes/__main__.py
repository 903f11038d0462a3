"""Functions of providers: at once, with outputs, unknown arguments, after resources, transformed."""

# pyright: basic

from importlib.metadata import version
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

VERSION = version("pulumi-kubernetes")
TEXT = "{apiVersion: v1, kind: ConfigMap, metadata: {name: decoded}}"


def decode(text: pulumi.Input[str], **options: Any) -> pulumi.Output[dict[str, list[dict[str, Any]]]]:
    args = {"text": text, "defaultNamespace": "default"}
    opts = pulumi.InvokeOutputOptions(version=VERSION, **options)
    return pulumi.runtime.invoke_output("kubernetes:yaml:decode", args, opts)


def renamed(args: pulumi.InvokeTransformArgs) -> pulumi.InvokeTransformResult:
    text = str(args.args["text"]).replace("decoded", "renamed")
    return pulumi.InvokeTransformResult(args={**args.args, "text": text}, opts=args.opts)


def config_map(name: str, value: pulumi.Input[str]) -> None:
    metadata = k8s.meta.v1.ObjectMetaArgs(name=name, namespace="default")
    k8s.core.v1.ConfigMap(name, metadata=metadata, data={"kind": value})


def kind(result: dict[str, list[dict[str, Any]]]) -> str:
    return result["result"][0]["kind"]


source = random.RandomString("source", length=4)
options = pulumi.InvokeOptions(version=VERSION)
at_once = pulumi.runtime.invoke(
    "kubernetes:yaml:decode", {"text": TEXT, "defaultNamespace": "a"}, options
).value
config_map("at-once", kind(at_once))
config_map("output", decode(TEXT).apply(kind))
config_map("of-known", decode(source.length.apply(lambda _: TEXT)).apply(kind))
config_map("of-unknown", decode(source.result.apply(lambda _: TEXT)).apply(kind))
config_map("after", decode(TEXT, depends_on=[source]).apply(kind))
config_map("of-secret", decode(pulumi.Output.secret(TEXT)).apply(kind))
pulumi.runtime.register_invoke_transform(renamed)
config_map("transformed", decode(TEXT).apply(lambda result: result["result"][0]["metadata"]["name"]))
