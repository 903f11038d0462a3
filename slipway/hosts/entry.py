"""One host that a cluster must reach or be reached by: what it is for, when, and who says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from slipway.hosts.clouds import Cloud


class Stage(StrEnum):
    """When a host is first needed, in this order: v1's chronology, after the cluster itself."""

    CLUSTER = "cluster created"
    ROUTER_DEPLOYED = "router deployed"
    ROUTER_STARTS = "router starts"
    ROUTER_RUNS = "router runs"
    MODEL_DEPLOYED = "model deployed"

    @property
    def order(self) -> int:
        """Give the place in the order, from 0."""
        return tuple(Stage).index(self)


class Feature(StrEnum):
    """What of a stack needs hosts. A `Needs` names those that are on."""

    AKS = "AKS"
    """every cluster"""
    PUBLIC_API_SERVER = "public API server"
    """the cluster is not private"""
    PRIVATE_API_SERVER = "private API server"
    """the cluster is private: the name must resolve, no rule is needed"""
    TUNNEL = "tunnel"
    """a cluster with a public API server and without konnectivity-agent"""
    NTP = "ntp"
    """nodes provisioned before March 2021"""
    PODS_CALL_API_SERVER = "pods call the API server"
    """by its address: pods without the annotation kubernetes.azure.com/set-kube-service-host-fqdn"""
    CUSTOM_DNS = "custom DNS"
    """on by itself with `Needs.dns_servers`"""
    OS_UPDATES = "OS updates"
    GPU = "GPU"
    WORKLOAD_IDENTITY = "workload identity"
    """pods that sign in to Entra: the key vault's certificate, models and collected data in storage"""
    DEFENDER = "Defender"
    MONITOR = "Azure Monitor"
    """Container insights and managed Prometheus"""
    POLICY = "Azure Policy"
    KEY_VAULT = "key vault"
    """the key vault's CSI driver"""
    KEY_VAULT_PRIVATE = "private key vault"
    """the same through a private endpoint"""
    REGISTRY = "registry"
    """the workspace's registry; layers come from any account of Blob storage"""
    REGISTRY_DATA_ENDPOINT = "registry with data endpoint"
    """the workspace's registry; layers come from a host of its own"""
    REGISTRY_PRIVATE = "private registry"
    """the workspace's registry through a private endpoint, which brings a data endpoint"""
    STORAGE = "storage"
    """Blob storage of the workspace: models, outputs, collected data"""
    STORAGE_PRIVATE = "private storage"
    """the same through a private endpoint"""
    APP_INSIGHTS = "Application Insights"
    """a web service with enable_app_insights that exports to the workspace"""
    ROUTER_NAME = "router's public name"
    """on by itself with `Needs.router_name`"""
    ROUTER_BEHIND_FIREWALL = "router behind the firewall"
    """on by itself with `Needs.router_ip`"""
    AZUREML = "Azure ML v1"
    """v1's own table: `hosts.azureml`"""
    AZUREML_EXTENSION = "Azure ML extension"
    """Azure ML's extension on the same cluster; needs CLUSTER_EXTENSIONS too"""
    CLUSTER_EXTENSIONS = "cluster extensions"


class Protocol(StrEnum):
    """HTTP and HTTPS are TCP whose content a firewall can read names from."""

    HTTPS = "HTTPS"
    HTTP = "HTTP"
    TCP = "TCP"
    UDP = "UDP"

    @property
    def transport(self) -> Protocol:
        """Give TCP or UDP."""
        return Protocol.UDP if self is Protocol.UDP else Protocol.TCP


class Destination(StrEnum):
    """What the text of a host is."""

    FQDN = "fqdn"
    """a name, or `*.` and the end of names at any depth"""
    FQDN_TAG = "fqdn_tag"
    SERVICE_TAG = "service_tag"
    ADDRESS = "address"
    """an IPv4 address or range"""


class Direction(StrEnum):
    """From where to where."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    INTERNAL = "internal"
    """inside the virtual network (a private endpoint): the name must resolve, no firewall is passed"""


@dataclass(frozen=True)
class Source:
    """Who says that a host is needed: a document, its own date, and the day it was read."""

    document: str
    dated: date
    read: date

    def __str__(self) -> str:
        return f"{self.document} ({self.dated})"


ALL = frozenset(Cloud)


@dataclass(frozen=True)
class Host:
    """One line of a document's table.

    `pattern` is a name (with a leading `*.` at most), a service tag or an address, and may hold
    placeholders: `{region}`, `{workspace_region}`, `{api_server}`, `{api_server_ip}`, `{registry}`,
    `{storage}`, `{vault}`, `{router_name}`, `{router_ip}`, `{dns_server}` (a host for each), and
    `{cloud.x}`, the suffix `x` of the cloud. `zone`, with the same placeholders, is the private DNS zone
    that answers for an internal host. `symptom` is what a person sees when the host is missing; `note`
    says where documents disagree.
    """

    pattern: str
    purpose: str
    symptom: str
    stages: tuple[Stage, ...]
    feature: Feature
    source: Source
    protocol: Protocol = Protocol.HTTPS
    port: int = 443
    destination: Destination = Destination.FQDN
    direction: Direction = Direction.OUTBOUND
    clouds: frozenset[Cloud] = ALL
    zone: str = ""
    note: str = ""
