"""Editors of receptors as methods: the z-free editor by guidance, a disentangled autoencoder by its codes.

Each proposes edits of every template through the budgeted beam; a design oracle, the model's own Psi, or nobody chooses
among them. Both ask the model for what it offers, never for its class.
"""

import time
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.objective import Constraint, Objective
from zsteer.core.protocols import Oracle, Steer
from zsteer.core.rng import Streams
from zsteer.domains.sequences.keep import EndsKept, LengthKept
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.options import CodeEditorOptions, EditorOptions
from zsteer.models.dwae.target import Aim, Resemblance
from zsteer.sample.beam import BeamSettings, Proposals
from zsteer.scoring.ensemble import Ensemble
from zsteer.steer.beam_edit import BeamEdit

__all__ = ["CodeEditing", "CodeEditor", "EditRequest", "GuidedEditing", "GuidedEditor", "Rewrite", "make_editor"]

EDITS = 8
"""Most changes of a template, where none are asked for."""


@runtime_checkable
class GuidedEditor(Protocol):
    """A model that proposes edits towards a peptide by guidance."""

    def propose_edits(
        self, templates: Batch, peptide: str, *, scale: float, beam: BeamSettings | None
    ) -> Proposals: ...
    def scale_of(self, peptide: str) -> float: ...


@runtime_checkable
class CodeEditor(Protocol):
    """A model that proposes edits by a code of what a receptor binds."""

    def propose_edits(self, templates: Batch, aim: Aim, rng: Streams, beam: BeamSettings | None) -> Proposals: ...
    def rewrite(self, templates: Batch, aim: Aim, rng: Streams, *, temperature: float) -> Batch: ...
    def binds(self, peptide: str) -> Oracle: ...
    def resembles(self, examples: Batch) -> Resemblance: ...
    @property
    def guidance(self) -> float: ...


@dataclass(frozen=True)
class EditRequest:
    """What is wanted of an editor.

    Args:
        peptide: what the designs should bind, or None for examples.
        examples: receptors to be like, or None.
        budget: edits and results for each template.
        options: of the model's editor.
        ends: residues kept at each end.
        indels: whether one insertion or deletion is allowed.
    """

    peptide: str | None
    examples: Batch | None
    budget: Budget
    options: EditorOptions
    ends: int
    indels: bool

    def beam(self) -> BeamSettings:
        """Budget and width of the beam."""
        limit = EDITS if self.budget.edits is None else self.budget.edits
        return BeamSettings(
            edits=limit, width=self.options.width, keep_start=self.ends, keep_end=self.ends, indel=self.indels
        )


def make_editor(model: object, family: Family, request: EditRequest) -> Steer:
    """The steer of a model for a request.

    Raises:
        CapabilityError: if the model cannot do what is wanted.
    """
    options = request.options
    if isinstance(model, CodeEditor) and isinstance(options, CodeEditorOptions):
        if options.unlimited:
            return Rewrite(model, _aim(model, request, options), options.temperature)
        return _by_codes(model, family, request, options)
    if isinstance(model, GuidedEditor):
        return _by_guidance(model, family, request)
    raise CapabilityError(f"{type(model).__name__} does not edit")


def _by_guidance(model: GuidedEditor, family: Family, request: EditRequest) -> BeamEdit:
    if request.peptide is None:
        raise CapabilityError("the z-free editor knows peptides only; steer by examples with tcr-dwae")
    peptide, options = request.peptide, request.options
    scale = options.scale if options.scale is not None else model.scale_of(peptide)

    def propose(x: Batch, rng: Streams) -> Proposals:
        del rng
        return model.propose_edits(x, peptide, scale=scale, beam=request.beam())

    if options.rerank == "none":
        return BeamEdit(propose, pool=request.budget.top)
    if options.rerank != "oracle":
        raise CapabilityError(f"the z-free editor has no Psi; --rerank {options.rerank} needs tcr-dwae")
    return BeamEdit(propose, family.oracle.binds(peptide), family.language.plausible, options.pool)


def _aim(model: CodeEditor, request: EditRequest, options: CodeEditorOptions) -> Aim:
    # Within a budget the template itself holds the structure; a free rewrite has only z_s to hold it.
    structure = options.structure if options.structure is not None else float(options.unlimited)
    scale = options.scale if options.scale is not None else (1.0 if options.unlimited else model.guidance)
    return Aim(request.peptide, request.examples, options.z_from, options.amount, scale, structure)


