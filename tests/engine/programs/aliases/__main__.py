"""Aliases: the same resources under other names, types and parents, once the stack's config says so."""

# pyright: basic

import pulumi
import pulumi_random as random

renamed = pulumi.Config().require_bool("renamed")
Alias, Options = pulumi.Alias, pulumi.ResourceOptions


class Group(pulumi.ComponentResource):
    def __init__(self, type_: str, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"test:index:{type_}", name, {}, opts)
        self.string = random.RandomString(f"{name}-string", length=4, opts=Options(parent=self))
        self.other = random.RandomString(
            f"{name}-new" if renamed else f"{name}-old", length=4, opts=self._other(name)
        )
        self.register_outputs({})

    def _other(self, name: str) -> pulumi.ResourceOptions:
        return Options(parent=self, aliases=[Alias(name=f"{name}-old")] if renamed else None)


if not renamed:
    random.RandomString("old", length=4)
    random.RandomString("by-urn-old", length=4)
    Group("Group", "group-old")
    Group("OldType", "typed")
    parent = Group("Group", "parent")
    random.RandomString("moved-in", length=4)
    random.RandomString("moved-out", length=4, opts=Options(parent=parent))
else:
    random.RandomString("new", length=4, opts=Options(aliases=[Alias(name="old")]))
    urn = "urn:pulumi:dev::aliases::random:index/randomString:RandomString::by-urn-old"
    random.RandomString("by-urn", length=4, opts=Options(aliases=[urn]))
    Group("Group", "group-new", Options(aliases=[Alias(name="group-old")]))
    Group("NewType", "typed", Options(aliases=[Alias(type_="test:index:OldType")]))
    parent = Group("Group", "parent")
    random.RandomString(
        "moved-in", length=4, opts=Options(parent=parent, aliases=[Alias(parent=pulumi.ROOT_STACK_RESOURCE)])
    )
    random.RandomString("moved-out", length=4, opts=Options(aliases=[Alias(parent=parent)]))
    random.RandomString(
        "unmatched", length=4, opts=Options(aliases=[Alias(name="never", stack="other", project="elsewhere")])
    )
