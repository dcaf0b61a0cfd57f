"""The methods of the receptor benchmark on one interface: templates in, one design for each out, calls counted.

Searches get the same number of distinct oracle calls for each template. Editors ask the oracle at most once for each
member of their pool; where only the model's own Psi ranks, they ask it not at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal, Trail
from zsteer.core.protocols import Oracle, Steer
from zsteer.core.rng import Streams
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.editors import EditRequest, make_editor
from zsteer.kits.sequences.options import CodeEditorOptions, EditorOptions
from zsteer.models.dwae.dwae import DisentangledWAE
from zsteer.steer.search.genetic import Genetic
from zsteer.steer.search.greedy import Greedy
from zsteer.steer.search.mcts import TreeSearch
from zsteer.steer.search.random import CopyNearest, Original, RandomChange
from zsteer.steer.search.sequences import EditSearch

__all__ = ["Method", "Task", "first_designs", "methods"]


@dataclass(frozen=True)
class Task:
    """One peptide and the templates to edit towards it.

    Args:
        family: the models.
        peptide: the peptide.
        oracle: its design oracle.
        binders: recorded binders of the design splits, or None where no data are at hand.
        edits: budget of edits.
        calls: budget of distinct oracle calls for each template of a search.
    """

    family: Family
    peptide: str
    oracle: Oracle
    binders: Batch | None
    edits: int = 4
    calls: int = 600


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        name: its name there.
        make: the steer for a task, or None where it cannot run.
        goal: what it must keep.
        budget: what it may spend.
        search: whether it spends calls on each template, and so gets fewer templates.
    """

    name: str
    make: Callable[[Task], Steer | None]
    goal: Goal
    budget: Callable[[Task], Budget]
    search: bool = False

    def run(self, task: Task, templates: Batch, rng: Streams) -> Trail | None:
        """Design for every template; None where the method cannot run."""
        steer = self.make(task)
        return None if steer is None else steer(templates, self.goal, self.budget(task), rng)


def _few(task: Task) -> Budget:
    return Budget(calls=task.calls, edits=task.edits)


def _many(task: Task) -> Budget:
    return Budget(calls=task.calls, edits=8)


def _copy(task: Task) -> Steer | None:
    return None if task.binders is None else CopyNearest(task.binders)


def _careful_greedy(task: Task) -> Steer:
    return EditSearch(task.oracle, Greedy(plausible=task.family.language.plausible, floor=0.0), ends=3)


def _latent(part: str, **options: object) -> Callable[[Task], Steer | None]:
    def make(task: Task) -> Steer | None:
        if not task.family.has(part):
            return None
        model = task.family.part(part)
        if not isinstance(model, DisentangledWAE) or task.peptide not in model.settings.panel.peptides:
            return None
        chosen = CodeEditorOptions.model_validate(options)
        request = EditRequest(task.peptide, None, Budget(edits=task.edits), chosen, 3, indels=True)
        return make_editor(model, task.family, request)

    return make


def _guided(**options: object) -> Callable[[Task], Steer | None]:
    def make(task: Task) -> Steer | None:
        if not task.family.has("tcr-editor"):
            return None
        chosen = EditorOptions.model_validate(options)
        request = EditRequest(task.peptide, None, Budget(edits=task.edits), chosen, 3, True)
        return make_editor(task.family.part("tcr-editor"), task.family, request)

    return make


def _pool(_: Task) -> Budget:
    return Budget()


def methods() -> Mapping[str, Method]:
    """All rows, in the order of the table: reference rows, searches, one-pass models, budgeted editors."""
    plain, core = Goal(), Goal(keep={"ends": 3})
    rows = (
        Method("original", lambda _: Original(), plain, _pool),
        Method("copy nearest binder", _copy, plain, _pool),
        Method("naive random mutation", lambda t: EditSearch(t.oracle, RandomChange()), plain, _few, search=True),
        Method("greedy", lambda t: EditSearch(t.oracle, Greedy()), plain, _many, search=True),
        Method("genetic", lambda t: EditSearch(t.oracle, Genetic()), plain, _many, search=True),
        Method("MCTS", lambda t: EditSearch(t.oracle, TreeSearch()), plain, _many, search=True),
        Method("greedy, core only", lambda t: EditSearch(t.oracle, Greedy(), ends=3), core, _few, search=True),
        Method("greedy, core + LM", _careful_greedy, core, _few, search=True),
        Method("dWAE null (free)", _latent("tcr-dwae", unlimited=True, z_from="null"), plain, _pool),
        Method("dVAE (free)", _latent("tcr-dvae", unlimited=True, z_from="best"), plain, _pool),
        Method("dWAE (free)", _latent("tcr-dwae", unlimited=True, z_from="best"), plain, _pool),
        Method("dVAE, <= 4 edits, Psi", _latent("tcr-dvae", rerank="psi"), plain, _pool),
        Method("dWAE, <= 4 edits, no ranking", _latent("tcr-dwae", rerank="none"), plain, _pool),
        Method("dWAE, <= 4 edits, Psi", _latent("tcr-dwae", rerank="psi"), plain, _pool),
        Method("dWAE, <= 4 edits, Psi + 12 calls", _latent("tcr-dwae", rerank="both", pool=12), plain, _pool),
        Method("dWAE, <= 4 edits, Psi + 60 calls", _latent("tcr-dwae", rerank="both"), plain, _pool),
        Method("z-free editor, no ranking", _guided(rerank="none"), plain, _pool),
        Method("z-free editor, 12 calls", _guided(pool=12), plain, _pool),
        Method("z-free editor, 60 calls", _guided(), plain, _pool),
    )
    return {row.name: row for row in rows}


def first_designs(trail: Trail, count: int) -> Batch:
    """The best design of each of ``count`` templates, in their order."""
    first = torch.full((count,), len(trail.origin), dtype=torch.long)
    rows = torch.arange(len(trail.origin))
    first = first.scatter_reduce(0, trail.origin.cpu(), rows, "amin")
    return trail.batch.to("cpu").take(first)
