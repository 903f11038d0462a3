"""What a pod asks for and what a node offers, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

MIB_PER_GB = 1024
"""v1's gigabytes are powers of two."""


@dataclass(frozen=True)
class Resources:
    """CPU in millicores, memory in MiB, pods, and accelerators of one kind.

    A pod is one of `pods`; a node offers as many as AKS's `maxPods`.
    """

    cpu: int
    memory: int
    accelerators: int = 0
    pods: int = 1

    @classmethod
    def of(cls, cpu_cores: float, memory_gb: float, accelerators: int = 0, pods: int = 1) -> Self:
        """Round cores and gigabytes as the Kubernetes quantities of a pod are rounded."""
        return cls(round(cpu_cores * 1000), round(memory_gb * MIB_PER_GB), accelerators, pods)

    @property
    def vector(self) -> tuple[int, int, int, int]:
        """The four numbers in their order."""
        return (self.cpu, self.memory, self.accelerators, self.pods)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.cpu + other.cpu,
            self.memory + other.memory,
            self.accelerators + other.accelerators,
            self.pods + other.pods,
        )

    def __sub__(self, other: Resources) -> Resources:
        return self + other * -1

    def __mul__(self, times: int) -> Resources:
        return Resources(self.cpu * times, self.memory * times, self.accelerators * times, self.pods * times)
