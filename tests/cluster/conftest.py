"""Fixtures that the tests of this folder share."""

from collections.abc import Generator

import pytest

from tests.cluster.azurite import azurite, container
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.cluster import cluster as running_cluster

__all__ = ["azurite", "container"]


def pytest_configure(config: pytest.Config) -> None:
    # httpcore leaves a socket to the garbage collector when it is cancelled while TLS begins.
    for what in ("unclosed transport", "unclosed <socket"):
        config.addinivalue_line("filterwarnings", f"ignore:{what}:ResourceWarning")


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Generator[Cluster]:
    """Give a cluster that all tests of a session share; each makes namespaces of its own."""
    reporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)
    with running_cluster(lambda line: reporter.write_line(f"cluster: {line}")) as running:
        yield running
