"""The receptor recipes made ready: tables, networks, plans, and what is measured at the end."""

from pathlib import Path
from typing import Any

import torch

from zsteer.core.alphabet import PROTEIN
from zsteer.core.artifact import Origin
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.domains.sequences.data import TcrData
from zsteer.domains.sequences.epitopes import PANELS
from zsteer.domains.sequences.panel import rates_of
from zsteer.errors import InputError
from zsteer.models.autoregressive import Autoregressive, AutoregressiveSettings
from zsteer.models.dwae.dwae import DisentangledWAE
from zsteer.models.dwae.settings import DisentangledSettings
from zsteer.predictors.binding_classifier import Classifier, ClassifierSettings
from zsteer.predictors.binding_judge import SequenceJudge
from zsteer.predictors.sequence_validity import SequenceValidity
from zsteer.recipes.base import Experiment, Size, by_size
from zsteer.recipes.plans import plan_for, warmup_for
from zsteer.recipes.sequences import settings as recipes
from zsteer.recipes.sequences import tables
from zsteer.recipes.sequences.guidance import choose_scales
from zsteer.recipes.sequences.probes import probes
from zsteer.train.loop import Optim, Plan
from zsteer.train.source import Shuffled
from zsteer.train.weighted import Balanced, Joined

__all__ = ["design_oracle", "disentangled", "editor", "judge", "language_model", "validity"]

LIMITS = (
    "Labels are database records, about half of which a re-test confirmed; scores rank sequences, they are no "
    "probability of binding. CDR3-beta alone: alpha chain, V gene and MHC are not seen. Not for clinical use."
)

LM_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 300, "batch": 256, "lr": 4e-3, "hidden": 64},
    "s": {"steps": 3000, "batch": 256, "lr": 3e-3, "hidden": 128},
    "m": {"steps": 10000, "batch": 256, "lr": 2e-3, "hidden": 192},
    "l": {"steps": 20000, "batch": 1024, "lr": 2e-3, "hidden": 512},
}
ORACLE_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 150, "batch": 256, "lr": 5e-3, "members": 2, "channels": 32},
    "s": {"steps": 2400, "batch": 256, "lr": 5e-3, "members": 3, "channels": 64},
    "m": {"steps": 4000, "batch": 256, "lr": 4e-3, "members": 5, "channels": 64},
    "l": {"steps": 8000, "batch": 1024, "lr": 4e-3, "members": 8, "channels": 96},
}
EDITOR_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 300, "batch": 256, "lr": 5e-3, "hidden": 96},
    "s": {"steps": 2500, "batch": 256, "lr": 4e-3, "hidden": 128},
    "m": {"steps": 8000, "batch": 256, "lr": 3e-3, "hidden": 192},
    "l": {"steps": 16000, "batch": 1024, "lr": 2e-3, "hidden": 384},
}
DWAE_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 150, "batch": 128, "lr": 4e-3, "hidden": 64, "channels": 32},
    "s": {"steps": 1800, "batch": 256, "lr": 3e-3, "hidden": 128, "channels": 64},
    "m": {"steps": 6000, "batch": 256, "lr": 3e-3, "hidden": 192, "channels": 64},
    "l": {"steps": 12000, "batch": 1024, "lr": 2e-3, "hidden": 256, "channels": 96},
}
VALIDITY_SIZES: dict[Size, dict[str, Any]] = {
    "xs": {"steps": 200, "batch": 256, "lr": 2e-3, "hidden": 128},
    "s": {"steps": 3000, "batch": 512, "lr": 2e-3, "hidden": 256},
    "m": {"steps": 8000, "batch": 512, "lr": 2e-3, "hidden": 384},
    "l": {"steps": 20000, "batch": 2048, "lr": 2e-3, "hidden": 512},
}


def _plan(chosen: dict[str, Any], *, weight_decay: float = 0.01) -> Plan:
    steps = chosen["steps"]
    optim = Optim(lr=chosen["lr"], weight_decay=weight_decay, warmup=warmup_for(steps), decay="cosine")
    return plan_for(steps, optim, memory=10, longest=1000, checkpoint=250)


def _origin(data: TcrData, metrics: dict[str, Any], recipe: recipes.ReceptorRecipe) -> Origin:
    least = tables.least_of(data, recipe.least) if isinstance(recipe, recipes.PanelRecipe) else None
    return Origin(data=tables.origin_of(data, least), metrics=metrics, limits=LIMITS)


