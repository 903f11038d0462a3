"""What every test begins with: nothing was built on this machine before, and no property has a deadline."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from slipway.images.cache import VARIABLE

settings.register_profile("untimed", settings(), deadline=None)  # a busy machine breaks no property
settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _cold_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
