"""The Pareto chart of `benchmarks.autoscale`: a panel for each case, a line for each way to scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, MARGIN, COLUMNS = 300, 200, 34, 4
COLOURS = ("#0072b2", "#d55e00", "#555555")


def chart(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> str:
    """Draw lost requests (a square root's scale) over replica-seconds: left and low is better."""
    rows = math.ceil(len(panels) / COLUMNS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{COLUMNS * WIDTH}" height="{rows * HEIGHT + 24}" '
        'font-family="sans-serif" font-size="10">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels.items()):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT
        parts.append(f'<g transform="translate({x},{y})">{_panel(title, lines)}</g>')
    names = list(next(iter(panels.values())))
    legend = "".join(
        f'<text x="{10 + 80 * place}" y="{rows * HEIGHT + 16}" fill="{colour}">● {name}</text>'
        for place, (name, colour) in enumerate(zip(names, COLOURS, strict=True))
    )
    return "\n".join([*parts, legend, "</svg>\n"])


def _panel(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    points = [point for line in lines.values() for point in line]
    most_lost, most_cost = max(lost for lost, _ in points) or 1.0, max(cost for _, cost in points)
    least_cost = min(cost for _, cost in points)

    def place(lost: float, cost: float) -> tuple[float, float]:
        across = (cost - least_cost) / (most_cost - least_cost or 1)
        return (
            MARGIN + across * (WIDTH - MARGIN - 12),
            HEIGHT - MARGIN - math.sqrt(lost / most_lost) * (HEIGHT - MARGIN - 30),
        )

    parts = [
        f'<text x="{MARGIN}" y="14" font-weight="bold">{title}</text>',
        f'<path d="M{MARGIN},24 V{HEIGHT - MARGIN} H{WIDTH - 12}" fill="none" stroke="#999"/>',
        f'<text x="{MARGIN - 4}" y="32" text-anchor="end">{most_lost:.1%}</text>',
        f'<text x="{MARGIN - 4}" y="{HEIGHT - MARGIN}" text-anchor="end">0 %</text>',
        f'<text x="{MARGIN}" y="{HEIGHT - MARGIN + 13}">{least_cost:.0f}</text>',
        f'<text x="{WIDTH - 12}" y="{HEIGHT - MARGIN + 13}" text-anchor="end">{most_cost:.0f} s</text>',
    ]
    for line, colour in zip(lines.values(), COLOURS, strict=True):
        places = [place(lost, cost) for lost, cost in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in places]
    return "".join(parts)
