"""Sizes of Azure's virtual machines (types first; the table follows)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Vm:
    """A size: cores, memory in GiB, and accelerators by the name that pods ask for them with."""

    name: str
    vcpu: int
    memory_gb: float
    accelerator: str | None = None
    accelerators: int = 0
