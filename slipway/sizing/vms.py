"""Sizes of Azure's virtual machines that clusters for web services are made of.

Sources: azure_instance_types.go of kubernetes/autoscaler, generated from Azure's resource SKUs on
2026-03-17 (cores, memory, GPUs); retired-sizes-list.md (2025-06-13, as amended 2026-04) and np-series.md
(2026-04-13) of MicrosoftDocs/azure-compute-docs (retirements, FPGAs). Sizes for Arm are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

NVIDIA, AMD = "nvidia.com/gpu", "amd.com/gpu"


@dataclass(frozen=True)
class Vm:
    """A size: cores, memory in GiB, and accelerators by the extended resource that pods ask for.

    An FPGA's resource is named after its shell by the device plugin (`amd.com/<shell>-<timestamp>`, and
    `xilinx.com/fpga-...` before version 1.1), so `accelerator` is None there and the pool names it.
    """

    name: str
    vcpu: int
    memory_gb: float
    accelerator: str | None = None
    accelerators: int = 0
    retires: date | None = None


class _Series(NamedTuple):
    """Sizes that differ by their number of cores alone; `{}` stands for it, with GiB for each core."""

    names: str
    gb_per_vcpu: int
    vcpus: tuple[int, ...]
    retires: date | None = None


_OLD_D = date(2028, 5, 1)
_OLD_B_F = date(2028, 11, 15)
_NCV3 = date(2025, 9, 30)
_NVV3 = date(2026, 9, 30)
_NP = date(2027, 5, 31)

_D = (2, 4, 8, 16, 32, 48, 64)
_D96 = (*_D, 96)
_E = (2, 4, 8, 16, 20, 32, 48)
_E64 = (*_E, 64)
_SERIES = (
    _Series("Standard_D{}_v3 Standard_D{}s_v3 Standard_D{}_v4 Standard_D{}s_v4 Standard_D{}d_v4", 4, _D),
    _Series("Standard_D{}ds_v4", 4, _D),
    _Series("Standard_D{}as_v4 Standard_D{}_v5 Standard_D{}s_v5 Standard_D{}d_v5 Standard_D{}ds_v5", 4, _D96),
    _Series("Standard_D{}as_v5 Standard_D{}ads_v5 Standard_D{}as_v6 Standard_D{}ads_v6", 4, _D96),
    _Series("Standard_D{}s_v6 Standard_D{}ds_v6", 4, (*_D96, 128)),
    _Series("Standard_D{}ls_v5 Standard_D{}lds_v5 Standard_D{}ls_v6 Standard_D{}als_v6", 2, _D96),
    _Series("Standard_E{}s_v3 Standard_E{}s_v4 Standard_E{}ds_v4 Standard_E{}as_v4", 8, _E),
    _Series("Standard_E{}s_v5 Standard_E{}ds_v5 Standard_E{}as_v5 Standard_E{}ads_v5", 8, _E),
    _Series("Standard_E{}s_v6 Standard_E{}ds_v6 Standard_E{}as_v6 Standard_E{}ads_v6", 8, _E64),
    _Series("Standard_F{}s_v2", 2, (*_D, 72), _OLD_B_F),
    _Series("Standard_F{}als_v6", 2, _D),
    _Series("Standard_F{}as_v6", 4, _D),
    _Series("Standard_F{}ams_v6", 8, _D),
    _Series("Standard_B{}ms", 4, (2, 4, 8, 12, 16, 20), _OLD_B_F),
    _Series("Standard_B{}s_v2 Standard_B{}as_v2", 4, (2, 4, 8, 16, 32)),
)
_SIZES = (
    *(Vm(f"Standard_{d}2_v2", 2, 7, retires=_OLD_D) for d in ("D", "DS")),
    *(Vm(f"Standard_{d}3_v2", 4, 14, retires=_OLD_D) for d in ("D", "DS")),
    *(Vm(f"Standard_{d}4_v2", 8, 28, retires=_OLD_D) for d in ("D", "DS")),
    *(Vm(f"Standard_{d}5_v2", 16, 56, retires=_OLD_D) for d in ("D", "DS")),
    *(Vm(f"Standard_{d}12_v2", 4, 28, retires=_OLD_D) for d in ("D", "DS")),
    Vm("Standard_B2s", 2, 4, retires=_OLD_B_F),
    Vm("Standard_NC6s_v3", 6, 112, NVIDIA, 1, _NCV3),
    Vm("Standard_NC12s_v3", 12, 224, NVIDIA, 2, _NCV3),
    Vm("Standard_NC24s_v3", 24, 448, NVIDIA, 4, _NCV3),
    Vm("Standard_NC4as_T4_v3", 4, 28, NVIDIA, 1),
    Vm("Standard_NC8as_T4_v3", 8, 56, NVIDIA, 1),
    Vm("Standard_NC16as_T4_v3", 16, 110, NVIDIA, 1),
    Vm("Standard_NC64as_T4_v3", 64, 440, NVIDIA, 4),
    Vm("Standard_NC24ads_A100_v4", 24, 220, NVIDIA, 1),
    Vm("Standard_NC48ads_A100_v4", 48, 440, NVIDIA, 2),
    Vm("Standard_NC96ads_A100_v4", 96, 880, NVIDIA, 4),
    Vm("Standard_NC40ads_H100_v5", 40, 320, NVIDIA, 1),
    Vm("Standard_NC80adis_H100_v5", 80, 640, NVIDIA, 2),
    Vm("Standard_ND40rs_v2", 40, 672, NVIDIA, 8),
    Vm("Standard_ND96asr_v4", 96, 900, NVIDIA, 8),
    Vm("Standard_ND96amsr_A100_v4", 96, 1800, NVIDIA, 8),
    Vm("Standard_ND96isr_H100_v5", 96, 1900, NVIDIA, 8),
    Vm("Standard_ND96isr_H200_v5", 96, 1850, NVIDIA, 8),
    Vm("Standard_ND96isr_MI300X_v5", 96, 1850, AMD, 8),
    Vm("Standard_NV12s_v3", 12, 112, NVIDIA, 1, _NVV3),
    Vm("Standard_NV24s_v3", 24, 224, NVIDIA, 2, _NVV3),
    Vm("Standard_NV48s_v3", 48, 448, NVIDIA, 4, _NVV3),
    Vm("Standard_NV6ads_A10_v5", 6, 55, NVIDIA, 1),
    Vm("Standard_NV12ads_A10_v5", 12, 110, NVIDIA, 1),
    Vm("Standard_NV18ads_A10_v5", 18, 220, NVIDIA, 1),
    Vm("Standard_NV36ads_A10_v5", 36, 440, NVIDIA, 1),
    Vm("Standard_NV72ads_A10_v5", 72, 880, NVIDIA, 2),
    Vm("Standard_NP10s", 10, 168, None, 1, _NP),
    Vm("Standard_NP20s", 20, 336, None, 2, _NP),
    Vm("Standard_NP40s", 40, 672, None, 4, _NP),
)

VMS: dict[str, Vm] = {vm.name: vm for vm in _SIZES} | {
    name.format(vcpu): Vm(name.format(vcpu), vcpu, vcpu * series.gb_per_vcpu, retires=series.retires)
    for series in _SERIES
    for name in series.names.split()
    for vcpu in series.vcpus
}
"""By name; for any other size the pool gives `vcpu` and `memory_gb`."""
