"""The ``tcr`` protocol: a report on receptors for one peptide, with the figures that keep it honest."""

from typing import Any

import torch

from zsteer.core.batch import Batch
from zsteer.domains.sequences.files import Table as Sequences
from zsteer.domains.sequences.metrics import diversity, edits, edits_share
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError
from zsteer.evaluate.report import Report, Table
from zsteer.evaluate.steering import first_of_each, off_target, share
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.scores import score
from zsteer.sample.beam import sequence_hash
from zsteer.scoring.olga import LEAST_LOG10, log10_generation

__all__ = ["judged_for_all", "report_on"]


def judged_for_all(family: Family, x: Batch) -> tuple[torch.Tensor, list[str]]:
    """Which sequences pass the judge of each peptide that it can judge; shape ``(b, p)``, and the peptides."""
    judge = family.judge
    names = [name for name, card in judge.cards.items() if card.area >= 0.75]
    thresholds = torch.tensor([judge.card(name).threshold for name in names])
    return judge.scores(x, names) >= thresholds, names


def report_on(family: Family, samples: Any, peptide: str, *, pgen: bool = False) -> Report:
    """Report on receptors for a peptide.

    Args:
        family: where the judges are.
        samples: a table that was read, or designs; a column ``template`` is compared with, where there is one.
        peptide: what they should bind.
        pgen: add the share above a generation probability (OLGA).

    Raises:
        InputError: if there is no sequence.
        MissingExtraError: if ``pgen`` is wanted and OLGA is not installed.
    """
    x = _batch(samples)
    if not len(x):
        raise InputError("there is nothing to evaluate: the file holds no sequence")
    found = score(family, x, peptide)
    distinct = first_of_each(sequence_hash(x["tokens"]))
    rows: list[list[Any]] = []
    for title, hits in (
        ("passes the design oracle", found.design_pass),
        ("passes the judge", found.judge_pass),
        ("plausible (language model)", found.plausible >= 0),
        ("valid (published score)", found.valid),
        ("distinct", distinct),
        ("copied from the training data", found.copied),
        ("confirmed: judge, plausible, distinct, no copy", _confirmed(found, distinct)),
    ):
        measured = share(hits)
        rows.append([title, measured.value, measured.low, measured.high, measured.n])
    notes = _notes()
    if pgen:
        common = share(log10_generation(SequenceSpace().decode(x)) > LEAST_LOG10)
        rows.append([f"generation probability above 10^{LEAST_LOG10}", common.value, common.low, common.high, common.n])
        notes.append(
            f"generation probability: OLGA, human TRB; 95 % of background receptors lie above 10^{LEAST_LOG10}"
        )
    tables = [Table(f"{len(x)} sequences for {peptide}", ["what", "share", "low", "high", "n"], rows, notes)]
    tables.append(_scale(family, peptide))
    tables.append(_spread(family, samples, x, peptide))
    gap = float(found.design_pass.float().mean() - found.judge_pass.float().mean())
    confirmed = share(_confirmed(found, distinct))
    summary = [
        f"{confirmed} of the sequences are confirmed for {peptide}.",
        "Confirmed: passes the judge, which no method saw, and is plausible, distinct and not copied.",
        f"The gap between the design oracle and the judge is {gap:+.2f}.",
    ]
    if getattr(samples, "skipped", ()):
        summary.append(f"{len(samples.skipped)} rows were left out: " + _skipped(samples))
    facts = {"judge": str(family.place("tcr-judge").name), "peptide": peptide, "sequences": len(x)}
    return Report(f"Receptors for {peptide}", summary, tables, (), facts)


def _batch(samples: Any) -> Batch:
    """Sequences as every score reads them, whatever model they came from."""
    texts = samples.sequences if isinstance(samples, Sequences) else samples.items
    return SequenceSpace().encode(list(texts))


def _confirmed(found: Any, distinct: torch.Tensor) -> torch.Tensor:
    return found.judge_pass & (found.plausible >= 0) & distinct & ~found.copied


def _skipped(samples: Any) -> str:
    shown = "; ".join(_line(entry) for entry in samples.skipped[:5])
    return shown + (" ..." if len(samples.skipped) > 5 else "")


def _line(entry: Any) -> str:
    return entry if isinstance(entry, str) else f"row {entry.row}: {entry.reason}"


def _notes() -> list[str]:
    return [
        "intervals: Wilson, 95 %; passing means a score that 1 % of human background receptors reach",
        "the judge has other model classes and learned from other receptors than the design oracle",
    ]


def _scale(family: Family, peptide: str) -> Table:
    """What real binders reach: the scale for every design."""
    rows: list[list[Any]] = []
    for name, cards in (("design oracle", family.oracle.cards), ("judge", family.judge.cards)):
        if peptide in cards:
            card = cards[peptide]
            rows.append([name, card.real_pass, 0.01, card.area, card.area_swap, card.tested_on])
        else:
            rows.append([name, "no card", 0.01, "-", "-", 0])
    columns = ["oracle", "real binders pass", "background passes", "AUC", "AUC against swaps", "test binders"]
    notes = ["a design that passes far more often than real binders is over-optimistic, not better than nature"]
    return Table("The scale: real held-out binders and background", columns, rows, notes)


def _spread(family: Family, samples: Any, x: Batch, peptide: str) -> Table:
    passes, names = judged_for_all(family, x)
    rows: list[list[Any]] = []
    if peptide in names:
        other = share(off_target(passes, names.index(peptide)))
        rows.append(["pass the judge of another peptide", other.value])
    rows.append(["mean pairwise distance [edits]", diversity(x["tokens"])])
    templates = dict(getattr(samples, "columns", {})).get("template")
    if (isinstance(samples, Sequences) and templates is not None) or templates:
        space = SequenceSpace()
        good = [i for i, text in enumerate(templates) if space.problem(text) is None]
        if good:
            before = space.encode([templates[i] for i in good])
            after = x.take(torch.tensor(good))
            changed = edits(after["tokens"], before["tokens"]).float()
            rows.append(["edits of the own template", float(changed.mean())])
            rows.append(["edits / length", float(edits_share(after["tokens"], before["tokens"]).mean())])
            base = score(family, before, peptide)
            rows.append(["templates that pass the judge", float(base.judge_pass.float().mean())])
    return Table("Spread, specificity and cost", ["what", "value"], rows)
