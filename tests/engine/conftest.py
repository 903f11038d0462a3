"""The stand-in for Azure, with nothing in it but a subscription."""

from collections.abc import Iterator

import pytest

from tests.engine.stand_in.client import Client
from tests.engine.stand_in.samples import subscription
from tests.engine.stand_in.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def azure(world: World) -> Iterator[Client]:
    with subscription(world) as client:
        yield client
