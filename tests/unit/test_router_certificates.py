"""Files of certificates, seen while others replace them."""

import threading
from pathlib import Path

from slipway.router.certificates import fingerprint


def test_files_that_go_while_they_are_looked_at_end_nothing(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}").touch()
    done = threading.Event()

    def replace_all() -> None:
        while not done.is_set():
            for number in range(100):
                (tmp_path / f"{number}").rename(tmp_path / "new")
                (tmp_path / "new").rename(tmp_path / f"{number}")

    other = threading.Thread(target=replace_all)
    other.start()
    try:
        for _ in range(200):
            fingerprint(tmp_path)
    finally:
        done.set()
        other.join()
    assert fingerprint(tmp_path) == fingerprint(tmp_path)
