"""Names that the graph and what runs in its pods agree on, without the SDK."""

from __future__ import annotations

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
"""The variable of Azure's own tools, a secret but for the emulator's."""
BLOB_ENDPOINT = "AZURE_STORAGE_BLOB_ENDPOINT"
"""The variable with an account's address, which is no secret: https://NAME.blob.core.windows.net."""
MODELS_DIR = "MODELS_DIR"
"""The variable of the init container with the folder of all models."""
MODELS_CACHE = "MODELS_CACHE"
"""The variable with the folder in which `slipway up` has put models already."""
OUTPUTS = "OUTPUTS"
"""The variable of the uploader with the folder that is the script's `./outputs`."""
UPLOAD = ("python3", "-m", "slipway.storage.upload")
"""The uploader's command."""
FETCH = ("python3", "-m", "slipway.storage.fetch")
"""The init container's command; the models are its arguments."""
