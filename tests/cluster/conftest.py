"""Fixtures that the tests of this folder share."""

from collections.abc import Callable, Generator

import pytest
from _pytest.capture import CaptureManager

from tests.cluster.azurite import azurite, container
from tests.cluster.kubernetes.cluster import Cluster
from tests.cluster.kubernetes.cluster import cluster as running_cluster

__all__ = ["azurite", "container"]


def pytest_configure(config: pytest.Config) -> None:
    # httpcore leaves a socket to the garbage collector when it is cancelled while TLS begins.
    for what in ("unclosed transport", "unclosed <socket"):
        config.addinivalue_line("filterwarnings", f"ignore:{what}:ResourceWarning")


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Give what shows a line at once, although pytest keeps back what tests print."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    reporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    assert isinstance(capture, CaptureManager)
    assert isinstance(reporter, pytest.TerminalReporter)

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return show


@pytest.fixture(scope="session")
def cluster(say: Callable[[str], None]) -> Generator[Cluster]:
    """Give a cluster that all tests of a session share; each makes namespaces of its own."""
    with running_cluster(lambda line: say(f"cluster: {line}")) as running:
        yield running