def _mixed(own: Batch, others: Batch, size: int, *, group: int = 4) -> Joined:
    """Half binders, rare peptides more often than their share; half background."""
    half = max(group, size // 2 // group * group)
    return Joined([Balanced(own, "peptide", half, power=0.5, group=group), Shuffled(others, half)])


def language_model(
    recipe: "recipes.LanguageModelRecipe", folder: Path | None, device: torch.device
) -> Experiment[Autoregressive]:
    """Language model on the background; measured in nats and bits a residue on held-out background."""
    chosen = by_size(recipe, LM_SIZES)
    data = tables.of_recipe(recipe, folder)
    model = Autoregressive(AutoregressiveSettings(hidden=chosen["hidden"], dropout=0.0, forget=0.0, seed=recipe.seed))
    source = Shuffled(tables.background(data, "train"), chosen["batch"])

    def measure(trained: Autoregressive) -> Origin:
        trained.eval().to("cpu")
        log_p, _ = _log_prob(trained, tables.background(data, "valid"))
        held, held_residues = _log_prob(trained, tables.background(data, "test"))
        trained.floor.fill_(float(torch.quantile(log_p.double(), 0.05)))
        bits = float(-held.sum() / (held_residues.sum() + len(held)) / torch.log(torch.tensor(2.0)))
        passed = float((held >= trained.floor).float().mean())
        metrics = {"bits_a_residue": bits, "floor_nats": float(trained.floor), "test_above_floor": passed}
        return _origin(data, metrics, recipe)

    return Experiment(model.to(device), source, _plan(chosen), measure)


def _log_prob(model: Autoregressive, x: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    plain = Batch({"tokens": x["tokens"]}, mask=x.mask)
    with torch.no_grad():
        log_p = torch.cat([model.log_prob(piece, Streams.of(0, len(piece))) for piece in plain.chunks(2048)])
    return log_p, PROTEIN.lengths(x["tokens"])


def design_oracle(
    recipe: "recipes.DesignOracleRecipe", folder: Path | None, device: torch.device
) -> Experiment[Classifier]:
    """Design oracle on train + valid; cards from the test split."""
    chosen = by_size(recipe, ORACLE_SIZES)
    data = tables.of_recipe(recipe, folder)
    panel = tables.panel_of(data, least=recipe.least)
    tables.check_swaps(data, panel.peptides)
    own = tables.binders(data, panel)
    settings = ClassifierSettings(
        panel=panel,
        rates=tuple(rates_of(own, len(panel.peptides), 0.5).tolist()),
        members=chosen["members"],
        channels=chosen["channels"],
        seed=recipe.seed,
    )
    model = Classifier(settings)

    def measure(trained: Classifier) -> Origin:
        trained.eval().to("cpu")
        scores, _ = trained.beliefs(tables.test_rows(data))
        trained.cards = tables.calibrate(data, panel, scores)
        trained.remember(own)
        return _origin(data, {**_areas(trained.cards), "peptides": len(panel.peptides)}, recipe)

    source = _mixed(own, tables.background(data, "design"), chosen["batch"])
    return Experiment(model.to(device), source, _plan(chosen), measure)


def _areas(cards: dict[str, Any]) -> dict[str, float]:
    """Mean area under the curve and pass rate of real binders over the core panel, and over all."""
    core = [card for name, card in cards.items() if name in PANELS["core"]]
    figures: dict[str, float] = {}
    for title, chosen in (("core", core), ("all", list(cards.values()))):
        if chosen:
            figures[f"area_{title}"] = sum(card.area for card in chosen) / len(chosen)
            figures[f"real_pass_{title}"] = sum(card.real_pass for card in chosen) / len(chosen)
    return figures


def judge(recipe: "recipes.JudgeRecipe", folder: Path | None, device: torch.device) -> Experiment[SequenceJudge]:
    """Evaluation oracle for the panels, as far as the rows allow; fitted in one call, on the CPU."""
    del device
    data = tables.of_recipe(recipe, folder)
    known = set(tables.panel_of(data, least=recipe.least).peptides)
    # Public tables hold hundreds of peptides, of which the panels are judged; of the user's own all are.
    listed = [name for panel in PANELS.values() for name in panel if name in known]
    mine = tables.judgeable(data, known)
    wanted = [*(name for name in listed if name not in data.own), *mine]
    if not wanted:
        raise InputError(f"no peptide has enough receptors for a judge: {tables.FIT} in eval, {tables.TEST} in test")
    tables.check_swaps(data, wanted)
    if "synthetic" in data.files:
        wanted = wanted[:3]
    trees = {"xs": 40, "s": 150, "m": 300, "l": 600}[recipe.size]
    settings = SequenceJudge.Settings(peptides=tuple(wanted), trees=trees)

    def measure(model: SequenceJudge) -> Origin:
        model.fit(data, Streams.of(recipe.seed, 1).child("judge"))
        return _origin(data, {**_areas(model.cards), "peptides": len(wanted)}, recipe)

    return Experiment(SequenceJudge(settings), None, None, measure)


def editor(recipe: "recipes.EditorRecipe", folder: Path | None, device: torch.device) -> Experiment[Autoregressive]:
    """Peptide-conditional decoder on train + valid binders and background, the null class trained along."""
    chosen = by_size(recipe, EDITOR_SIZES)
    data = tables.of_recipe(recipe, folder)
    panel = tables.panel_of(data, least=recipe.least)
    model = Autoregressive(AutoregressiveSettings(panel=panel, hidden=chosen["hidden"], seed=recipe.seed))
    source = _mixed(tables.binders(data, panel), tables.background(data, "train"), chosen["batch"], group=1)

    def measure(trained: Autoregressive) -> Origin:
        trained.eval().to("cpu")
        held = tables.binders(data, panel, ("test",))
        gain = trained.log_prob(held, Streams.of(0, len(held))).mean()
        none = held.with_fields(peptide=torch.full((len(held),), -1))
        gain = float((gain - trained.log_prob(none, Streams.of(0, len(held))).mean()).detach())
        metrics: dict[str, Any] = {"nats_gained_by_the_peptide": gain, "peptides": len(panel.peptides)}
        if recipe.oracle is not None:
            scales = choose_scales(trained, recipe.oracle, tables.background(data, "valid"))
            trained.settings = trained.settings.model_copy(update={"scales": scales})
            metrics["guidance"] = {name: scales[panel.index(name)] for name in PANELS["core"] if name in panel.peptides}
        return _origin(data, metrics, recipe)

    return Experiment(model.to(device), source, _plan(chosen), measure)


def validity(
    recipe: "recipes.ValidityRecipe", folder: Path | None, device: torch.device
) -> Experiment[SequenceValidity]:
    """Autoencoder on the background, then the mixture of its codes and the threshold on held-out background."""
    chosen = by_size(recipe, VALIDITY_SIZES)
    data = tables.of_recipe(recipe, folder)
    with initialised(recipe.seed):
        model = SequenceValidity(SequenceValidity.Settings(hidden=chosen["hidden"]))
    known = tables.background(data, "train")
    source = Shuffled(Batch({"tokens": known["tokens"]}, mask=known.mask), chosen["batch"])

    def measure(trained: SequenceValidity) -> Origin:
        trained.eval().to("cpu")
        trained.fit_density(known.take(slice(0, 30000)), Streams.of(recipe.seed, 1).child("density"))
        threshold = trained.calibrate(tables.background(data, "valid"))
        passed = float(trained.valid(tables.background(data, "test")).float().mean())
        return _origin(data, {"threshold": threshold, "test_background_valid": passed}, recipe)

    return Experiment(model.to(device), source, _plan(chosen, weight_decay=0.0), measure)


def disentangled(
    recipe: "recipes.DisentangledWAERecipe", folder: Path | None, device: torch.device
) -> Experiment[DisentangledWAE]:
    """TCR-dWAE, or TCR-dVAE; what its codes know is measured by fresh probes on the test split."""
    chosen = by_size(recipe, DWAE_SIZES)
    data = tables.of_recipe(recipe, folder)
    panel = tables.panel_of(data, least=recipe.least)
    own, others = tables.binders(data, panel), tables.background(data, "design")
    values: dict[str, Any] = {"hidden": chosen["hidden"], "channels": chosen["channels"]}
    if recipe.architecture == "paper":
        values = {"functional": 8, "structural": 32, "encoder": "transformer", "hidden": 256, "layers": 2}
        values |= {"cell": "lstm", "condition": 25, "blosum": True}
    if recipe.removal is not None:
        values["removal"] = recipe.removal
    settings = DisentangledSettings(
        panel=panel,
        rates=tuple(rates_of(own, len(panel.peptides), 0.5).tolist()),
        regulariser=recipe.regulariser,
        variational=recipe.name == "tcr-dvae",
        seed=recipe.seed,
        **values,
    )
    model = DisentangledWAE(settings)

    def measure(trained: DisentangledWAE) -> Origin:
        trained.eval().to("cpu")
        trained.remember(own, others.take(slice(0, 5000)))
        return _origin(data, {**probes(trained, data), "peptides": len(panel.peptides)}, recipe)

    return Experiment(model.to(device), _mixed(own, others, chosen["batch"]), _plan(chosen), measure)
