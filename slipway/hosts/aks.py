"""What the nodes of every cluster need: AKS's own tables of names and of network rules."""

from __future__ import annotations

from slipway.hosts.clouds import Cloud
from slipway.hosts.entry import Destination, Direction, Feature, Host, Protocol, Stage
from slipway.hosts.sources import AKS_BASELINE, AKS_EGRESS, PRIVATE_DNS

NOT_CHINA = frozenset({Cloud.PUBLIC, Cloud.US_GOVERNMENT})
PUBLIC = frozenset({Cloud.PUBLIC})
CHINA = frozenset({Cloud.CHINA})

_NODES = (Stage.CLUSTER,)
_API = (Stage.CLUSTER, Stage.ROUTER_DEPLOYED, Stage.ROUTER_STARTS, Stage.ROUTER_RUNS)
_IMAGES = (Stage.CLUSTER, Stage.ROUTER_DEPLOYED)
_NO_IMAGES = "pods in kube-system stay in ImagePullBackOff; scaling and upgrades of nodes fail"
_NO_BINARIES = "new nodes do not become ready: VMExtensionProvisioningError at creation, scaling or upgrade"
_NO_API = "nodes stay NotReady; kubectl logs and exec time out; the router finds no replicas"
_NO_TUNNEL = "kubectl logs, exec and port-forward time out; webhooks and metrics fail"

AKS = (
    Host(
        "{api_server}",
        "nodes, and the router, talk to the Kubernetes API server",
        _NO_API,
        _API,
        Feature.PUBLIC_API_SERVER,
        AKS_EGRESS,
        note="konnectivity speaks ALPN: a firewall that rewrites it breaks the tunnel",
    ),
    Host(
        "*.tun.{region}.{cloud.api_server}",
        "nodes talk to the Kubernetes API server",
        _NO_TUNNEL,
        _API,
        Feature.PUBLIC_API_SERVER,
        AKS_EGRESS,
        clouds=CHINA,
    ),
    Host(
        "*.privatelink.{region}.{cloud.api_server}",
        "nodes, and the router, find the private Kubernetes API server",
        _NO_API,
        _API,
        Feature.PRIVATE_API_SERVER,
        PRIVATE_DNS,
        direction=Direction.INTERNAL,
        zone="privatelink.{region}.{cloud.api_server}",
        note="the document does not list this zone for Azure Government",
    ),
    Host(
        "mcr.microsoft.com",
        "images of AKS's own components, from Microsoft Container Registry",
        _NO_IMAGES,
        _IMAGES,
        Feature.AKS,
        AKS_EGRESS,
    ),
    Host(
        "*.data.mcr.microsoft.com",
        "layers of images of AKS's own components",
        _NO_IMAGES,
        _IMAGES,
        Feature.AKS,
        AKS_EGRESS,
    ),
    Host(
        "mcr-0001.mcr-msedge.net",
        "layers of images of AKS's own components, by the content delivery network",
        _NO_IMAGES,
        _IMAGES,
        Feature.AKS,
        AKS_EGRESS,
        clouds=PUBLIC,
    ),
    Host(
        "mcrprod.azurecr.io",
        "images of AKS's own components, under a name that nodes were seen to ask for",
        _NO_IMAGES,
        _IMAGES,
        Feature.AKS,
        AKS_BASELINE,
        clouds=NOT_CHINA,
        note="in no document, and not in the FQDN tag; firewalls were seen to block it in June 2026",
    ),
    *(
        Host(
            name,
            "images of AKS's own components, from the registry's cache in China",
            _NO_IMAGES,
            _IMAGES,
            Feature.AKS,
            AKS_EGRESS,
            clouds=CHINA,
        )
        for name in ("mcr.azure.cn", "*.data.mcr.azure.cn")
    ),
    Host(
        "{cloud.management}",
        "AKS makes load balancers, disks and routes through Azure Resource Manager",
        "Services stay without an external address; disks do not attach; nodes stay without routes",
        _NODES,
        Feature.AKS,
        AKS_EGRESS,
    ),
    Host(
        "{cloud.login}",
        "sign-in to Microsoft Entra",
        "image pulls from the registry fail with 401; Services stay without an address",
        _NODES,
        Feature.AKS,
        AKS_EGRESS,
    ),
    Host(
        "packages.microsoft.com",
        "Microsoft's packages for the nodes",
        _NO_BINARIES,
        _NODES,
        Feature.AKS,
        AKS_EGRESS,
    ),
    Host(
        "packages.aks.azure.com",
        "binaries of Kubernetes and of Azure CNI",
        _NO_BINARIES,
        _NODES,
        Feature.AKS,
        AKS_EGRESS,
        clouds=NOT_CHINA,
    ),
    Host(
        "acs-mirror.azureedge.net",
        "binaries of kubenet and of Azure CNI, for older node images",
        _NO_BINARIES,
        _NODES,
        Feature.AKS,
        AKS_EGRESS,
        clouds=NOT_CHINA,
        note="packages.aks.azure.com replaces it; github.com/Azure/AKS/issues/4792 retires it on 2025-05-31",
    ),
    Host(
        "*.azk8s.cn",
        "binaries of Kubernetes and of Azure CNI",
        _NO_BINARIES,
        _NODES,
        Feature.AKS,
        AKS_EGRESS,
        clouds=CHINA,
    ),
    *(
        Host(
            "AzureCloud.{region}",
            "the tunnel between nodes and the control plane",
            _NO_TUNNEL,
            _NODES,
            Feature.TUNNEL,
            AKS_EGRESS,
            protocol=protocol,
            port=port,
            destination=Destination.SERVICE_TAG,
            clouds=clouds,
        )
        for protocol, port, clouds in (
            (Protocol.UDP, 1194, frozenset(Cloud)),
            (Protocol.TCP, 9000, frozenset(Cloud)),
            (Protocol.TCP, 22, CHINA),
        )
    ),
    Host(
        "ntp.ubuntu.com",
        "the nodes' clocks",
        "clocks drift until certificates and tokens are refused",
        _NODES,
        Feature.NTP,
        AKS_EGRESS,
        protocol=Protocol.UDP,
        port=123,
    ),
    Host(
        "{dns_server}",
        "the nodes' own DNS servers",
        "no name resolves: nodes do not become ready",
        _NODES,
        Feature.CUSTOM_DNS,
        AKS_EGRESS,
        protocol=Protocol.UDP,
        port=53,
        destination=Destination.ADDRESS,
    ),
    Host(
        "{api_server_ip}",
        "pods that call the Kubernetes API server by its address, as the router does",
        "the router's pods do not become ready: connections to the service kubernetes time out",
        (Stage.ROUTER_STARTS, Stage.ROUTER_RUNS),
        Feature.PODS_CALL_API_SERVER,
        AKS_EGRESS,
        protocol=Protocol.TCP,
        destination=Destination.ADDRESS,
        note="not needed by pods with the annotation kubernetes.azure.com/set-kube-service-host-fqdn",
    ),
)
