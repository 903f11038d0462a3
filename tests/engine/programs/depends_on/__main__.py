"""Explicit dependencies: on a resource, a list, a component, an output that is a resource."""

# pyright: basic

from typing import Any

import pulumi
import pulumi_random as random


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Group", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.first = random.RandomString(f"{name}-first", length=4, opts=child)
        self.second = random.RandomString(f"{name}-second", length=4, opts=child)
        self.register_outputs({})


def string(name: str, **options: Any) -> random.RandomString:
    return random.RandomString(name, length=4, opts=pulumi.ResourceOptions(**options))


a, b = string("a"), string("b")
string("on-one", depends_on=a)
string("on-list", depends_on=[a, b])
group = Group("group")
nested = Group("nested", pulumi.ResourceOptions(parent=group))
string("on-component", depends_on=[group])
string("on-output", depends_on=a.length.apply(lambda _: [b]))
Group("component-on-one", pulumi.ResourceOptions(depends_on=[a]))
