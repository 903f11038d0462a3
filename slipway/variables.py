"""Environment variables of a scoring container that are not a user's to set."""

from __future__ import annotations

from collections.abc import Iterable

OWN = frozenset(
    {
        "AML_MODEL_DC_STORAGE_ENABLED",
        "AZUREML_ARM_RESOURCEGROUP",
        "AZUREML_ARM_SUBSCRIPTION",
        "AZUREML_ARM_WORKSPACE_NAME",
        "AML_APP_INSIGHTS_ENABLED",
        "BATCH_WAIT_MS",
        "MAX_BATCH_SIZE",
        "MODEL_DATA_SAMPLING_RATE",
        "MODEL_DATA_SPOOL",
        "POD_IP",
        "PORT",
        "REPLICA_MAX_CONCURRENT_REQUESTS",
        "SCORING_TIMEOUT_MS",
        "SERVICE_NAME",
        "TMPDIR",
    }
)
"""What Slipway gives every scoring container."""
MODEL_DIR = "AZUREML_MODEL_DIR"
OF_IMAGES = {
    "AML_APP_ROOT": "it is the folder of `source_directory`; remove it",
    "AZUREML_ENTRY_SCRIPT": "set entry_script instead",
    MODEL_DIR: "set models instead",
    "PYTHONPATH": "put modules into `source_directory`, or use sys.path",
    "PYTHONUSERBASE": "put packages into environment.requirements",
}
"""What an image that Slipway builds has set for itself, with the remedy: a pod's variables would win."""


def mistakes(names: Iterable[str], *, built: bool, fetched: bool) -> list[str]:
    """Give a line for each name that is taken, where the image is built here or its models are fetched."""
    taken = OF_IMAGES if built else {MODEL_DIR: OF_IMAGES[MODEL_DIR]} if fetched else {}
    remedies = {**dict.fromkeys(OWN, "rename yours"), **taken}
    return [
        f"environment.environment_variables.{name}: Slipway sets this variable itself; {remedies[name]}"
        for name in sorted(remedies.keys() & set(names))
    ]
