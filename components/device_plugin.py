"""NVIDIA's device plugin: AKS installs a GPU's driver, but no node has `nvidia.com/gpu` without a plugin.

AKS's own one (managed GPU pools) is a preview, without the cluster autoscaler. What stands here follows
use-nvidia-gpu.md of MicrosoftDocs/azure-aks-docs (2026-07-02), "Self-managed GPU setup". Other accelerators'
plugins are left to whoever brings them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components import pods
from slipway.settings.capacity import accelerator_label
from slipway.sizing.system import DEVICE_PLUGIN
from slipway.sizing.vms import NVIDIA
from slipway.spec import DEVICE_PLUGIN_NAMESPACE

NAME = "nvidia-device-plugin"
KUBELET = "/var/lib/kubelet/device-plugins"
"""Where the kubelet listens for plugins, and each listens for the kubelet."""
MEMORY_LIMIT = "512Mi"
POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}


@dataclass(frozen=True)
class DevicePluginArgs:
    """Arguments of `DevicePlugin`."""

    image: pulumi.Input[str]


class DevicePlugin(pulumi.ComponentResource):
    """A pod on every node with NVIDIA's GPUs, in a namespace of its own, as it needs a folder of the node."""

    def __init__(self, name: str, args: DevicePluginArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:DevicePlugin", name, {}, opts)
        labels, child = pods.labels(NAME, "device-plugin"), pods.children(self, opts)
        namespace = k8s.core.v1.Namespace(
            DEVICE_PLUGIN_NAMESPACE,
            metadata=k8s.meta.v1.ObjectMetaArgs(name=DEVICE_PLUGIN_NAMESPACE, labels=POD_SECURITY),
            opts=child,
        )
        k8s.apps.v1.DaemonSet(
            name,
            metadata=pods.metadata(NAME, DEVICE_PLUGIN_NAMESPACE, labels),
            spec=k8s.apps.v1.DaemonSetSpecArgs(
                selector=k8s.meta.v1.LabelSelectorArgs(match_labels={pods.NAME: NAME}),
                template=k8s.core.v1.PodTemplateSpecArgs(
                    metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels), spec=_pod(args)
                ),
            ),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[namespace])),
        )
        self.register_outputs({})


def _pod(args: DevicePluginArgs) -> k8s.core.v1.PodSpecArgs:
    asks = DEVICE_PLUGIN.pod
    folder = k8s.core.v1.HostPathVolumeSourceArgs(path=KUBELET, type="Directory")
    return k8s.core.v1.PodSpecArgs(
        automount_service_account_token=False,
        enable_service_links=False,
        priority_class_name="system-node-critical",
        node_selector=accelerator_label(NVIDIA),
        tolerations=[k8s.core.v1.TolerationArgs(operator="Exists")],  # taints keep others away, not this one
        containers=[
            k8s.core.v1.ContainerArgs(
                name="device-plugin",
                image=args.image,
                env=[pods.variable("FAIL_ON_INIT_ERROR", "false")],  # wait for a driver that comes later
                resources=k8s.core.v1.ResourceRequirementsArgs(
                    requests={"cpu": f"{asks.cpu}m", "memory": f"{asks.memory}Mi"},
                    limits={"memory": MEMORY_LIMIT},
                ),
                security_context=k8s.core.v1.SecurityContextArgs(
                    allow_privilege_escalation=False,
                    capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
                ),
                volume_mounts=[k8s.core.v1.VolumeMountArgs(name="kubelet", mount_path=KUBELET)],
            )
        ],
        volumes=[k8s.core.v1.VolumeArgs(name="kubelet", host_path=folder)],
    )
