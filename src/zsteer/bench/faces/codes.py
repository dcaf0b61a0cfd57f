"""What the codes hold: reconstruction, what z alone explains, samples of the latent prior; and what an edit costs."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.bench.edit.reach import interval
from zsteer.bench.faces.judged import Faces, shipped
from zsteer.core.protocols import Code
from zsteer.core.rng import Streams
from zsteer.domains.images.faces import FACTORS
from zsteer.domains.images.likeness import ssim
from zsteer.evaluate.memorise import nearest
from zsteer.evaluate.report import Cell, Table
from zsteer.models.diffae.diffae import DiffAE, View
from zsteer.recipes.faces.build import TRAIN, drawn
from zsteer.train.threads import threads_of

__all__ = ["latency", "tables"]

Watch = Callable[[dict[str, Any]], None]
BINS = 5


def tables(*, quick: bool, watch: Watch) -> Sequence[Table]:
    """Reconstruction, and samples of the latent prior.

    Args:
        quick: fewer faces.
        watch: called with progress.
    """
    with threads_of(1):
        model, faces = shipped(20 if quick else 100)
        watch({"doing": "reconstruction"})
        first = _reconstruction(model, faces)
        watch({"doing": "samples of the latent prior"})
        return [first, _samples(model, faces, 150 if quick else 1000)]


def _reconstruction(model: DiffAE, faces: Faces) -> Table:
    x, n = faces.x["x"].double(), len(faces.factors)
    streams = Streams.of(0, n)
    noise = streams.normal("random x_T", model.settings.datum.shape)
    spread = (x - x.mean(0)).square().mean()
    rows: list[list[Cell]] = []
    for calls in (4, 8, 20):
        view = model.within(calls=calls)
        code = view.encode(faces.x, streams)
        for label, x_T in (("encoded x_T", code["x_T"]), ("random x_T", noise)):
            found = view.decode({**code, "x_T": x_T}, streams)["x"].double()
            share = 1 - float((x - found).square().mean() / spread)
            rows.append([label, calls, interval(ssim(x, found).numpy()), share])
    columns = ["what", "calls of a decoding", "SSIM", "share of pixel variance"]
    notes = [f"{n} held-out faces; an inversion takes {model.settings.refine} calls a step", "random x_T: z alone"]
    return Table("Reconstruction", columns, rows, notes)


def _shares(values: Float[Tensor, "n 12"]) -> Float[Tensor, "12 bins"]:
    """Share of the values in each of the bins of [0, 1]; what lies outside counts to the ends."""
    place = (values.clamp(0, 0.999) * BINS).long()
    return torch.stack([(place == k).double().mean(0) for k in range(BINS)], 1)


def _samples(model: DiffAE, faces: Faces, n: int) -> Table:
    train, held = drawn(TRAIN if n >= 1000 else 3000, 0), drawn(n, 21)
    data = _shares(faces.reader.read(drawn(4000, 22)["x"]))
    made = model.sample(n, rng=Streams.of(1, n))["x"]
    noise = Streams.of(2, n).normal("z", (model.settings.semantic,))
    wild = model.within(calls=20).decode(
        {"z": noise, "x_T": Streams.of(2, n).normal("x_T", model.settings.datum.shape)}, Streams.of(2, n)
    )["x"]
    rows: list[list[Cell]] = []
    flat = train["x"].flatten(1)
    for label, x in (("latent prior", made), ("null: z from N(0, I)", wild), ("data: other faces", held["x"])):
        gap = (_shares(faces.reader.read(x)) - data).abs()
        worst = divmod(int(gap.argmax()), BINS)
        far = nearest(x.flatten(1), flat)
        cells: list[Cell] = [float(gap.mean()), f"{float(gap.max()):.3f} ({FACTORS[worst[0]]})", float(far.median())]
        rows.append([label, *cells])
    notes = [f"{n} samples; {BINS} bins a factor, shares against 4,000 drawn faces; distance over all pixels"]
    columns = ["what", "gap of a bin, mean", "gap of a bin, worst", "distance to the nearest training face, median"]
    return Table("Samples of the latent prior", columns, rows, notes)


def latency(*, quick: bool, watch: Watch) -> Sequence[Table]:
    """One move of a slider: a changed code decoded.

    Args:
        quick: fewer moves.
        watch: called with progress.
    """
    watch({"doing": "latency"})
    rows: list[list[Cell]] = []
    model, faces = shipped(16)
    with threads_of(1):
        for calls in (4, 8):
            view = model.within(calls=calls)
            code = view.encode(faces.x, Streams.of(0, 16))
            for size in (1, 16):
                found = _time(view, code, size, 5 if quick else 20)
                rows.append([calls, size, median(found), min(found)])
    columns = ["calls", "faces together", "milliseconds a face, median", "fastest"]
    return [
        Table(
            "One slider move, 32 x 32",
            columns,
            rows,
            ["one thread; a code moved and decoded; the picture is encoded once"],
        )
    ]


def _time(view: View, code: Code, size: int, times: int) -> list[float]:
    """Milliseconds a face of each move."""
    part = {name: value[:size] for name, value in code.items()}
    found: list[float] = []
    for k in range(times + 1):
        moved = {**part, "z": part["z"] + 0.01 * k}
        began = time.perf_counter()
        view.decode(moved, Streams.of(0, size))
        found.append(1000 * (time.perf_counter() - began) / size)
    return found[1:]
