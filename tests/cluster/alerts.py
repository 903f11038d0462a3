"""Prometheus' own judgement of docs/alerts.yaml: which alerts fire over scrapes of real routers.

A scrape stands for a minute, however short it really was: so an alert's waiting time costs a test none.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import yaml
from prometheus_client.parser import text_string_to_metric_families

RULES = Path(__file__).parents[2] / "docs" / "alerts.yaml"
RUNBOOK = RULES.with_name("runbook.md")
Scrape = Mapping[str, str]
"""What each pod's `/metrics` said, by its name; a pod that did not answer is not in it."""


def page(alert: str) -> str:
    """Give what the runbook has of an alert, each paragraph in a line."""
    pages = re.split(r"^## ", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (found,) = [one for one in pages if one.startswith(f"{alert}\n")]
    return re.sub(r"(?<!\n)\n(?!\n)", " ", found)


def promised(alert: str, *words: str) -> None:
    """Hold that the runbook tells of what a test sees."""
    missing = [one for one in words if one not in page(alert)]
    assert not missing, f"{alert}: {missing}"


def check(
    folder: Path,
    scrapes: Sequence[Scrape],
    firing: Mapping[int, Iterable[str]],
    shown: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Hold that after so many scrapes exactly these alerts fire, each as `NAME` or `NAME of SERVICE`.

    `shown` are queries, and for each the labels of the one value above 0 that it has at the first alert.
    """
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
    at = next((minutes for minutes, names in firing.items() if names), 0)
    expected += [
        {
            "eval_time": f"{at - 1}m",
            "expr": f"({query}) * 0 + 1 and ({query}) > 0",
            "exp_samples": [{"labels": labels, "value": 1}],
        }
        for query, labels in shown.items()
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
