"""How the front door makes each method; imported when a method is made, since it knows every domain's editors."""

from pathlib import Path

import torch
from torch import Tensor

from zsteer.core.alphabet import Alphabet
from zsteer.core.batch import Batch
from zsteer.core.goal import parse_terms
from zsteer.core.heads import Heads
from zsteer.core.protocols import Method
from zsteer.kits.base import TakesLabels
from zsteer.kits.context import Context
from zsteer.kits.ratings.options import RecommendOptions
from zsteer.kits.ratings.recommend import Recommend
from zsteer.kits.registry import DOMAINS
from zsteer.kits.sequences.editors import CodeEditing, GuidedEditing
from zsteer.kits.sequences.kit import companions
from zsteer.kits.sequences.options import CodeEditorOptions, EditorOptions
from zsteer.steer.guided import Guide
from zsteer.steer.latent import LatentEdit
from zsteer.steer.latent_options import LatentOptions
from zsteer.steer.options import DrawOptions, GuideOptions, SamplingOptions
from zsteer.steer.refit.method import Refit
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.rerank import Rerank
from zsteer.steer.search.method import Search
from zsteer.steer.search.options import RerankOptions, SearchOptions

__all__ = ["code_editing", "guide", "guided_editing", "latent_edit", "recommend", "refit", "rerank", "search"]


def guide(context: Context) -> Method:
    """Sampling of a diffusion model with guidance."""
    checked = DOMAINS[context.kit.domain].checked
    return Guide(
        context.option(GuideOptions),
        context.option(SamplingOptions),
        context.option(DrawOptions),
        context.given,
        context.number,
        context.problems if checked else None,
    )


def _examples_like(context: Context) -> Batch | None:
    """The examples of ``--toward like=FILE``."""
    if "like" not in context.goal.toward:
        return None
    found = context.kit.read(Path(str(context.goal.toward["like"])), context.subject, **context.subject.reading)
    return context.kit.encode(found, context.subject).to(context.subject.device)


def guided_editing(context: Context) -> Method:
    """Edits by a guided decoder."""
    family = companions(context.subject)
    return GuidedEditing(family, context.option(EditorOptions), _examples_like(context))


def code_editing(context: Context) -> Method:
    """Edits by the code of what a receptor binds."""
    family = companions(context.subject)
    return CodeEditing(family, context.option(CodeEditorOptions), _examples_like(context))


def latent_edit(context: Context) -> Method:
    """Edits of codes along heads: stored with the model, or fitted on what the user gives."""
    options = context.option(LatentOptions)
    if context.subject.force:
        options = options.model_copy(update={"force": True})
    examples, labels = None, dict[str, Tensor]()
    if context.examples is not None:
        examples = context.kit.encode(context.examples, context.subject).to(context.subject.device)
        if isinstance(context.kit, TakesLabels):
            columns = context.examples.columns
            labels = {name: torch.tensor(column, dtype=torch.float64) for name, column in columns.items()}
    like = _examples_like(context)
    positives = {} if like is None else {"like": like}
    stored: Heads | None = getattr(context.subject.model, "heads", None)
    if stored is not None:
        able = {*stored.names, *labels, *positives}
        wanted = [*(term.name for term in parse_terms(context.goal.toward)), *context.goal.keep]
        stored = stored if {*wanted} - {"rest"} <= able else None
    properties = [each for each in context.properties() if stored is None or each.name not in labels]
    return LatentEdit(
        options, examples=examples, positives=positives, labels=labels, heads=stored, properties=properties
    )


def search(context: Context) -> Method:
    """Search around starts."""
    return Search(context.option(SearchOptions), _alphabet(context), context.given)


def _alphabet(context: Context) -> Alphabet | None:
    """The alphabet of samples that are tokens; None where they are something else."""
    space = getattr(context.kit, "space", None)
    found = None if space is None else getattr(space(context.subject.model.space), "alphabet", None)
    return found if isinstance(found, Alphabet) else None


def rerank(context: Context) -> Method:
    """The best of many samples."""
    return Rerank(context.option(RerankOptions), context.given, alphabet=_alphabet(context))


def refit(context: Context) -> Method:
    """The model, learnt anew from its own weighted draws."""
    return Refit(context.option(RefitOptions))


def recommend(context: Context) -> Method:
    """The best items of a user."""
    items = None if context.start is None else context.start.items
    names = (items,) if isinstance(items, str) else tuple(getattr(items, "users", ()))
    return Recommend(context.option(RecommendOptions), names)
