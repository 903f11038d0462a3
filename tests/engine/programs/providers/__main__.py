"""Providers: default, explicit, passed down by components, of another version, with config."""

# pyright: basic

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Group", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.string = random.RandomString(f"{name}-string", length=4, opts=child)
        metadata = k8s.meta.v1.ObjectMetaArgs(name=name, namespace="default")
        self.map = k8s.core.v1.ConfigMap(f"{name}-map", metadata=metadata, data={"a": "b"}, opts=child)
        self.register_outputs({})


random.RandomString("default", length=4)
cluster = k8s.Provider("cluster", render_yaml_to_directory="elsewhere", namespace="own")
own = random.Provider("own")
explicit = random.RandomString("explicit", length=4, opts=pulumi.ResourceOptions(provider=own))
random.RandomString("child-of-custom", length=4, opts=pulumi.ResourceOptions(parent=explicit))
outer = Group("outer", pulumi.ResourceOptions(providers=[cluster, own]))
Group("inner", pulumi.ResourceOptions(parent=outer))
Group("mapped", pulumi.ResourceOptions(providers={"kubernetes": cluster}))
Group("one", pulumi.ResourceOptions(provider=cluster))
Group("plain")
late = k8s.Provider("late", namespace=own.urn, render_yaml_to_directory=explicit.result)
metadata = k8s.meta.v1.ObjectMetaArgs(name="late", namespace="default")
k8s.core.v1.ConfigMap("late", metadata=metadata, data={"a": "b"}, opts=pulumi.ResourceOptions(provider=late))
