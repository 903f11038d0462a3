"""A small web service for the local engine's tests, told what to be by its environment.

PORT, POD_IP: where it listens. READY_AFTER: seconds until /ready says 200. CRASH: raise at once.
IGNORE_TERM: do not end on SIGTERM. DRAIN: seconds that it still serves after SIGTERM.
EXIT_CODE: exit with it at once.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

BORN = time.monotonic()
state = {"hung": False, "draining": False}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlparse(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        answer: object = "ok"
        code = 200
        if url.path == "/hang":
            state["hung"] = True
        elif state["hung"]:
            time.sleep(60)
        elif url.path == "/ready":
            late = time.monotonic() - BORN < float(os.environ.get("READY_AFTER", "0"))
            code = 503 if late or state["draining"] else 200
        elif url.path == "/env":
            answer = dict(os.environ)
        elif url.path == "/file":
            answer = Path(query["path"]).read_text()
        elif url.path == "/me":
            answer = {"pid": os.getpid(), "argv": sys.argv[1:], "cwd": str(Path.cwd())}
        elif url.path == "/child":
            answer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
        elif url.path == "/slow":
            time.sleep(float(query["seconds"]))
        elif url.path == "/exit":
            os._exit(int(query["code"]))
        elif url.path == "/print":
            print("x" * 79 + "\n", end="", flush=True)
            sys.stdout.write(("y" * 79 + "\n") * int(query["lines"]))
            sys.stdout.flush()
        body = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the overridden name
        pass


def main() -> None:
    print("starting", os.environ.get("GREETING", ""), flush=True)
    if os.environ.get("CRASH"):
        raise RuntimeError(os.environ["CRASH"])
    if os.environ.get("EXIT_CODE"):
        sys.exit(int(os.environ["EXIT_CODE"]))
    server = ThreadingHTTPServer((os.environ["POD_IP"], int(os.environ["PORT"])), Handler)
    server.daemon_threads = False

    def drain() -> None:
        state["draining"] = True
        time.sleep(float(os.environ.get("DRAIN", "0.1")))
        server.shutdown()

    def on_term(*_: object) -> None:
        print("SIGTERM", flush=True)
        if not os.environ.get("IGNORE_TERM"):
            threading.Thread(target=drain).start()

    signal.signal(signal.SIGTERM, on_term)
    server.serve_forever(poll_interval=0.05)
    server.server_close()  # joins the threads of requests under way


main()
