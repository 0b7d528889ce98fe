"""Results for people: a table in Markdown, and a plot in SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

Results = list[dict[str, Any]]

CONTESTANTS = {
    "reference_ms": ("durabletask-dapr", "#c0392b"),
    "microsoft_ms": ("durabletask (Microsoft)", "#d68910"),
    "ours_ms": ("durabletask-rs", "#1f618d"),
    "generator_ms": ("the bare generator", "#7f8c8d"),
}
EXPONENT_FROM = 1_000
"""Below, what a turn costs in any case hides how the cost grows."""


def growth_exponent(results: Results, workload: str, column: str = "ours_ms") -> float | None:
    """How the time grows with the steps: 1 is linear, 2 quadratic. The slope of the logarithms."""
    points = [
        (math.log(result["steps"]), math.log(result[column]))
        for result in results
        if result["workload"] == workload and result["steps"] >= EXPONENT_FROM and column in result
    ]
    if len({steps for steps, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    covariance = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return round(covariance / sum((x - mean_x) ** 2 for x, _ in points), 3)


def exponents(results: Results) -> dict[str, float]:
    """The growth exponent of every workload that was measured at two lengths."""
    found = {name: growth_exponent(results, name) for name in _workloads(results)}
    return {name: exponent for name, exponent in found.items() if exponent is not None}


def table(results: Results) -> str:
    """Markdown: a line for each workload and length."""
    header = (
        "workload",
        "steps",
        "µs/step",
        "ours ms",
        "reference ms",
        "reference/ours",
        "of medians",
        "Microsoft ms",
        "Microsoft/ours",
        "generator ms",
        "ours/generator",
        "exponent",
    )
    growth = exponents(results)
    lines = [f"| {' | '.join(header)} |", "| --- |" + " ---: |" * (len(header) - 1)]
    for result in results:
        cells = (
            result["workload"],
            f"{result['steps']:,}",
            f"{result['microseconds_per_step']:.3f}",
            _number(result, "ours_ms", 3),
            _number(result, "reference_ms", 2),
            _number(result, "ratio", 1),
            _number(result, "median_ratio", 1),
            _number(result, "microsoft_ms", 2),
            _number(result, "ratio_to_microsoft", 1),
            _number(result, "generator_ms", 3),
            _number(result, "ratio_to_generator", 2),
            f"{growth[result['workload']]:.3f}" if result["workload"] in growth else "-",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(results: Results) -> str:
    """SVG: how the time for a chain grows, and how many times faster each workload is."""
    width, height = 980, 420
    font = 'font-family="system-ui, sans-serif"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {font}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *_growth([result for result in results if result["workload"] == "chain"]),
        *_ratios(results),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _growth(results: Results) -> Iterable[str]:
    """The left half: milliseconds over steps, both axes logarithmic."""
    left, top, width, height = 60, 50, 380, 310
    lengths = sorted({result["steps"] for result in results})
    times = [result[column] for result in results for column in CONTESTANTS if column in result]
    if len(lengths) < 2 or not times:
        return
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    first, last = math.log10(lengths[0]), math.log10(lengths[-1])

    def at(steps: float, milliseconds: float) -> tuple[float, float]:
        across = (math.log10(steps) - first) / (last - first)
        up = (math.log10(milliseconds) - low) / (high - low)
        return left + across * width, top + height - up * height

    yield _text(left, 24, "Replaying a chain of activities: milliseconds over steps", weight="600")
    for exponent in range(low, high + 1):
        _, y = at(lengths[0], 10.0**exponent)
        yield _line(left, y, left + width, y, "#e5e5e5")
        yield _text(left - 8, y + 4, f"{10.0**exponent:,g}", anchor="end")
    for steps in lengths:
        x, _ = at(steps, 10.0**low)
        yield _line(x, top, x, top + height, "#e5e5e5")
        yield _text(x, top + height + 18, f"{steps:,}", anchor="middle")
    for place, (column, (name, colour)) in enumerate(CONTESTANTS.items()):
        points = [at(result["steps"], result[column]) for result in results if column in result]
        if not points:
            continue
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for x, y in points:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        yield _line(left + 12, top + 12 + place * 18, left + 32, top + 12 + place * 18, colour, 2)
        yield _text(left + 38, top + 16 + place * 18, name)


def _ratios(results: Results) -> Iterable[str]:
    """The right half: a bar for each workload, at the greatest length that the reference replayed, up to 10,000."""
    left, top, width = 640, 50, 250
    bars = []
    for name in _workloads(results):
        compared = [
            result
            for result in results
            if result["workload"] == name and "ratio" in result and result["steps"] <= 10_000
        ]
        if compared:
            longest = max(compared, key=lambda result: int(result["steps"]))
            bars.append((name, longest["steps"], longest["ratio"]))
    if not bars:
        return
    greatest = max(ratio for _, _, ratio in bars)
    yield _text(490, 24, "Times faster than durabletask-dapr", weight="600")
    for place, (name, steps, ratio) in enumerate(bars):
        y = top + place * 34
        length = width * ratio / greatest
        colour = CONTESTANTS["ours_ms"][1]
        yield _text(left - 8, y + 10, name, anchor="end")
        yield _text(left - 8, y + 23, f"{steps:,} steps", anchor="end", colour="#777", size=10)
        yield f'<rect x="{left}" y="{y}" width="{length:.1f}" height="22" fill="{colour}"/>'
        yield _text(left + length + 6, y + 15, f"{ratio:.0f}")


def _workloads(results: Results) -> list[str]:
    return list(dict.fromkeys(str(result["workload"]) for result in results))


def _number(result: dict[str, Any], column: str, digits: int) -> str:
    return f"{result[column]:,.{digits}f}" if column in result else "-"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: int = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "400",
    colour: str = "#222",
    size: int = 12,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}" fill="{colour}">{text}</text>'
    )
