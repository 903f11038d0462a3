"""The AKS cluster and its agent pools, as a stack file describes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from slipway.problems import Checked, Many
from slipway.settings.kinds import ClusterName, EntraId, Label, LabelName, PinnedImage, Taint, Zones, id_of
from slipway.spec import ExtendedResource

PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,11}$")]
"""Azure's rule for Linux agent pools."""
ClusterPurpose = Literal["FastProd", "DenseProd", "DevTest"]
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
OF_A_NEW_CLUSTER = (
    "kubernetes_version",
    "system_pool",
    "pools",
    "nvidia_device_plugin",
    "admin_group_ids",
    "maintenance",
)
"""What an attached cluster has of its own; the rest says which hosts it needs, or what Slipway makes."""
NVIDIA_DEVICE_PLUGIN = "mcr.microsoft.com/oss/v2/nvidia/k8s-device-plugin:v0.18.2"
"""The version against which AKS tests its nodes' images (Azure/AgentBaker, e2e, 2026)."""
ClusterId = Annotated[str, id_of("Microsoft.ContainerService/managedClusters")]


class AgentPool(Checked):
    """Nodes of one kind."""

    name: PoolName = Field(examples=["pool"])
    """1 to 12 lower-case letters and digits, a letter first"""
    vm_size: str = "Standard_D4s_v5"
    """a VM size such as Standard_D4s_v5"""
    vcpu: Annotated[int, Field(gt=0)] | None = None
    """a number of cores, for a VM size that Slipway's table lacks"""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """gigabytes, for a VM size that Slipway's table lacks"""
    accelerator: ExtendedResource | None = None
    """an extended resource such as nvidia.com/gpu; what the VM size has without it"""
    accelerators: Annotated[int, Field(ge=0)] | None = None
    """accelerators of one node, for a VM size that Slipway's table lacks"""
    count: Annotated[int, Field(ge=0, le=1000)] = 1
    """a number of nodes; with max_count, the first number"""
    min_count: Annotated[int, Field(ge=0, le=1000)] | None = None
    """the least nodes of AKS's cluster autoscaler; count without it"""
    max_count: Annotated[int, Field(ge=1, le=1000)] | None = None
    """the most nodes of AKS's cluster autoscaler, which is off without it"""
    max_surge: Annotated[int, Field(ge=1)] = 1
    """nodes added while a pool is upgraded"""
    max_pods: Annotated[int, Field(ge=10, le=250)] | None = None
    """pods a node from 10 to 250; AKS's default of the network model without it"""
    zones: Zones = ()
    """a list of zones: "1", "2", "3\""""
    os_disk_gb: Annotated[int, Field(ge=30, le=2048)] | None = None
    """gigabytes from 30 to 2048; AKS's default without it"""
    labels: dict[LabelName, Label] = Field(default_factory=dict)
    """a mapping of node labels"""
    taints: Many[Taint] = ()
    """a list such as dedicated=team-a:NoSchedule; accelerators get theirs by themselves"""

    def mistakes(self) -> list[str]:
        mistakes: list[str] = []
        least = self.min_count if self.min_count is not None else self.count
        if self.max_count is None and self.min_count is not None:
            mistakes.append(f"min_count = {self.min_count} without max_count: give both, or only count")
        if self.max_count is not None and not least <= self.count <= self.max_count:
            mistakes.append(
                f"count = {self.count} is not between min_count = {least} and max_count = {self.max_count}: "
                "choose one that is"
            )
        if (self.vcpu is None) != (self.memory_gb is None):
            mistakes.append("vcpu and memory_gb go together: give both, or neither")
        return mistakes

    @property
    def least(self) -> int:
        """The fewest nodes that the pool can have."""
        if self.max_count is None or self.min_count is None:
            return self.count
        return self.min_count

    @property
    def most(self) -> int:
        """The most nodes that the pool can have, a surge apart."""
        return self.max_count if self.max_count is not None else self.count


class Maintenance(Checked):
    """When AKS may upgrade by itself."""

    day: Day = "Sunday"
    """a day of the week"""
    start_time: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "02:00"
    """hours and minutes such as 02:00, UTC"""
    duration_hours: Annotated[int, Field(ge=4, le=24)] = 4
    """hours from 4 to 24"""


class Defender(Checked):
    """Microsoft Defender for Containers."""

    sensor: bool = False
    """true or false: the sensor on the nodes"""
    plan: bool = False
    """true or false: the plan of the whole subscription, which costs by core"""


class Cluster(Checked):
    """The AKS cluster: created, or attached by `id`."""

    id: ClusterId | None = None
    """the id of an AKS cluster that exists"""
    name: ClusterName = "slipway"
    """1 to 45 letters, digits and hyphens; the network and all in it are named after the cluster"""
    cluster_purpose: ClusterPurpose = "FastProd"
    """one of FastProd, DenseProd, DevTest"""
    kubernetes_version: Annotated[str, StringConstraints(pattern=r"^1\.\d+(\.\d+)?$")] | None = None
    """a version such as "1.34"; AKS's default without it"""
    system_pool: AgentPool = AgentPool(name="system", count=3)
    """a mapping, as in pools; it always has nodes"""
    pools: Many[AgentPool] = ()
    """a list of agent pools for web services; without one they stand in the system pool"""
    nvidia_device_plugin: PinnedImage | None = NVIDIA_DEVICE_PLUGIN
    """an image by version or digest; null where something else installs it, such as the GPU Operator"""
    admin_group_ids: Many[EntraId] = ()
    """a list of object ids of Entra groups whose members administer the cluster"""
    maintenance: Maintenance = Maintenance()
    """a mapping: day, start_time, duration_hours"""
    defender: Defender = Defender()
    """a mapping: sensor, plan"""
    monitor: bool = False
    """true or false: Container insights into the workspace's logs"""
    azure_policy: bool = False
    """true or false: the Azure Policy add-on"""

    def mistakes(self) -> list[str]:
        names = [self.system_pool.name, *(pool.name for pool in self.pools)]
        mistakes = [
            f"pools: two pools are named `{name}`; rename one"
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        if self.system_pool.least < 1:
            mistakes.append(
                f"system_pool has {self.system_pool.least} nodes at least: a cluster needs one; raise count "
                "or min_count"
            )
        if self.id is not None:
            mistakes += [
                f"{name} with id = {self.id}: an attached cluster keeps what it has; remove it"
                for name in OF_A_NEW_CLUSTER
                if getattr(self, name) != Cluster.model_fields[name].default
            ]
        return mistakes

    @property
    def production(self) -> bool:
        """Tell whether v1's rules for production hold."""
        return self.cluster_purpose != "DevTest"
