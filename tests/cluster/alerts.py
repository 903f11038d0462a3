"""Prometheus' own judgement of docs/alerts.yaml: which alerts fire over scrapes of real routers.

A scrape stands for a minute, however short it really was: so an alert's waiting time costs a test none.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

RULES = Path(__file__).parents[2] / "docs" / "alerts.yaml"
Scrape = Mapping[str, str]
"""What each pod's `/metrics` said, by its name; a pod that did not answer is not in it."""


def check(folder: Path, scrapes: Sequence[Scrape], firing: Mapping[int, Iterable[str]]) -> None:
    """Hold that after so many scrapes exactly these alerts fire, each as `NAME` or `NAME of SERVICE`."""
    series: dict[str, dict[int, float]] = {}
    now = time.time()
    for minute, scrape in enumerate(scrapes):
        for pod, text in scrape.items():
            for family in text_string_to_metric_families(text):
                for one in family.samples:
                    ago = now if one.name.endswith("_timestamp_seconds") else 0  # promtool begins in 1970
                    labels = ",".join(f'{key}="{value}"' for key, value in {**one.labels, "pod": pod}.items())
                    series.setdefault(f"{one.name}{{{labels}}}", {})[minute] = one.value - ago
    expected = [
        {
            "eval_time": f"{minutes - 1}m",
            "expr": 'count by (alertname, service) (ALERTS{alertstate="firing"})',
            "exp_samples": [{"labels": _labels(one), "value": 1} for one in names],
        }
        for minutes, names in firing.items()
    ]
    inputs = [
        {"series": name, "values": " ".join(f"{values.get(at, '_')}" for at in range(len(scrapes)))}
        for name, values in series.items()
    ]
    tests = [{"interval": "1m", "input_series": inputs, "promql_expr_test": expected}]
    file = folder / "alerts_test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    said = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def _labels(alert: str) -> str:
    name, _, service = alert.partition(" of ")
    return f'{{alertname="{name}"' + (f', service="{service}"' if service else "") + "}"
