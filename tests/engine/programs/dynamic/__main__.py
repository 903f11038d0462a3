"""A dynamic provider: the program's own code, pickled into the inputs as a secret."""

# pyright: basic

import pulumi
import pulumi_random as random
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Provider(ResourceProvider):
    def create(self, props: dict[str, object]) -> CreateResult:
        return CreateResult("id", {**props, "made": "yes"})


class Thing(Resource):
    made: pulumi.Output[str]
    size: pulumi.Output[int]

    def __init__(
        self, name: str, size: pulumi.Input[int], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(Provider(), name, {"size": size, "made": None}, opts)


source = random.RandomString("source", length=4)
thing = Thing("thing", source.length, pulumi.ResourceOptions(protect=True))
random.RandomString("after", length=thing.size, keepers={"made": thing.made})
