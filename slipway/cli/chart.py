"""Values over time: as a line of blocks for a terminal, and as SVG. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

BLOCKS = " ▁▂▃▄▅▆▇█"
COLOURS = ("#888888", "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e")
WIDTH, HEIGHT, LEFT, LINE = 900, 300, 60, 18

Curve = Sequence[tuple[float, float]]
"""From when on which value holds."""


def sample(curve: Curve, seconds: float, columns: int) -> list[float]:
    """Give the highest value of a curve in each of so many equal parts of `seconds`; 0 before it begins."""
    values, at, current = [0.0] * columns, 0, 0.0
    for column in range(columns):
        end = seconds * (column + 1) / columns
        highest = current
        while at < len(curve) and curve[at][0] < end:
            current = curve[at][1]
            highest = max(highest, current)
            at += 1
        values[column] = highest
    return values


def blocks(values: Sequence[float], most: float) -> str:
    """Draw values from 0 to `most`; anything above 0 is seen."""
    full = len(BLOCKS) - 1
    return "".join(
        BLOCKS[min(full, max(value > 0, round(value / most * full)))] if most else " " for value in values
    )


def svg(title: str, curves: Mapping[str, Curve], seconds: float) -> str:
    """Draw curves as steps, with the highest value and the seconds beside the axes, and a legend below."""
    most = max((value for curve in curves.values() for _, value in curve), default=0) or 1
    right, bottom = WIDTH - LEFT, HEIGHT - LEFT

    def x(at: float) -> float:
        return LEFT + (right - LEFT) * min(at, seconds) / (seconds or 1)

    def y(value: float) -> float:
        return bottom - (bottom - LEFT) * value / most

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT + LINE * len(curves)}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT + LINE * len(curves)}" fill="white"/>',
        f'<text x="{LEFT}" y="30" font-size="16">{escape(title)}</text>',
        f'<path d="M{LEFT} {LEFT}V{bottom}H{right}" fill="none" stroke="black"/>',
        f'<text x="{LEFT - 8}" y="{LEFT + 5}" text-anchor="end">{most:g}</text>',
        f'<text x="{LEFT - 8}" y="{bottom + 5}" text-anchor="end">0</text>',
        f'<text x="{right}" y="{bottom + 20}" text-anchor="end">{seconds:.0f} s</text>',
    ]
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        steps = "".join(f"H{x(at):.1f}V{y(value):.1f}" for at, value in curve)
        place = HEIGHT + LINE * number
        lines += [
            f'<path d="M{LEFT} {bottom}{steps}H{right}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
            f'<path d="M{LEFT} {place - 4}H{LEFT + 30}" stroke="{colour}" stroke-width="3"/>',
            f'<text x="{LEFT + 40}" y="{place}">{escape(name)}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
