"""Edits of images by a WAE: four properties in one step and in the loop, what leaks, and three nulls."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zsteer.bench.edit.reach import Bench, Edited, interval, quantity
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.property import Property
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.properties import PROPERTIES
from zsteer.errors import SettingsError
from zsteer.evaluate.report import Cell, Interval, Table
from zsteer.maths.directions import mahalanobis
from zsteer.models.autoencoder.wae import WAE, WAESettings
from zsteer.recipes.sets import load_set
from zsteer.steer.heads import join
from zsteer.steer.latent import LatentEdit
from zsteer.steer.latent_options import LatentOptions
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled

__all__ = ["reach_row", "tables"]

Watch = Callable[[dict[str, Any]], None]
EDGE = 28
COLUMNS = ("what", "R^2 of the head", "one step", "1 correction", "2 corrections", "3 corrections", "off manifold")


def tables(*, data: Path | None, quick: bool, watch: Watch) -> Sequence[Table]:
    """Reach, leaks and nulls.

    Args:
        data: the data folder; drawn pictures when None.
        quick: a training of 1,100 steps and 300 samples, instead of 4,000 and 1,000.
        watch: called with progress.
    """
    watch({"doing": "training a WAE of images"})
    train, held, source = _sets(data, 300 if quick else 1000)
    bench = Bench(_trained(train, quick=quick), train.take(slice(3000)), held, _pixels)
    pixels = _pixels(bench.examples)
    measures = {name: each.measure for name, each in PROPERTIES.items() if each.measure is not None}
    quantities = {name: quantity(name, _numbers(measure), pixels) for name, measure in measures.items()}
    notes = [
        f"WAE-MMD of {source}; {len(held)} held-out images, heads fitted on {len(bench.examples)} training images",
        "wanted values from the 10th to the 90th percentile, reached within 0.05 of the 1st to the 99th",
        "k corrections measure each sample k + 1 times; off manifold: longer than 99 % of the examples' codes",
    ]
    rows: list[list[Cell]] = []
    for name, aim in quantities.items():
        watch({"doing": f"edits of {name}"})
        rows.append(reach_row(bench, aim, name))
        rows.append(reach_row(bench, aim, f"{name}, along w", metric="identity"))
    return [
        Table("Images brought to a value of a property: share that arrives", COLUMNS, rows, notes),
        _nulls(bench, quantities["brightness"], train, watch),
        _leaks(bench, quantities, watch),
    ]


def reach_row(bench: Bench, aim: Property, label: str, **options: Any) -> list[Cell]:
    """Quality of the head, the share that arrives with 0 to 3 corrections, and the share off the manifold."""
    row: list[Cell] = [label]
    edited: Edited | None = None
    for rounds in range(4):
        method = LatentEdit(LatentOptions(rounds=rounds, **options), examples=bench.examples)
        edited = bench.edit(method, aim, calls=rounds + 1)
        if not rounds:
            row.append(quality(bench, method, aim))
        row.append(edited.reached(aim))
    if edited is None:
        raise SettingsError("expected at least one round")
    return [*row, interval(edited.scores["off_manifold"].numpy())]


def quality(bench: Bench, method: LatentEdit, aim: Property) -> Interval:
    """R^2 of the head that a method has fitted."""
    head = method.fitted_heads(bench.model)[aim.name]
    return Interval(head.quality, head.low, head.high, head.n)


def _nulls(bench: Bench, aim: Property, train: Batch, watch: Watch) -> Table:
    """The edit beside what no head guides: nothing, a random direction, shuffled labels, retrieval."""
    watch({"doing": "nulls"})
    method = LatentEdit(LatentOptions(rounds=2), examples=bench.examples)
    edited = bench.edit(method, aim, calls=3)
    first = bench.edit(LatentEdit(LatentOptions(rounds=0), examples=bench.examples), aim, calls=1)
    code = bench.model.encode(bench.held, _streams(bench.held))
    unedited = bench.model.decode(code, _streams(bench.held))
    wanted = edited.wanted.numpy()
    rows: list[list[Cell]] = [
        ["edit, one step", first.reached(aim), _change(bench, first.batch)],
        ["edit, 2 corrections", edited.reached(aim), _change(bench, edited.batch)],
        ["null: reconstruction, nothing edited", *_judged(bench, aim, unedited, wanted)],
        ["null: random direction of equal length", *_judged(bench, aim, _random(bench, method, edited), wanted)],
        ["null: head of shuffled labels, one step", *_judged(bench, aim, _shuffled(bench, aim), wanted)],
        [
            "nearest training image with that brightness",
            *_judged(bench, aim, _retrieved(bench, aim, wanted, train), wanted),
        ],
    ]
    notes = [
        "change: root mean square over the pixels from the start; retrieval has all training images to choose from",
        "equal length: in standard deviations of the codes; a head of shuffled labels is refused unless forced",
    ]
    return Table("Brightness: the edit beside nulls", ["what", "arrives", "change of the image"], rows, notes)


def _leaks(bench: Bench, quantities: dict[str, Property], watch: Watch) -> Table:
    """How far other properties move while brightness does, with and without holding them."""
    aim = quantities["brightness"]
    others = [each for name, each in quantities.items() if name != aim.name]
    code = bench.model.encode(bench.held, _streams(bench.held))
    unedited = bench.model.decode(code, _streams(bench.held))
    rows: list[list[Cell]] = [["nothing edited (reconstruction)", "n/a", *_moved(bench, others, unedited), "n/a"]]
    choices: list[tuple[str, list[Property], bool]] = [("edit, nothing held", [], False)]
    choices += [(f"held: {each.name}", [each], False) for each in others]
    choices += [("held: all three", others, False), ("held: the rest, in the heads only", [], True)]
    for label, held, rest in choices:
        watch({"doing": label})
        method = LatentEdit(examples=bench.examples, properties=others)
        edited = bench.edit(method, aim, held, rest=rest, calls=4)
        off = interval(edited.scores["off_manifold"].numpy())
        rows.append([label, edited.reached(aim), *_moved(bench, others, edited.batch), off])
    notes = ["mean absolute change from the start, in standard deviations of the property; 4 measurements a sample"]
    columns = ["what", "brightness arrives", *[each.name for each in others], "off manifold"]
    return Table("What leaks while brightness is edited", columns, rows, notes)


def _moved(bench: Bench, others: Sequence[Property], x: Batch) -> list[Cell]:
    found: list[Cell] = []
    for each in others:
        change = np.abs(bench.values(each, x) - bench.values(each, bench.held)) / each.spread
        found.append(interval(change))
    return found


def _judged(bench: Bench, aim: Property, x: Batch, wanted: NDArray[np.float64]) -> list[Cell]:
    near = np.abs(bench.values(aim, x) - wanted) <= aim.tolerance
    return [interval(near.astype(np.float64)), _change(bench, x)]


def _change(bench: Bench, x: Batch) -> Interval:
    gap = (x["x"] - bench.held["x"]).square().flatten(1).mean(1).sqrt()
    return interval(gap.double().numpy())


def _random(bench: Bench, method: LatentEdit, edited: Edited) -> Batch:
    """Steps of the length of the edits, in a direction that codes vary in but no head chose."""
    heads = method.fitted_heads(bench.model)
    streams = _streams(bench.held)
    z = join(bench.model.encode(bench.held, streams), heads.parts)
    root = torch.linalg.cholesky(heads.covariance)
    step = Streams.of(1, len(z)).normal("direction", (z.shape[1],), dtype=z.dtype) @ root.T
    nought = torch.zeros_like(heads.mean)
    length = edited.scores["step"] / mahalanobis(step, nought, heads.covariance)
    return bench.model.decode({"z": (z + length[:, None] * step).float()}, streams)


def _shuffled(bench: Bench, aim: Property) -> Batch:
    """One step along a head that was fitted on the brightness of other images."""
    order = Streams.of(2, 1).permutation("shuffle", len(bench.examples))[0]
    values = bench.values(aim, bench.examples)[order.numpy()]

    def mixed(things: Any) -> NDArray[np.float64]:
        # Heads are fitted on all examples in their order; edits measure fewer samples, by the true function.
        return values if len(things) == len(values) else aim.values(things, len(things))

    false = Property(aim.name, mixed, spread=aim.spread, tolerance=aim.tolerance)
    method = LatentEdit(LatentOptions(rounds=0, force=True), examples=bench.examples)
    return bench.edit(method, false, calls=1).batch


def _retrieved(bench: Bench, aim: Property, wanted: NDArray[np.float64], train: Batch) -> Batch:
    """The nearest of all training images, by pixels, whose value is within the tolerance of the wanted one."""
    values, pool = bench.values(aim, train), train["x"].flatten(1)
    chosen: list[Tensor] = []
    for rows, goals in zip(bench.held["x"].flatten(1).split(100), torch.from_numpy(wanted).split(100), strict=True):
        far = (torch.from_numpy(values) - goals[:, None]).abs() > aim.tolerance
        chosen.append(torch.cdist(rows, pool).masked_fill(far, torch.inf).argmin(1))
    return train.take(torch.cat(chosen))


def _trained(train: Batch, *, quick: bool) -> WAE:
    datum = SampleSpec(shape=(1, EDGE, EDGE), values="unit")
    width, steps = (16, 1100) if quick else (32, 4000)
    values = {"datum": datum, "latent": 16, "net": "conv", "width": width, "weight": float(datum.size)}
    with initialised(0):
        model = WAE(settings_from(WAESettings, values, where="bench edit"))
    optim = Optim(lr=1e-3, clip=1e6, warmup=100, decay="cosine")
    trained = fit(model, Shuffled(train, 128), Plan(steps=steps, optim=optim, ema=1 - 20 / steps), seed=0)
    return trained.eval()


def _sets(data: Path | None, n: int) -> tuple[Batch, Batch, str]:
    if data is not None:
        sets = load_set("fashion-mnist", data)
        return Batch({"x": sets.train["x"]}), Batch({"x": sets.test["x"][:n]}), "Fashion-MNIST"
    rows = 20_000
    drawn = _blobs(Streams.of(0, rows + n))
    return drawn.take(slice(rows)), drawn.take(slice(rows, None)), "drawn pictures (no data folder was given)"


def _blobs(rng: Streams) -> Batch:
    """Soft ellipses of any place, size and grey."""
    u = rng.uniform("blob", (5,))
    place = torch.linspace(-1, 1, EDGE)
    x = (place[None, None, :] - (u[:, 0, None, None] - 0.5)) / (0.2 + 0.5 * u[:, 1, None, None])
    y = (place[None, :, None] - (u[:, 2, None, None] - 0.5)) / (0.2 + 0.5 * u[:, 3, None, None])
    inside = torch.sigmoid(8 * (1 - x.square() - y.square()))
    return Batch({"x": ((0.2 + 0.8 * u[:, 4, None, None]) * inside)[:, None]})


def _numbers(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], NDArray[np.float64]]:
    return lambda x: function(x).double().numpy()


def _pixels(x: Batch) -> Tensor:
    return x["x"]


def _streams(x: Batch) -> Streams:
    return Streams.of(0, len(x))
