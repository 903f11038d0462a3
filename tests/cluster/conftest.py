"""Fixtures that the tests of this folder share."""

from collections.abc import Generator

import pytest

from tests.cluster.azurite import azurite, container
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.cluster import cluster as running_cluster

__all__ = ["azurite", "container"]


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Generator[Cluster]:
    """Give a cluster that all tests of a session share; each makes namespaces of its own."""
    reporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)
    with running_cluster(lambda line: reporter.write_line(f"cluster: {line}")) as running:
        yield running
