"""Stands for the router in the tests of the commands: the same contract, none of the routing."""

import base64
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from slipway.kube.folder import Folder

objects = Folder(Path(os.environ["SLIPWAY_OBJECTS"]))
HOST = os.environ["POD_IP"]


class Handler(BaseHTTPRequestHandler):
    def answer(self, code: int, value: object) -> None:
        self.send(json.dumps(value).encode(), code)

    def send(self, body: bytes, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the overridden name
        pass


class Admin(Handler):
    def do_GET(self) -> None:
        services: dict[str, object] = {}
        for deployment in objects.list("Deployment"):
            name = deployment["metadata"]["name"]
            slices = objects.list("EndpointSlice", deployment["metadata"]["namespace"])
            own = [s for s in slices if s["metadata"]["labels"]["kubernetes.io/service-name"] == name]
            ready = [s for s in own if s["endpoints"][0]["conditions"]["ready"]]
            serving = [f"{s['endpoints'][0]['addresses'][0]}:{s['ports'][0]['port']}" for s in ready]
            load = {"up": len(serving), "serving": serving, "busy": 0, "queued": 7}
            services[name] = {"replicas": len(own), **load, "error": None}
        if self.path == "/journal":
            lines = [json.dumps(line(second)) for second in (0, 1)]
            self.send("\n".join(lines).encode())
        else:
            self.answer(200, {"services": services})


def line(second: int) -> object:
    counts = dict.fromkeys(("refused", "busy", "queued", "unschedulable"), 0)
    replicas = dict.fromkeys(("replicas", "ready", "needed", "wanted"), 1)
    means = {"service_seconds": 0.1, "startup_seconds": 2.0, "load": 0.1}
    time = f"2026-11-30T08:00:0{second}Z"
    about = {"time": time, "service": "echo", "deployment": "shop/echo", "rule": "keep: needed"}
    return {**about, **counts, **replicas, **means, "arrivals": 3, "serving": {}}


class Public(Handler):
    def do_POST(self) -> None:
        name = self.path.split("/")[4]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        secret = objects.get("Secret", "slipway", f"{name}-keys")
        keys = [base64.b64decode(key).decode() for key in secret["data"].values()] if secret else []
        refusal = {"reason": "", "message": "A sentence for a person.", "service": name}
        if keys and self.headers.get("Authorization") not in [f"Bearer {key}" for key in keys]:
            self.answer(401, {**refusal, "reason": "key_wrong"})
        elif body == b"busy":
            self.answer(503, {**refusal, "reason": "queue_timeout"})
        elif body == b"fail":
            self.answer(502, {"message": "run() raised ValueError"})
        elif body == b"make":
            self.answer(201, "made")
        else:
            self.answer(200, {"got": body.decode(), "type": self.headers["Content-Type"]})


def main() -> None:
    print("fake router", flush=True)
    admin = ThreadingHTTPServer((HOST, int(os.environ["ADMIN_PORT"])), Admin)
    threading.Thread(target=admin.serve_forever, daemon=True).start()
    ThreadingHTTPServer((HOST, int(os.environ["PORT"])), Public).serve_forever()


main()
