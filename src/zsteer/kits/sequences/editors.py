"""How each receptor model proposes edits: the z-free editor by guidance, a disentangled autoencoder by its codes."""

import time
from dataclasses import dataclass

import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Steer
from zsteer.core.rng import Streams
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.options import EditorKnobs, LatentKnobs
from zsteer.models.autoregressive import Autoregressive
from zsteer.models.dwae.dwae import DisentangledWAE
from zsteer.models.dwae.target import Aim
from zsteer.sample.beam import BeamSettings, Proposals
from zsteer.scoring.ensemble import Ensemble
from zsteer.steer.beam_edit import BeamEdit

__all__ = ["Request", "Rewrite", "editor_of"]


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
        """Budget and width of the beam; 8 edits where no budget is given."""
        limit = 8 if self.budget.edits is None else self.budget.edits
        return BeamSettings(
            edits=limit, width=self.knobs.width, keep_start=self.ends, keep_end=self.ends, indel=self.indels
        )


def editor_of(model: object, family: Family, request: Request) -> Steer:
    """The steer of a model for a request.

    Raises:
        CapabilityError: if the model cannot do what is asked.
    """
    if isinstance(model, Autoregressive):
        return _guided(model, family, request)
    if isinstance(model, DisentangledWAE) and isinstance(request.knobs, LatentKnobs):
        if request.knobs.free:
            return Rewrite(model, _aim(model, request, request.knobs), request.knobs.temperature)
        return _latent(model, family, request, request.knobs)
    raise CapabilityError(f"a {type(model).__name__} does not edit")


def _guided(model: Autoregressive, family: Family, request: Request) -> BeamEdit:
    if request.peptide is None:
        raise CapabilityError("the z-free editor knows peptides only; steer by examples with tcr-dwae")
    peptide, knobs = request.peptide, request.knobs
    scale = knobs.scale if knobs.scale is not None else model.scale_of(peptide)

    def propose(x: Batch, rng: Streams) -> Proposals:
        del rng
        return model.propose_edits(x, peptide, scale=scale, beam=request.beam())

    if knobs.rerank == "none":
        return BeamEdit(propose, pool=request.budget.top)
    if knobs.rerank != "oracle":
        raise CapabilityError(f"the z-free editor has no Psi; --rerank {knobs.rerank} needs tcr-dwae")
    return BeamEdit(propose, family.oracle.binds(peptide), family.language.plausible, knobs.pool)


def _aim(model: DisentangledWAE, request: Request, knobs: LatentKnobs) -> Aim:
    # Within a budget the template itself holds the structure; a free rewrite has only z_s to hold it.
    structure = knobs.structure if knobs.structure is not None else float(knobs.free)
    scale = knobs.scale if knobs.scale is not None else (1.0 if knobs.free else model.settings.guidance)
    return Aim(request.peptide, request.examples, knobs.z_from, knobs.amount, scale, structure)


def _latent(model: DisentangledWAE, family: Family, request: Request, knobs: LatentKnobs) -> BeamEdit:
    aim = _aim(model, request, knobs)

    def propose(x: Batch, rng: Streams) -> Proposals:
        return model.propose(x, aim, rng, request.beam())

    if knobs.rerank == "none":
        return BeamEdit(propose, pool=request.budget.top)
    if request.examples is not None:
        # There is no peptide, so nothing but the model itself can say what resembles the examples.
        resembles = model.resembles(request.examples)
        return BeamEdit(propose, resembles, family.language.plausible, knobs.pool, asks=False)
    peptide = str(request.peptide)
    psi, oracle = model.binds(peptide), family.oracle.binds(peptide)
    chosen = {"psi": psi, "oracle": oracle, "both": Ensemble((psi, oracle))}[knobs.rerank]
    return BeamEdit(propose, chosen, family.language.plausible, knobs.pool, asks=knobs.rerank != "psi")


@dataclass(frozen=True)
class Rewrite:
    """The published optimisation as a steer: keep z_s, replace z_f, decode once, whatever the number of edits.

    Args:
        model: whose codes.
        aim: where z_f goes.
        temperature: of the decoding; 0 takes the best residue each time.
    """

    model: DisentangledWAE
    aim: Aim
    temperature: float = 0.5

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Rewrite every start; one result each, no oracle call."""
        del goal, budget
        if start is None or len(start) == 0:
            raise InputError("there is nothing to edit: give at least one sequence")
        began = time.perf_counter()
        parts = [
            self.model.rewrite(
                start.take(slice(k, k + 512)), self.aim, rng.take(slice(k, k + 512)), temperature=self.temperature
            )
            for k in range(0, len(start), 512)
        ]
        made = Batch.cat(parts)
        rows = torch.arange(len(start), device=start.device)
        scores = {"log_likelihood": made["log_prob"]}
        return Trail(Batch({"tokens": made["tokens"]}, mask=made.mask), rows, scores, 0, time.perf_counter() - began)
