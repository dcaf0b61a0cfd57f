"""What pulls a walk of molecules: noisy properties at x_t, and shapes at the predicted molecule."""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from zsteer.core import catalog
from zsteer.core.artifact import read_artifact
from zsteer.core.protocols import Denoiser
from zsteer.errors import InputError
from zsteer.kits.molecules.options import MoleculeKnobs
from zsteer.kits.molecules.sampling import Guides
from zsteer.kits.molecules.shapes import measure_of
from zsteer.models.edm.denoiser import OfSize
from zsteer.models.edm.edm import EDM
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.steer.guide import ByClassifier, ToValue
from zsteer.steer.sampling import Guide

__all__ = ["by_properties", "joined", "noisy_property", "of_some", "to_shape"]

Mode = Literal["score", "mean"]


def noisy_property(name: str, model: EDM) -> NoisyProperty:
    """The guide of a name or folder, which must read the model's states.

    Raises:
        InputError: if it is another kind of model, or reads other molecules.
    """
    folder = catalog.resolve(name)
    artifact = read_artifact(folder)
    if artifact.kind != NoisyProperty.kind:
        raise InputError(
            f"guide={name} is a model of kind {artifact.kind!r}; it takes properties of noisy molecules: "
            f"zsteer train molecule-properties --out FOLDER"
        )
    found: NoisyProperty = NoisyProperty.from_artifact(artifact, where=str(folder))
    found.fits(model.settings)
    return found.to(next(model.parameters()).device).eval()


def by_properties(
    judge: NoisyProperty, model: EDM, wanted: Mapping[int, Float[Tensor, " n"]], scale: float, mode: Mode
) -> Guides:
    """Classifier guidance towards values of properties.

    Args:
        judge: properties of noisy molecules.
        model: the model that is guided.
        wanted: property of the model, by its number -> value of each sample in standard deviations; a single value is
            for all.
        scale: strength; 1 aims at p(x | y) where the model knows no conditions.
        mode: as ``steer.guide.ByClassifier`` has it.
    """
    s = model.settings
    asked = {s.properties[k]: value * s.stds[k] + s.means[k] for k, value in wanted.items()}

    def guides(of_size: OfSize, rows: Tensor) -> list[Guide]:
        return [_pull(judge, of_size, name, _of_rows(value, rows), (scale, mode)) for name, value in asked.items()]

    return guides


def _of_rows(value: Float[Tensor, " n"], rows: Tensor) -> Float[Tensor, " m"]:
    return value.expand(len(rows)) if len(value) == 1 else value[rows]


def _pull(judge: NoisyProperty, of_size: OfSize, name: str, value: Tensor, how: tuple[float, Mode]) -> Guide:
    def guide(inner: Denoiser, piece: slice) -> Denoiser:
        return ByClassifier(inner, judge.log_prob(of_size.size, name, value[piece]), *how)

    return guide


def to_shape(of_size: OfSize, name: str, value: object, knobs: MoleculeKnobs) -> Guide:
    """Guidance to a value of a shape by its own gradient.

    Raises:
        InputError: if there is no such shape, or the value is no number.
    """
    measure = measure_of(of_size, name)
    try:
        wanted = float(str(value))
    except ValueError:
        raise InputError(f"--toward {name} takes a number, got {value!r}") from None
    if not knobs.strength:
        return lambda inner, _: inner
    tolerance = knobs.tolerance / knobs.strength**0.5

    def guide(inner: Denoiser, piece: slice) -> Denoiser:
        del piece
        return ToValue(inner, measure, wanted, tolerance)

    return guide


def of_some(guides: Guides, chosen: Tensor) -> Guides:
    """The same guides for some of the samples.

    Args:
        guides: of all.
        chosen: which are there, in their new order.
    """

    def some(of_size: OfSize, rows: Tensor) -> list[Guide]:
        return guides(of_size, chosen[rows])

    return some


def joined(*each: Guides) -> Guides:
    """Several guides, innermost first."""

    def all_of_them(of_size: OfSize, rows: Tensor) -> list[Guide]:
        return [guide for guides in each for guide in guides(of_size, rows)]

    return all_of_them