def _by_codes(model: CodeEditor, family: Family, request: EditRequest, options: CodeEditorOptions) -> BeamEdit:
    aim = _aim(model, request, options)

    def propose(x: Batch, rng: Streams) -> Proposals:
        return model.propose_edits(x, aim, rng, request.beam())

    if options.rerank == "none":
        return BeamEdit(propose, pool=request.budget.top)
    if request.examples is not None:
        # There is no peptide, so nothing but the model itself can say what resembles the examples.
        resembles = model.resembles(request.examples)
        return BeamEdit(propose, resembles, family.language.plausible, options.pool, asks=False)
    peptide = str(request.peptide)
    psi = model.binds(peptide)
    if options.rerank == "psi":
        return BeamEdit(propose, psi, family.language.plausible, options.pool, asks=False)
    if peptide not in family.oracle.settings.panel.peptides:
        raise CapabilityError(f"no design oracle knows {peptide}, only the model itself; pass --rerank psi")
    oracle = family.oracle.binds(peptide)
    chosen = oracle if options.rerank == "oracle" else Ensemble((psi, oracle))
    return BeamEdit(propose, chosen, family.language.plausible, options.pool)


@dataclass(frozen=True)
class Rewrite:
    """The published optimisation as a steer: keep z_s, replace z_f, decode once, whatever the number of edits.

    Args:
        model: whose codes.
        aim: where z_f goes.
        temperature: of the decoding; 0 takes the best residue each time.
    """

    model: CodeEditor
    aim: Aim
    temperature: float = 0.5

    def __call__(self, start: Batch | None, goal: Goal, budget: Budget, rng: Streams) -> Trail:
        """Rewrite every start; one result each, no oracle call."""
        del goal
        if start is None or len(start) == 0:
            raise InputError("there is nothing to edit: give at least one sequence")
        if budget.top != 1:
            raise InputError("an unlimited rewrite has one result for each template; omit --top")
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


@dataclass(frozen=True)
class GuidedEditing:
    """Edits of templates that a guided decoder finds most likely, as the method ``guide``.

    Args:
        family: companions: oracle, language model.
        options: of the editor.
        examples: receptors to be like, or None.
        name: of the method.
    """

    family: Family
    options: EditorOptions = field(default_factory=EditorOptions)
    examples: Batch | None = None
    name: str = "guide"

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Why not, or empty."""
        if not isinstance(model, GuidedEditor) or isinstance(model, CodeEditor):
            return "guided edits need a peptide-conditional decoder of sequences"
        return _fits(model, objective, constraint)

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Edit every template within the budget of edits."""
        return _Edit(self, objective, constraint).run(model, start, budget, rng)


@dataclass(frozen=True)
class CodeEditing:
    """Edits of templates by a code of what they bind, as the method ``edit``.

    Args:
        family: companions: oracle, language model.
        options: of the editor.
        examples: receptors to be like, or None.
        name: of the method.
    """

    family: Family
    options: CodeEditorOptions = field(default_factory=CodeEditorOptions)
    examples: Batch | None = None
    name: str = "edit"

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Why not, or empty."""
        if not isinstance(model, CodeEditor):
            return "edits by a binding code need a disentangled autoencoder of sequences"
        return _fits(model, objective, constraint)

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Edit every template within the budget of edits, or rewrite it once."""
        return _Edit(self, objective, constraint).run(model, start, budget, rng)


def _fits(model: object, objective: Objective, constraint: Constraint) -> str:
    """What both editors ask of a goal."""
    names = [target.quantity.name for target in objective.targets]
    if len(names) != 1 or names[0] not in {"binds", "like"} or objective.targets[0].sign < 0:
        return "an editor of receptors goes towards one peptide (binds=PEPTIDE) or examples (like=FILE)"
    peptide = objective.targets[0].quantity.argument
    known = getattr(getattr(model, "settings", None), "panel", None)
    if names == ["binds"] and known is not None and peptide not in known.peptides:
        return f"the model was trained without {peptide}"
    if any(not isinstance(part, EndsKept | LengthKept) for part in constraint.parts):
        return "an editor of receptors keeps ends and the length"
    return "an editor of receptors holds no property" if constraint.properties or constraint.rest else ""


@dataclass(frozen=True)
class _Edit:
    """One run of an editor."""

    method: GuidedEditing | CodeEditing
    objective: Objective
    constraint: Constraint

    def run(self, model: object, start: Batch | None, budget: Budget, rng: Streams) -> Trail:
        method, objective, constraint = self.method, self.objective, self.constraint
        reason = method.fits(model, objective, constraint)
        if reason:
            raise CapabilityError(reason)
        if start is None or not len(start):
            raise InputError("there is nothing to edit: give templates (--input FILE), or use sample")
        target = objective.targets[0].quantity
        ends = max((part.count for part in constraint.parts if isinstance(part, EndsKept)), default=3)
        fixed = any(isinstance(part, LengthKept) for part in constraint.parts)
        # The two anchors always stay: without them a design is no junction.
        request = EditRequest(
            target.argument if target.name == "binds" else None,
            method.examples,
            budget,
            method.options,
            max(1, ends),
            method.options.indels and not fixed,
        )
        return make_editor(model, method.family, request)(start, Goal(), budget, rng)
