"""The lecture's three panels of faces: drawn freely, drawn under guidance, and the first edited; from one noise.

Guidance pulls the latent prior, which the heads read exactly; an edit moves the codes of the free faces. Guidance makes
other faces that have what is wanted, an edit the same faces with it: the figures beside the picture say how far.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from zsteer.api import Loaded, load
from zsteer.core.batch import Batch
from zsteer.core.files import new_file
from zsteer.core.rng import Streams
from zsteer.domains.images.draw import grid
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.base import Subject
from zsteer.models.diffae.diffae import DRAWN, DiffAE
from zsteer.sample.solvers import walk
from zsteer.steer.guide import ByProperty

__all__ = ["PANELS", "Panels", "guided", "panels"]

MODEL = "faces-diffae"
PANELS = ("unconditional", "guided", "edited")
SIDE, ZOOM, CAPTION = 3, 3, 16
"""Faces along a panel's edge; how often a pixel is repeated; height of the words below. [pixels]"""
NEAR, STEPS = 0.15, 50
"""Width of the normal distribution around a value that guidance aims at; a narrower one needs more steps than these."""


@dataclass(frozen=True)
class Panels:
    """The three panels.

    Args:
        pixels: of each panel, ``(n, h, w, 3)``.
        lines: mean of every attribute in each panel.
        table: panel -> attribute -> mean value as the reader of the model sees it.
    """

    pixels: Mapping[str, NDArray[np.uint8]]
    lines: list[str]
    table: Mapping[str, Mapping[str, float]]

    def picture(self) -> NDArray[np.uint8]:
        """One picture, the panels side by side with their names below."""
        from PIL import Image, ImageDraw

        sheets: list[NDArray[np.uint8]] = []
        for name, pixels in self.pixels.items():
            sheet = grid(pixels, columns=SIDE).repeat(ZOOM, 0).repeat(ZOOM, 1)
            high = np.full((sheet.shape[0] + CAPTION, sheet.shape[1] + 6, 3), 255, np.uint8)
            high[: sheet.shape[0], 3:-3] = sheet
            image = Image.fromarray(high)
            ImageDraw.Draw(image).text((4, sheet.shape[0] + 2), name, fill=(0, 0, 0))
            sheets.append(np.asarray(image))
        return np.concatenate(sheets, 1)

    def write(self, path: Path, *, overwrite: bool) -> None:
        """Write the picture.

        Raises:
            InputError: if the ending is not .png.
        """
        from PIL import Image

        if path.suffix.lower() != ".png":
            raise InputError(f"the panels are written as .png, got {path}")
        with new_file(path, overwrite=overwrite) as partial:
            Image.fromarray(self.picture()).save(partial, format="PNG")


def guided(model: DiffAE, toward: Mapping[str, float], rng: Streams) -> Batch:
    """New faces of the latent prior, pulled to values of attributes by the model's heads.

    Args:
        model: with stored heads.
        toward: attribute -> value.
        rng: one stream for each face; the same noise as ``model.sample`` has.

    Raises:
        CapabilityError: if the model has no heads.
        InputError: if it has no head of an attribute.
    """
    if model.heads is None:
        raise CapabilityError("the model has no stored heads to guide by")
    n, streams, prior = len(rng), rng.child("z"), model.prior
    heads = [model.heads[name] for name in toward]
    w = torch.stack([head.w for head in heads]).to(model.outward) @ model.outward.T
    gap = torch.tensor([value - head.b for head, value in zip(heads, toward.values(), strict=True)])

    def energy(state: Float[Tensor, "b s"]) -> Float[Tensor, " b"]:
        return ((state @ w.T - gap.to(state)) / NEAR).square().sum(1) / 2

    denoiser = ByProperty(prior.denoiser(None, n), energy)
    states = walk(denoiser, prior.noise.prior(prior.like(n, streams), streams), streams, steps=STEPS)
    z = model.drawn(prior.finish(states)["x"])
    noise = rng.normal("x_T", model.settings.datum.shape).to(z)
    return model.within(calls=DRAWN).decode({"z": z, "x_T": noise}, rng)


def panels(toward: Mapping[str, float], *, seed: int = 0) -> Panels:
    """Draw nine faces freely, nine under guidance, and edit the free ones, all from the noise of a seed.

    Args:
        toward: attribute -> value.
        seed: of the noise.

    Raises:
        InputError: if there is no such attribute, or a value is out of its range.
    """
    loaded = load(MODEL)
    model = loaded.model
    if not isinstance(model, DiffAE):
        raise CapabilityError(f"{MODEL} is no diffusion autoencoder")
    free = loaded.sample(SIDE**2, seed=seed)
    edits = loaded.steer(free, toward=dict(toward), keep={"rest": True}, seed=seed)
    drawn = guided(model, toward, Streams.of(seed, SIDE**2, device=loaded.device))
    batches = dict(zip(PANELS, (_batch(free), drawn.to("cpu"), _batch(edits)), strict=True))
    table = {name: _means(loaded, x) for name, x in batches.items()}
    lines = [_line(name, table, name in toward) for name in table[PANELS[0]]]
    pixels = {name: loaded.kit.take(x, _subject(loaded)).items for name, x in batches.items()}
    return Panels(pixels, lines, table)


def _batch(samples: Any) -> Batch:
    x: Batch = samples.batch
    return Batch({"x": x["x"]})


def _subject(loaded: Loaded) -> Subject:
    return Subject(loaded.model, loaded.folder, torch.device("cpu"))


def _means(loaded: Loaded, x: Batch) -> dict[str, float]:
    """Mean of each attribute that a reader measures."""
    subject = _subject(loaded)
    names = () if not isinstance(loaded.model, DiffAE) or loaded.model.heads is None else loaded.model.heads.names
    known, things = loaded.kit.properties(subject), loaded.kit.things(subject, x)
    return {name: float(known[name].values(things, len(x)).mean()) for name in names if known[name].function}


def _line(name: str, table: Mapping[str, Mapping[str, float]], steered: bool) -> str:  # noqa: FBT001 - a private line
    values = "  ".join(f"{panel} {table[panel][name]:.2f}" for panel in PANELS)
    return f"{name:<12} {values}{'  (wanted)' if steered else ''}"
