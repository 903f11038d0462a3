"""Transforms: of a resource, of a component for its children, of the stack; properties and options."""

# pyright: basic

from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

Options = pulumi.ResourceOptions


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Group", name, {}, opts)
        random.RandomString(f"{name}-string", length=source.length, opts=Options(parent=self))
        metadata = k8s.meta.v1.ObjectMetaArgs(name=name, namespace="default")
        data = {"result": source.result, "hidden": pulumi.Output.secret("hidden")}
        k8s.core.v1.ConfigMap(f"{name}-map", metadata=metadata, data=data, opts=Options(parent=self))
        self.register_outputs({})


def longer(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    if args.type_ != "random:index/randomString:RandomString":
        return None
    props: dict[str, Any] = dict(args.props)
    return pulumi.ResourceTransformResult({**props, "length": props["length"] + 1}, args.opts)


def longer_output(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    if args.type_ != "random:index/randomString:RandomString":
        return None
    length = pulumi.Output.from_input(args.props["length"]).apply(lambda known: known + 1)
    return pulumi.ResourceTransformResult({**args.props, "length": length}, args.opts)


async def protected(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
    opts = Options.merge(args.opts, Options(protect=True, ignore_changes=["length"]))
    return pulumi.ResourceTransformResult(args.props, opts)


def labelled(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
    if not args.type_.startswith("kubernetes:core"):
        return None
    props: dict[str, Any] = dict(args.props)
    metadata = {**props["metadata"], "labels": {"stage": "test", "named": args.name}}
    opts = Options.merge(args.opts, Options(depends_on=[source]))
    return pulumi.ResourceTransformResult({**props, "metadata": metadata}, opts)


source = random.RandomString("source", length=4)
pulumi.runtime.register_resource_transform(labelled)
random.RandomString("own", length=4, opts=Options(transforms=[longer]))
random.RandomString("twice", length=4, opts=Options(transforms=[longer, longer_output]))
random.RandomString("of-output", length=source.length, opts=Options(transforms=[longer_output]))
random.RandomString("options", length=4, opts=Options(transforms=[protected], depends_on=[source]))
Group("group", Options(transforms=[longer_output]))
metadata = k8s.meta.v1.ObjectMetaArgs(name="map", namespace="default")
k8s.core.v1.ConfigMap("map", metadata=metadata, data={"a": source.result})
