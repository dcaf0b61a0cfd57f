"""Lines and histograms over an axis as an inline SVG, for pages that ask nothing from any other host."""

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from zsteer.errors import InputError

__all__ = ["chart", "histogram"]

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 16, 44
COLOURS = ("#2563eb", "#b3470f", "#0f8a5f", "#7c3aed", "#be123c", "#52606d")
TICKS = 6
BINS = 40


def _scaled(values: Sequence[float], *, log: bool) -> list[float]:
    return [math.log10(value) if log else value for value in values]


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    """Round places on an axis, in the axis' own scale."""
    if log:
        first, last = math.floor(low), math.ceil(high)
        step = max(1, round((last - first) / TICKS))
        return [float(place) for place in range(first, last + 1, step) if low - 1e-9 <= place <= high + 1e-9]
    rough = (high - low) / TICKS or 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def chart(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    across: str,
    up: str,
    log_across: bool = False,
    log_up: bool = False,
) -> str:
    """Draw lines.

    Args:
        lines: points (x, y) of each line by its name.
        across: what the horizontal axis is, with its unit.
        up: what the vertical axis is, with its unit.
        log_across: logarithmic horizontal axis.
        log_up: logarithmic vertical axis.

    Raises:
        InputError: if there is no point, or a number cannot stand on its axis.
    """
    points = {name: _places(name, line, (log_across, log_up)) for name, line in lines.items()}
    all_x = [x for line in points.values() for x, _ in line]
    all_y = [y for line in points.values() for _, y in line]
    if not all_x:
        raise InputError("there is nothing to draw: no line has a point")
    (x0, x1), (y0, y1) = _range(all_x), _range(all_y)

    def at(x: float, y: float) -> tuple[float, float]:
        across_share, up_share = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
        return LEFT + across_share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up_share * (HEIGHT - TOP - BOTTOM)

    parts: list[str] = []
    for place in _ticks(x0, x1, log=log_across):
        x, bottom = at(place, y0)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom:.1f}" class="g"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{_label(place, log_across)}</text>')
    for place in _ticks(y0, y1, log=log_up):
        left, y = at(x0, place)
        parts.append(f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="g"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{_label(place, log_up)}</text>')
    for k, (name, line) in enumerate(points.items()):
        colour = COLOURS[k % len(COLOURS)]
        path = " ".join("{:.1f},{:.1f}".format(*at(x, y)) for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        legend = f'x="{WIDTH - RIGHT - 8}" y="{TOP + 16 + 16 * k}" text-anchor="end" fill="{colour}"'
        parts.append(f'<text {legend} style="fill:{colour}">{html.escape(name)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(across)}</text>')
    turned = f'transform="rotate(-90 14 {HEIGHT / 2:.0f})"'
    parts.append(f'<text x="14" y="{HEIGHT / 2:.0f}" text-anchor="middle" {turned}>{html.escape(up)}</text>')
    style = ".c text{font:12px system-ui,sans-serif;fill:currentColor}.c .g{stroke:currentColor;opacity:.15}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="c" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(up)} over {html.escape(across)}" style="max-width:{WIDTH}px;width:100%">'
        f"<style>{style}</style>{''.join(parts)}</svg>\n"
    )


def histogram(groups: Mapping[str, Sequence[float]], *, across: str, marks: Mapping[str, float] | None = None) -> str:
    """Draw how numbers of several groups are spread, each as the outline of its shares in equal bins.

    Args:
        groups: numbers of each group by its name; what is not finite is left out, and so is an empty group.
        across: what the numbers are, with their unit.
        marks: upright lines by name.

    Raises:
        InputError: if there is no number.
    """
    finite = {name: [x for x in values if math.isfinite(x)] for name, values in groups.items()}
    finite = {name: values for name, values in finite.items() if values}
    if not finite:
        raise InputError("there is nothing to draw: no group has a number")
    low, high = _range([x for values in finite.values() for x in values])
    width = (high - low) / BINS
    lines: dict[str, list[tuple[float, float]]] = {}
    for name, values in finite.items():
        counts = Counter(min(int((x - low) / width), BINS - 1) for x in values)
        shares = [counts[k] / len(values) for k in range(BINS)]
        steps = [(low + width * (k + side), shares[k]) for k in range(BINS) for side in (0, 1)]
        lines[f"{name} (n = {len(values):,})"] = [(low, 0.0), *steps, (high, 0.0)]
    top = max(y for line in lines.values() for _, y in line)
    lines |= {name: [(x, 0.0), (x, top)] for name, x in (marks or {}).items()}
    return chart(lines, across=across, up="share of each group")


def _places(name: str, line: Sequence[tuple[float, float]], logs: tuple[bool, bool]) -> list[tuple[float, float]]:
    log_across, log_up = logs
    for x, y in line:
        if not (math.isfinite(x) and math.isfinite(y)) or (log_across and x <= 0) or (log_up and y <= 0):
            raise InputError(f"line {name!r}: the point ({x:g}, {y:g}) cannot stand on these axes")
    return list(
        zip(_scaled([x for x, _ in line], log=log_across), _scaled([y for _, y in line], log=log_up), strict=True)
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _label(place: float, log: bool) -> str:  # noqa: FBT001
    if not log:
        return f"{place:g}"
    return f"{10**place:g}" if -3 <= place <= 4 else f"1e{place:g}"
