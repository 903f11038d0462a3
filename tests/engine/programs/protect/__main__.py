"""What stays: protection and retention, given, inherited from parents and taken back."""

# pyright: basic

import pulumi
import pulumi_random as random

Options = pulumi.ResourceOptions


class Group(pulumi.ComponentResource):
    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Group", name, {}, opts)
        random.RandomString(f"{name}-inherits", length=4, opts=Options(parent=self))
        random.RandomString(
            f"{name}-not", length=4, opts=Options(parent=self, protect=False, retain_on_delete=False)
        )
        self.register_outputs({})


data = random.RandomString("data", length=4, opts=Options(protect=True))
random.RandomString("kept", length=4, opts=Options(retain_on_delete=True))
random.RandomString("child-of-data", length=4, opts=Options(parent=data))
protected = Group("protected", Options(protect=True))
Group("within", Options(parent=protected))
Group("retained", Options(retain_on_delete=True))
random.RandomString("goes-with", length=4, opts=Options(deleted_with=data))
