"""The lecture's two segments in every distance: a table, and a figure of values and slopes (``zsteer bench segments``).

The figure is one SVG that needs nothing else and follows the reader's light or dark setting. Lines are the closed forms
(``maths.segments``), dots are what samples give; slopes are taken by automatic differentiation of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core.rng import Streams
from zsteer.evaluate.report import Block, Report, Table
from zsteer.maths import segments
from zsteer.maths.distances import energy_distance, wasserstein
from zsteer.maths.kernels import gaussian_kernel, mmd_of_gram
from zsteer.maths.sinkhorn import sinkhorn_divergence

__all__ = ["bench", "demo", "figure", "samples_at"]

POINTS = 300
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)
EPSILON = 0.01
STYLE = """
.seg{--ink:#1d2430;--quiet:#5c6675;--line:#d8dde5;--a:#0b62c4;--b:#b3470f;--c:#0a7d54;--d:#8a3ffc}
@media(prefers-color-scheme:dark){.seg{--ink:#e8ebf0;--quiet:#9aa5b4;--line:#333b47;--a:#6cb2ff;--b:#ff9d66;--c:#4fd1a1;--d:#c4a1ff}}
.seg text{font:13px system-ui,sans-serif;fill:var(--ink)}.seg .quiet{fill:var(--quiet)}
.seg path{fill:none;stroke-width:2}.seg .axis{stroke:var(--line);stroke-width:1}
""".replace("\n", "")

Curve = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Line:
    """One distance of the figure: its colour variable, its closed form, and the same from samples."""

    name: str
    colour: str
    dash: str
    exact: Curve
    sampled: Callable[[Tensor, Tensor], Tensor] | None


def _mmd(p: Tensor, q: Tensor) -> Tensor:
    pooled = torch.cat([p, q])
    first = torch.arange(len(pooled))[None] < len(p)
    return mmd_of_gram(gaussian_kernel(pooled, pooled, 1.0), first)[0]


LINES: Sequence[_Line] = (
    _Line("W", "--a", "", segments.wasserstein_segments, wasserstein),
    _Line("energy", "--b", "7 3", segments.energy, energy_distance),
    _Line("MMD\u00b2", "--c", "2 3", segments.gaussian_mmd, _mmd),
    _Line("JS", "--d", "10 3 2 3", segments.js, None),
)


def _draws(seed: int) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    rng = Streams.of(seed, POINTS).child("segments")
    return rng.uniform("p", dtype=torch.float64), rng.uniform("q", dtype=torch.float64)


def samples_at(line: _Line, theta: float, seed: int = 0) -> tuple[float, float] | None:
    """Value and slope of a distance between samples of the two segments; None for one that samples do not give."""
    if line.sampled is None:
        return None
    y_p, y_q = _draws(seed)
    at = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    value = line.sampled(segments.points(y_p), segments.points(y_q, at))
    (slope,) = torch.autograd.grad(value, at)
    return float(value.detach()), float(slope)


def _closed(line: _Line, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Places, values and slopes; from just above 0, since JS and W have a jump or a corner there."""
    theta = torch.linspace(1e-3, 1, count, dtype=torch.float64, requires_grad=True)
    value = line.exact(theta)
    (slope,) = torch.autograd.grad(value.sum(), theta)
    return theta.detach(), value.detach(), slope.detach()


@dataclass(frozen=True)
class _Panel:
    """Where a panel lies and what its height means."""

    left: float
    top: float
    width: float
    height: float
    most: float
    title: str

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.left + x * self.width, self.top + (1 - y / self.most) * self.height

    def frame(self) -> str:
        x0, y0 = self.at(0.0, 0.0)
        x1, y1 = self.at(1.0, self.most)
        parts = [f'<path class="axis" d="M{x0:.1f} {y1:.1f}V{y0:.1f}H{x1:.1f}"/>']
        parts += [f'<text x="{x0:.0f}" y="{y1 - 10:.0f}">{self.title}</text>']
        for k in range(5):
            x, y = self.at(k / 4, self.most * k / 4)
            parts.append(f'<text class="quiet" x="{x:.0f}" y="{y0 + 17:.0f}" text-anchor="middle">{k / 4:g}</text>')
            parts.append(f'<text class="quiet" x="{x0 - 6:.0f}" y="{y + 4:.0f}" text-anchor="end">')
            parts.append(f"{self.most * k / 4:g}</text>")
        parts.append(f'<text class="quiet" x="{(x0 + x1) / 2:.0f}" y="{y0 + 34:.0f}" text-anchor="middle">theta</text>')
        return "".join(parts)

    def line(self, xs: Tensor, ys: Tensor, line: _Line) -> str:
        steps = [self.at(float(x), min(float(y), self.most)) for x, y in zip(xs, ys, strict=True)]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in steps)
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        return f'<path d="{path}" style="stroke:var({line.colour})"{dash}/>'

    def dot(self, x: float, y: float, line: _Line) -> str:
        px, py = self.at(x, min(max(y, 0.0), self.most))
        return f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.5" style="fill:var({line.colour})"/>'


def figure(seed: int = 0) -> str:
    """Values and slopes against theta, as one SVG."""
    values = _Panel(46.0, 40.0, 290.0, 220.0, 1.6, "value (KL is infinite for theta &gt; 0)")
    slopes = _Panel(420.0, 40.0, 290.0, 220.0, 2.0, "slope in theta: what a generator learns from")
    parts = [values.frame(), slopes.frame()]
    for k, line in enumerate(LINES):
        theta, value, slope = _closed(line, 101)
        parts += [values.line(theta, value, line), slopes.line(theta, slope, line)]
        for place in PLACES:
            found = samples_at(line, place, seed)
            if found is not None:
                parts += [values.dot(place, found[0], line), slopes.dot(place, found[1], line) if place > 0 else ""]
        x = 46 + 130 * k
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(f'<path d="M{x} 322h28" style="stroke:var({line.colour})"{dash}/>')
        parts.append(f'<text x="{x + 34}" y="326">{line.name}</text>')
    parts.append(f'<text class="quiet" x="566" y="326">dots: {POINTS} samples of each</text>')
    label = "Distances of two segments against their shift theta, and the slopes of these distances"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="seg" viewBox="0 0 740 340" role="img" '
        f'aria-label="{label}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def _table(seed: int) -> Table:
    y_p, y_q = _draws(seed)
    theta = torch.tensor(PLACES, dtype=torch.float64)
    closed = segments.all_at(theta)
    rows: list[list[str | float | int]] = []
    for k, place in enumerate(PLACES):
        p, q = segments.points(y_p), segments.points(y_q, place)
        sampled = [float(d(p, q)) for d in (wasserstein, energy_distance, _mmd)]
        sinkhorn = max(float(sinkhorn_divergence(p, q, EPSILON)), 0.0) ** 0.5
        exact = [float(value[k]) for value in closed.values()]
        others = [float(f(theta[k : k + 1])) for f in (segments.energy, segments.gaussian_mmd)]
        figures = [*exact[1:], sampled[0], sinkhorn, others[0], sampled[1], others[1], sampled[2]]
        rows.append([f"{place:g}", *(f"{figure:.3f}" for figure in figures)])
    columns = [
        "theta",
        "KL",
        "JS",
        "W",
        "W, samples",
        "Sinkhorn",
        "energy",
        "energy, samples",
        "MMD^2",
        "MMD^2, samples",
    ]
    notes = [
        f"{POINTS} samples of each segment, seed {seed}; KL is the same both ways",
        "energy: 2 E|x - y| - E|x - x'| - E|y - y'|, not its root",
        f"Sinkhorn: root of the divergence of squared distances at epsilon {EPSILON:g}; MMD: kernel exp(-|a - b|^2)",
        "at theta = 0 the columns of samples show what two samples of one segment are apart",
    ]
    return Table("Two segments at distance theta", columns, rows, notes)


def demo(*, seed: int = 0) -> Report:
    """The shifted segments: table and figure.

    Args:
        seed: of the samples.
    """
    slopes = {line.name: float(_closed(line, 3)[2][1]) for line in LINES}
    text = ", ".join(f"{name} {value:.2f}" for name, value in slopes.items())
    summary = [
        "P lies on x = 0, Q on x = theta. KL is infinite and JS is log 2 for every theta but 0: neither says how far.",
        f"Slopes at theta = 0.5: {text}.",
        "The Wasserstein distance alone has the same slope everywhere; energy and MMD fade where the segments meet.",
    ]
    return Report("The lecture's two segments", summary, [_table(seed)], [Block("Values and slopes", figure(seed))])


def bench(
    *, quick: bool = False, data: Path | None = None, watch: Callable[[dict[str, Any]], None] | None = None
) -> Report:
    """The demo as a topic of ``zsteer bench``; it has one size and needs no data."""
    del quick, data, watch
    return demo()
