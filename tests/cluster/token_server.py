"""A registry that takes tokens only, behind Azure's documented endpoints for them; nothing here is Azure.

`GET /oauth2/token` gives a token for a user's login or to nobody (what is public), `POST /oauth2/exchange`
and `POST /oauth2/token` do what `AAD-OAuth.md` of Azure/acr says. Everything else goes to docker-registry,
which verifies the tokens; reads of blobs are redirected to a storage that refuses anybody's Authorization,
as Azure's does for signed addresses.
"""

from __future__ import annotations

import base64
import datetime
import http.client
import json
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.registries import PASSWORD, RunningRegistry, registry

SERVICE, ISSUER = "registry.test", "token server of a test"
USERS = {"ann": PASSWORD, "bob": "bobs-password"}
"""`bob` may read only."""
ENTRA_TOKEN = "a-token-of-entra"
REFRESH_TOKEN = "a-refresh-token"


@dataclass
class Acr:
    """What runs, and what it was asked for tokens."""

    host: str
    registry: RunningRegistry
    asked: list[str] = field(default_factory=list[str])
    """method and path of every request for a token"""
    scopes: list[str] = field(default_factory=list[str])
    given: list[str] = field(default_factory=list[str])
    """the tokens, of which those in `ended` are good no more"""
    ended: list[str] = field(default_factory=list[str])
    redirected: int = 0


class Signer:
    """Signs tokens with a key whose certificate the registry trusts."""

    def __init__(self, bundle: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, ISSUER)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .sign(self._key, hashes.SHA256())
        )
        bundle.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        self._chain = [base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()]

    def token(self, user: str, scopes: list[str]) -> str:
        now = int(time.time())
        access: list[dict[str, object]] = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            allowed = [
                action for action in actions.split(",") if user == "ann" or (user and action == "pull")
            ]
            access.append({"type": kind, "name": name, "actions": allowed})
        claims = {"iss": ISSUER, "sub": user, "aud": SERVICE, "nbf": now - 10, "iat": now, "exp": now + 600}
        claims |= {"jti": "1", "access": access}
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"x5c": self._chain})


@contextmanager
def acr(folder: Path) -> Generator[Acr]:
    """Run it all on loopback."""
    folder.mkdir(parents=True)
    signer = Signer(folder / "bundle.pem")

    class Storage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            digest, signed = urlsplit(self.path).path.rpartition("/")[2], "sig=" in self.path
            content = running.registry.blob(digest).read_bytes()
            self.send_response(200 if signed and "Authorization" not in self.headers else 400)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    class Front(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            url = urlsplit(self.path)
            if url.path.startswith("/oauth2/"):
                running.asked.append(f"{self.command} {url.path}")
                self.tokens(url.path, parse_qs(url.query), parse_qs(body.decode()))
            else:
                self.forward(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def tokens(self, path: str, query: dict[str, list[str]], form: dict[str, list[str]]) -> None:
            given = {name: values[0] for name, values in (query | form).items()}
            grant = (self.command, path, given.get("grant_type"))
            if given.get("service") != SERVICE:
                self.say(400, {"errors": [{"code": "BAD", "message": "no service"}]})
            elif grant == ("POST", "/oauth2/exchange", "access_token"):
                good = given["access_token"] == ENTRA_TOKEN
                self.say(*((200, {"refresh_token": REFRESH_TOKEN}) if good else (401, {})))
            elif grant == ("POST", "/oauth2/token", "refresh_token"):
                if given["refresh_token"] == REFRESH_TOKEN:
                    self.give("ann", given["scope"].split())
                else:
                    self.say(401, {})
            elif grant == ("GET", "/oauth2/token", None):
                user, good = "", True
                if "Authorization" in self.headers:
                    pair = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
                    user, _, password = pair.partition(":")
                    good = USERS.get(user) == password
                error = {"errors": [{"code": "UNAUTHORIZED", "message": "no such login"}]}
                if good:
                    self.give(user, query["scope"])
                else:
                    self.say(401, error)
            else:
                self.say(400, {})

        def give(self, user: str, scopes: list[str]) -> None:
            running.scopes += scopes
            running.given.append(signer.token(user, scopes))
            self.say(200, {"access_token": running.given[-1]})

        def say(self, status: int, content: Mapping[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def forward(self, body: bytes) -> None:
            if self.headers.get("Authorization", "").removeprefix("Bearer ") in running.ended:
                del self.headers["Authorization"]
            with closing(http.client.HTTPConnection(running.registry.host)) as upstream:
                upstream.request(self.command, self.path, body, dict(self.headers))
                told = upstream.getresponse()
                content = told.read()
            if self.command == "GET" and "/blobs/sha256:" in self.path and told.status == 200:
                running.redirected += 1
                content, status = b"", 307
                digest = self.path.rpartition("/")[2]
                told.headers["Location"] = f"http://127.0.0.1:{storage.server_port}/{digest}?sig=very-secret"
                told.headers.replace_header("Content-Length", "0")
            else:
                status = told.status
            self.send_response(status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Storage) as storage,
        ThreadingHTTPServer(("127.0.0.1", 0), Front) as front,
    ):
        host = f"127.0.0.1:{front.server_port}"
        token = {
            "realm": f"http://{host}/oauth2/token",
            "service": SERVICE,
            "issuer": ISSUER,
            "rootcertbundle": str(folder / "bundle.pem"),
        }
        with registry(folder / "registry", {"token": token}) as behind:
            running = Acr(host, behind)
            for server in (storage, front):
                threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield running
            for server in (storage, front):
                server.shutdown()
