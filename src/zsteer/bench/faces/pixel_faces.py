"""The same protocol on faces that somebody else drew: pixel_faces16 of the data folder, 16 x 16, seven attributes.

The attributes are yes or no, and there is no true edit to render: the columns are those of drawn faces without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.bench.edit.reach import interval
from zsteer.bench.faces.judged import GROUPS, Ask, edited
from zsteer.core.arrays import read_arrays
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.heads import Heads
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import InputError
from zsteer.evaluate.report import Cell, Table
from zsteer.models.diffae.diffae import DiffAE
from zsteer.models.diffae.settings import DiffAESettings
from zsteer.predictors.factor_reader import FactorReader, FactorReaderSettings
from zsteer.steer.heads import gather
from zsteer.steer.latent_options import LatentOptions
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled
from zsteer.train.threads import threads_of

__all__ = ["tables"]

Watch = Callable[[dict[str, Any]], None]
FILE = "images/pixel_faces16.npz"
NAMES = ("happy", "long_hair", "glasses", "beard", "hat", "bald", "accessory")
STEERED = NAMES[:3]
EDGE, TEST = 16, 2000


@dataclass(frozen=True)
class Pixels:
    """The set.

    Args:
        train: pictures with their attributes under ``factors``.
        test: held out.
    """

    train: Batch
    test: Batch


def tables(*, data: Path, quick: bool, watch: Watch) -> Sequence[Table]:
    """Edits of three attributes at once, with heads of 30 and 100 labels.

    Args:
        data: the data folder.
        quick: short trainings and few faces.
        watch: called with progress.
    """
    with threads_of(1):
        sets = _read(data)
        watch({"doing": "training a diffusion autoencoder and a reader of pixel_faces16"})
        model, where = _diffae(sets.train, 120 if quick else 1500)
        reader = _reader(sets.train, 100 if quick else 800)
        x = sets.test.take(slice(20 if quick else 100))
        wanted = (Streams.of(3, GROUPS).uniform("wanted", (3,)) > 0.5).float()[torch.arange(len(x)) % GROUPS]
        ask = Ask(Batch({"x": x["x"]}), NAMES, STEERED, wanted)
        before, noise = reader.read(x["x"]), (reader.read(x["x"]) - x["factors"].double()).abs()
        rows: list[list[Cell]] = [_row("null: the unedited face", ask, before, before, noise)]
        for count in (30, 100):
            watch({"doing": f"{count} labels"})
            made = edited(model, ask, sets.train.take(slice(count)), where)
            rows.append(_row(f"{count} labels", ask, reader.read(made["x"]), before, noise))
    notes = [
        f"{len(x)} held-out faces; 0 no, 1 yes; ten triples of wanted values; model and reader are trained here",
        "the rarest attribute is in a tenth of the faces, so that 30 labels hold three examples of it",
    ]
    columns = ["what", "error", "error of the reader", "error, reader subtracted", "leak, mean", "leak, worst factor"]
    return [Table(f"pixel_faces16: {', '.join(STEERED)} at once, four attributes held", columns, rows, notes)]


def _row(
    label: str, ask: Ask, found: Float[Tensor, "n k"], before: Float[Tensor, "n k"], noise: Float[Tensor, "n k"]
) -> list[Cell]:
    error = (found[:, :3] - ask.wanted.double()).abs().mean(1)
    leak = (found - before)[:, 3:].abs()
    worst = int(leak.mean(0).argmax())
    own = float(noise[:, :3].mean())
    return [
        label,
        interval(error.numpy()),
        own,
        max(0.0, float(error.mean()) - own),
        interval(leak.mean(1).numpy()),
        f"{float(leak.mean(0)[worst]):.3f} ({NAMES[3 + worst]})",
    ]


def _read(data: Path) -> Pixels:
    path = next((one for one in (data / FILE, data / Path(FILE).name) if one.is_file()), None)
    if path is None:
        raise InputError(f"there is no {FILE} in {data}; this part of the bench reads it")
    found = read_arrays(path, {"images", "attr"})
    if set(found) != {"images", "attr"} or found["attr"].shape != (len(found["images"]), len(NAMES)):
        raise InputError(f"{path}: expected arrays images (n, 16, 16, 3) and attr (n, {len(NAMES)})")
    x = ImageSpace(3, EDGE, EDGE).encode(found["images"])
    whole = x.with_fields(factors=torch.from_numpy(found["attr"].astype(np.float32)))
    return Pixels(whole.take(slice(TEST, None)), whole.take(slice(TEST)))


def _datum() -> SampleSpec:
    space = ImageSpace(3, EDGE, EDGE)
    return SampleSpec(shape=space.shape, values="unit", space=space.settings())


def _plan(steps: int, lr: float) -> Plan:
    return Plan(steps=steps, optim=Optim(lr=lr, clip=1e6, warmup=steps // 10, decay="cosine"), ema=1 - 20 / steps)


def _diffae(train: Batch, steps: int) -> tuple[DiffAE, Heads]:
    values = {"datum": _datum(), "width": 24, "encoder": 24, "multiples": (1, 1, 2)}
    with initialised(0):
        model = DiffAE(settings_from(DiffAESettings, values, where="bench faces"))
    trained = fit(model, Shuffled(Batch({"x": train["x"]}), 32), _plan(steps, 2e-3), seed=0)
    codes = trained.settle(Batch({"x": train["x"][:4000]}))
    return trained.eval(), gather(codes.double(), (), ("z",), LatentOptions())


def _reader(train: Batch, steps: int) -> FactorReader:
    values = {"datum": _datum(), "factors": NAMES, "width": 16}
    with initialised(1):
        model = FactorReader(settings_from(FactorReaderSettings, values, where="bench faces"))
    return fit(model, Shuffled(train, 64), _plan(steps, 3e-3), seed=1).eval()
