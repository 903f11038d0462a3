"""All hosts that are known, as one table."""

from __future__ import annotations

from slipway.hosts.addons import ADDONS
from slipway.hosts.aks import AKS
from slipway.hosts.azureml import AZUREML_HOSTS
from slipway.hosts.entry import Host
from slipway.hosts.workspace import WORKSPACE

CATALOGUE: tuple[Host, ...] = (*AKS, *ADDONS, *WORKSPACE, *AZUREML_HOSTS)
