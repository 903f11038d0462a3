"""Components: inputs, outputs, resources and files as values, and outputs of the stack."""

# pyright: basic

import pulumi
import pulumi_random as random


class Named(pulumi.ComponentResource):
    def __init__(self, name: str, given: dict[str, object]) -> None:
        super().__init__("test:index:Named", name, given)
        self.string = random.RandomString(name, length=8, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({"length": self.string.length, "result": self.string.result, "fixed": 1.5})


class Silent(pulumi.ComponentResource):
    """Registers no outputs, as careless components do."""

    def __init__(self, name: str) -> None:
        super().__init__("no-colons", name)


named = Named(
    "named", {"text": "a", "numbers": [1, 2.5, 3], "nested": {"yes": True, "none": None, "empty": {}}}
)
Silent("silent")
Named(
    "values",
    {
        "custom": named.string,
        "component": named,
        "text_file": pulumi.StringAsset("content"),
        "folder": pulumi.AssetArchive({"inside.txt": pulumi.StringAsset("more")}),
        "unknown": named.string.result,
    },
)
pulumi.export("known", named.string.length)
pulumi.export("unknown", named.string.result)
pulumi.export(
    "nested", {"list": [1, named.string.length], "text": pulumi.Output.format("n = {0}", named.string.length)}
)
