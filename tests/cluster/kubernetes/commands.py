"""What the components of a single-node cluster are told: their arguments and files.

Everything that is left out is Kubernetes' own default. Who speaks to the API server has a token of its own;
certificates are those that the components make for themselves.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.cluster.kubernetes.machine import Machine

NODE = "node"
CONTEXT = "slipway-test"
CONTAINERD = "/run/containerd/containerd.sock"
ETCD = "http://127.0.0.1:2379"
API_PORT = 6443
HOME = "/var/lib/kubernetes"
"""Where the files are, in the machine."""
KUBELET_CLOSED = ("-A", "INPUT", "!", "-i", "lo", "-p", "tcp", "--dport", "10250", "-j", "DROP")
"""iptables' rule by which nobody but the machine itself reaches its kubelet, which trusts everybody."""
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""User and group of each component, as Kubernetes' own roles are bound to them."""


def write(machine: Machine, pause: str) -> Path:
    """Write all files; `pause` is the reference of the image that holds a pod's namespaces.

    Give the kubeconfig of an administrator.
    """
    home = machine.lib / "kubernetes"
    home.mkdir()
    tokens = {name: secrets.token_urlsafe(24) for name in USERS}
    rows = [f'{tokens[name]},{user},{user},"{group}"\n' for name, (user, group) in USERS.items()]
    (home / "tokens.csv").write_text("".join(rows))
    for name, token in tokens.items():
        (home / f"{name}.kubeconfig").write_text(yaml.safe_dump(_kubeconfig(machine, name, token)))
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (home / "service-accounts.key").write_bytes(key)
    (home / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(machine)))
    (home / "kube-proxy.yaml").write_text(yaml.safe_dump(_kube_proxy(machine)))
    (home / "containerd.toml").write_text(_containerd(pause))
    (home / "cni").mkdir()
    (home / "cni" / "pods.conflist").write_text(json.dumps(_network(machine)))
    (home / "resolv.conf").write_text("")
    return home / "admin.kubeconfig"


def commands(machine: Machine) -> Mapping[str, list[str]]:
    """Give the command of each component, in the order in which they need each other."""
    services = f"--service-cluster-ip-range={machine.services}"
    key = f"{HOME}/service-accounts.key"
    return {
        "etcd": [
            "etcd",
            "--data-dir=/run/etcd",
            f"--listen-client-urls={ETCD}",
            f"--advertise-client-urls={ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
        ],
        "containerd": ["containerd", f"--config={HOME}/containerd.toml"],
        "kube-apiserver": [
            "kube-apiserver",
            f"--etcd-servers={ETCD}",
            f"--advertise-address={machine.address}",
            f"--secure-port={API_PORT}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--cert-dir={HOME}",
            f"--token-auth-file={HOME}/tokens.csv",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            services,
        ],
        "kube-controller-manager": [
            "kube-controller-manager",
            f"--kubeconfig={HOME}/kube-controller-manager.kubeconfig",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={key}",
            f"--root-ca-file={HOME}/apiserver.crt",
            "--allocate-node-cidrs",
            f"--cluster-cidr={machine.pods}",
            services,
        ],
        "kube-scheduler": [
            "kube-scheduler",
            f"--kubeconfig={HOME}/kube-scheduler.kubeconfig",
            "--leader-elect=false",
        ],
        "kube-proxy": ["kube-proxy", f"--config={HOME}/kube-proxy.yaml", f"--hostname-override={NODE}"],
        "kubelet": [
            "kubelet",
            f"--config={HOME}/kubelet.yaml",
            f"--kubeconfig={HOME}/kubelet.kubeconfig",
            f"--hostname-override={NODE}",
            f"--node-ip={machine.address}",
        ],
    }


def _kubeconfig(machine: Machine, name: str, token: str) -> dict[str, Any]:
    # Outside, the file has another path than inside; both are of the same machine.
    authority = machine.lib / "kubernetes" / "apiserver.crt"
    server = f"https://{machine.address}:{API_PORT}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": CONTEXT, "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": name}}],
        "current-context": CONTEXT,
    }


def _kubelet(machine: Machine) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        # The API server proves who it is by a certificate only; `KUBELET_CLOSED` stands in for that.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{machine.cgroup}",
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "resolvConf": f"{HOME}/resolv.conf",
        "shutdownGracePeriod": "0s",
    }


def _kube_proxy(machine: Machine) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{HOME}/kube-proxy.kubeconfig"},
        "clusterCIDR": machine.pods,
        "conntrack": {"maxPerCore": 0, "min": 0},  # a machine in a container may not set them
        "mode": "iptables",
    }


def _containerd(pause: str) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return (
        'version = 2\ndisabled_plugins = ["io.containerd.internal.v1.opt"]\n'
        f'[{cri}]\nsandbox_image = "{pause}"\n'
        "restrict_oom_score_adj = true\n"  # without CAP_SYS_RESOURCE a pod cannot be preferred
        f'[{cri}.cni]\nbin_dir = "/usr/lib/cni"\nconf_dir = "{HOME}/cni"\n'
    )


def _network(machine: Machine) -> dict[str, Any]:
    """Route between pods, rather than bridge: then kube-proxy's rules see all packets on every kernel."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": machine.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": True, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}
