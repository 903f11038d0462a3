"""Golden files: what a test spells out in full, renewed with `pytest --update-golden`."""

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        stored = path.read_text(encoding="utf-8")
        changes = difflib.unified_diff(stored.splitlines(), text.splitlines(), "golden", "now", lineterm="")
        if stored != text:
            pytest.fail("\n".join([f"{path.name} differs; is it meant? pytest --update-golden", *changes]))

    return compare
