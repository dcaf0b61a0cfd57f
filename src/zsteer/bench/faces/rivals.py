"""The same edit by other means: VAE and WAE with the same heads, guidance, interpolation of pixels."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.bench.faces.judged import COLUMNS, STEERED, Faces, edited, labels_of, shipped
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.heads import Heads
from zsteer.core.protocols import Codec
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.faces import EDGE, FACTORS
from zsteer.evaluate.report import Cell, Table
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.models.autoencoder.wae import WAE, WAESettings
from zsteer.models.diffae.diffae import DiffAE
from zsteer.recipes.faces.build import drawn
from zsteer.sample.vary import vary
from zsteer.steer.guide import ByProperty
from zsteer.steer.heads import gather, join
from zsteer.steer.latent_options import LatentOptions
from zsteer.train.loop import Optim, Plan, fit
from zsteer.train.source import Shuffled
from zsteer.train.threads import threads_of

__all__ = ["guided", "tables"]

Watch = Callable[[dict[str, Any]], None]
LABELS = 100
NEAR = 0.05
"""Width of the normal distribution around a wanted value that guidance pulls with."""
SCALE = 3.0
"""Of guidance: the best of 0.3, 1 and 3 and of depths from 0.5 to 0.9, tried on twenty of the faces."""


def tables(*, quick: bool, watch: Watch) -> Sequence[Table]:
    """Rivals of the edit by 100 labels.

    Args:
        quick: 20 faces and short trainings of the autoencoders.
        watch: called with progress.
    """
    with threads_of(1):
        model, faces = shipped(20 if quick else 100)
        labelled = labels_of(LABELS)
        rows: list[list[Cell]] = [faces.row("diffusion autoencoder", edited(model, faces.ask, labelled, model.heads))]
        train = Batch({"x": drawn(3000 if quick else 12_000, 3)["x"]})
        for kind in ("VAE", "WAE-MMD"):
            watch({"doing": f"training a {kind}"})
            other = _autoencoder(kind, train, 120 if quick else 1000)
            watch({"doing": f"edits by the {kind}"})
            rows.append(faces.row(f"{kind}, the same labels", edited(other, faces.ask, labelled, _where(other, train))))
        watch({"doing": "guidance"})
        rows.append(faces.row("guidance by the judge's own gradient, from half noise", guided(model, faces)))
        rows.append(faces.row("half of the pixels of the nearest labelled face", _pixels(faces, labelled)))
    notes = [
        f"{LABELS} labels, {len(faces.factors)} held-out faces; VAE and WAE with codes as wide, trained here",
        "guidance follows the reader that judges it, so that its error flatters it; its leak does not",
    ]
    return [Table("Smile, age and wave at once, by other means", COLUMNS, rows, notes)]


def _autoencoder(kind: str, train: Batch, steps: int) -> Codec:
    datum = SampleSpec(shape=(3, EDGE, EDGE), values="unit")
    values: dict[str, Any] = {"datum": datum, "latent": 64, "net": "conv", "width": 24}
    with initialised(0):
        if kind == "VAE":
            model = VAE(settings_from(VAESettings, {**values, "decoder": "gaussian"}, where="bench faces"))
        else:
            model = WAE(settings_from(WAESettings, {**values, "weight": 100.0}, where="bench faces"))
    plan = Plan(steps=steps, optim=Optim(lr=1e-3, clip=1e6, warmup=steps // 10, decay="cosine"), ema=1 - 20 / steps)
    return fit(model, Shuffled(train, 64), plan, seed=0).eval()


def _where(model: Codec, train: Batch) -> Heads:
    """Where codes lie, from pictures without labels."""
    some = train.take(slice(2000))
    z = join(model.encode(some, Streams.of(0, len(some))), model.parts)
    return gather(z, (), tuple(model.parts), LatentOptions())


def guided(model: DiffAE, faces: Faces, *, depth: float = 0.5) -> Batch:
    """Faces noised to a time and walked back under their own code, pulled by the gradient of the reader.

    Args:
        model: whose denoiser walks.
        faces: with what is wanted of them.
        depth: the time.
    """
    own = [FACTORS.index(name) for name in STEERED]

    def energy(x0: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        gap = faces.reader.measure((x0 + 1) / 2)[:, own] - faces.wanted[: len(x0)]
        return (gap / NEAR).square().sum(1) / 2

    streams = Streams.of(0, len(faces.factors))
    z = model.read(faces.x, streams)["z"]
    denoiser = ByProperty(model.within().denoiser(z, z), energy, SCALE)
    made = vary(denoiser, model.states(faces.x), depth, streams)
    return model.settings.datum.uncentred(made.flatten(1))


def _pixels(faces: Faces, labelled: Batch) -> Batch:
    """Half of each face and half of the labelled face whose three factors are nearest to those wanted."""
    own = [FACTORS.index(name) for name in STEERED]
    near = torch.cdist(faces.wanted.double(), labelled["factors"][:, own].double()).argmin(1)
    return Batch({"x": (faces.x["x"] + labelled["x"][near]) / 2})
