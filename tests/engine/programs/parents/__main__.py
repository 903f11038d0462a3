"""Parents of every kind: none, a component, a component in a component, a custom resource."""

# pyright: basic

import pulumi
import pulumi_random as random


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Group", name, {}, opts)
        self.string = random.RandomString(
            f"{name}-string", length=4, opts=pulumi.ResourceOptions(parent=self)
        )
        self.register_outputs({})


alone = random.RandomString("alone", length=4)
random.RandomString("below-custom", length=4, opts=pulumi.ResourceOptions(parent=alone))
outer = Group("outer")
inner = Group("inner", pulumi.ResourceOptions(parent=outer))
Group("innermost", pulumi.ResourceOptions(parent=inner.string))
random.RandomString("with::colons", length=4, opts=pulumi.ResourceOptions(parent=inner))
