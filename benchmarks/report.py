"""What every benchmark here prints: a table of medians and spreads, held against bars.

A benchmark is one command, `python -m benchmarks.NAME`. It makes its own peers, runs them in turn, at least
seven times each, and prints one table; `--json FILE` keeps every value, `--check` fails if a bar is missed.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Figure:
    """One line: all values that were seen, and what the median must be at least or at most."""

    name: str
    values: tuple[float, ...]
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def missed(self) -> bool:
        low = self.at_least is not None and self.median < self.at_least
        return low or (self.at_most is not None and self.median > self.at_most)

    @property
    def bar(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return f"<= {self.at_most:g}" if self.at_most is not None else ""


def arguments(
    description: str | None, *, pairs: int, seconds: float | None = None
) -> argparse.ArgumentParser:
    """Give the options that every benchmark has; `seconds` is the length of one run, where it has one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=pairs, help=f"runs of each peer (default: {pairs})")
    if seconds is not None:
        parser.add_argument(
            "--seconds", type=float, default=seconds, help=f"length of one run (default: {seconds:g})"
        )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    return parser


def finish(title: str, figures: Sequence[Figure], options: argparse.Namespace) -> int:
    """Print the table, write the values, and return the exit status."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    each = f" of {options.seconds:g} s each" if "seconds" in options else ""
    print(f"{title} ({options.pairs} runs{each}; {machine})\n")
    rows: list[tuple[str, ...]] = [("", "median", "lowest", "highest", "bar", "")]
    cases = [one.name.rpartition(": ")[0] for one in figures]
    for number, one in enumerate(figures):
        if cases.index(cases[number]) == number and cases.count(cases[number]) > 1:
            rows.append(("",) * len(rows[0]))
        numbers = (f"{number:.4g}" for number in (one.median, min(one.values), max(one.values)))
        name = f"{one.name} [{one.unit}]" if one.unit else one.name
        rows.append((name, *numbers, one.bar, ("MISSED" if one.missed else "met") if one.bar else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print(f"{row[0].ljust(len(first))}  {'  '.join(rest)}".rstrip())
    if options.json:
        kept = {"title": title, "machine": machine, "figures": [asdict(one) for one in figures]}
        options.json.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    missed = [one.name for one in figures if one.missed]
    if missed and options.check:
        print(f"\nmissed: {', '.join(missed)}", file=sys.stderr)
        return 1
    return 0
