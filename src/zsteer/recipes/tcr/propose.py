"""How each receptor model proposes edits: the z-free editor by guidance, a disentangled autoencoder by its codes."""

from dataclasses import dataclass

import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget
from zsteer.core.protocols import Steer
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError
from zsteer.models.autoregressive import Autoregressive
from zsteer.models.dwae import DisentangledAutoencoder
from zsteer.recipes.tcr.family import Family
from zsteer.recipes.tcr.settings import EditorKnobs, LatentKnobs
from zsteer.sample.beam import BeamSettings, Proposals
from zsteer.steer.edit import BeamEdit

__all__ = ["Request", "editor_of"]


@dataclass(frozen=True)
class Request:
    """What is asked of an editor.

    Args:
        peptide: what the designs should bind, or None for examples.
        examples: receptors to be like, or None.
        budget: edits and results for each template.
        knobs: the model's knobs.
        ends: residues kept at each end.
        indels: whether one insertion or deletion is allowed.
    """

    peptide: str | None
    examples: Batch | None
    budget: Budget
    knobs: EditorKnobs
    ends: int
    indels: bool

    def beam(self) -> BeamSettings:
        """Budget and width of the beam; without a budget, as many edits as the longest core has residues."""
        limit = 8 if self.budget.edits is None else self.budget.edits
        return BeamSettings(
            edits=limit, width=self.knobs.width, keep_start=self.ends, keep_end=self.ends, indel=self.indels
        )


def editor_of(model: object, family: Family, request: Request) -> Steer:
    """The steer of a model for a request.

    Raises:
        CapabilityError: if the model cannot do what is asked.
    """
    knobs = request.knobs
    rerank = knobs.rerank and request.peptide is not None
    oracle = family.oracle.binds(request.peptide) if rerank and request.peptide is not None else None
    plausible = family.language.plausible if rerank else None
    pool = knobs.pool if rerank else request.budget.top
    if isinstance(model, Autoregressive):
        if request.peptide is None:
            raise CapabilityError("the z-free editor knows peptides only; steer by examples with tcr-dwae")
        peptide = request.peptide
        scale = knobs.scale if knobs.scale is not None else model.scale_of(peptide)

        def propose(x: Batch, rng: Streams) -> Proposals:
            del rng
            return model.propose(x, peptide, scale=scale, beam=request.beam())

        return BeamEdit(propose, oracle, plausible, pool)
    if isinstance(model, DisentangledAutoencoder) and isinstance(knobs, LatentKnobs):
        return _latent(model, request, knobs, BeamEdit(_nothing, oracle, plausible, pool))
    raise CapabilityError(f"a {type(model).__name__} does not edit")
