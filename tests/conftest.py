"""What every test begins with: nothing was built on this machine before."""

from collections.abc import Generator

import pytest

from slipway.images.cache import VARIABLE


@pytest.fixture(autouse=True, scope="session")
def _cold_cache(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield
