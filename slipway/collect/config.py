"""What data collection reads from its environment: Azure ML's variables, and two that Slipway adds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Dict, List, Mapping, Optional, Tuple

from slipway.collect.rows import Place

ENABLED = "AML_MODEL_DC_STORAGE_ENABLED"
"""v1's switch: `collect_model_data`."""
SPOOL = "MODEL_DATA_SPOOL"
"""The spool's folder."""
SAMPLING_RATE = "MODEL_DATA_SAMPLING_RATE"
"""The part of all requests that is collected, from 0 to 1."""
SPOOL_BYTES = 256 * 2**20
"""What the files of a spool may take together; whatever comes then is dropped."""
WORKSPACE = ("AZUREML_ARM_SUBSCRIPTION", "AZUREML_ARM_RESOURCEGROUP", "AZUREML_ARM_WORKSPACE_NAME")
MODELS = "azureml-models"
DEFAULT = "default"
"""v1's word for what is not known."""


@dataclass(frozen=True)
class Config:
    """Where rows go, and whose they are."""

    spool: Path
    sampling_rate: float = 1.0
    subscription: str = DEFAULT
    resource_group: str = DEFAULT
    workspace: str = DEFAULT
    service: str = DEFAULT
    models: Mapping[str, str] = field(default_factory=lambda: {})  # noqa: PIE807 - typed
    """Each model's latest version, as `AZUREML_MODEL_DIR` holds them."""

    @property
    def workspace_id(self) -> str:
        """v1's identifier of a workspace."""
        return f"{self.subscription}/{self.resource_group}/{self.workspace}".lower()

    @property
    def source(self) -> str:
        """The service's id, as Azure's resources have them."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        workspace = f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
        return f"{workspace}/services/{self.service}"

    @property
    def model(self) -> Tuple[str, str]:
        """The model, if there is one and no other, with its version."""
        return next(iter(self.models.items())) if len(self.models) == 1 else (DEFAULT, DEFAULT)

    @property
    def place(self) -> Place:
        """Whose rows those are that no collector says more of."""
        return Place(self.workspace_id, self.service, *self.model)


def from_environment(environment: Mapping[str, str], mistakes: List[str]) -> Optional[Config]:
    """Return `None` if nothing is to be collected; add a line for each mistake."""
    if environment.get(ENABLED, "").lower() != "true":
        return None
    if not environment.get(SPOOL):
        mistakes.append(f"{SPOOL} is not set; with {ENABLED} = 'true' it names the spool's folder")
    text = environment.get(SAMPLING_RATE) or "1"
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        mistakes.append(f"{SAMPLING_RATE} = {text!r}, must be a number in [0, 1]")
    subscription, group, workspace = (environment.get(name) or DEFAULT for name in WORKSPACE)
    return Config(
        spool=Path(environment.get(SPOOL, "")),
        sampling_rate=rate,
        subscription=subscription,
        resource_group=group,
        workspace=workspace,
        service=environment.get("SERVICE_NAME") or DEFAULT,
        models=_models(PurePosixPath(environment.get("AZUREML_MODEL_DIR") or "/")),
    )


def _models(folder: PurePosixPath) -> Dict[str, str]:
    """Find what lies in `.../azureml-models/NAME/VERSION`; the variable names one model's folder or all."""
    if MODELS not in folder.parts:
        return {}
    root = Path(*folder.parts[: folder.parts.index(MODELS) + 1])
    found: Dict[str, str] = {}
    for path in root.glob("*/*") if root.is_dir() else ():
        if path.is_dir() and _order(path.name) >= _order(found.get(path.parent.name, "")):
            found[path.parent.name] = path.name
    return found


def _order(version: str) -> "Tuple[int, str]":
    return (int(version) if version.isdigit() else -1, version)
