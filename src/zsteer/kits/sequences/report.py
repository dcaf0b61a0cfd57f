"""The ``tcr`` protocol: a report on receptors for one peptide, with the figures that keep it honest."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.domains.sequences.metrics import distances, diversity
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.evaluate.report import Block, Report, Table
from zsteer.evaluate.steering import first_of_each, share
from zsteer.kits.sequences.companions import Family, judged
from zsteer.kits.sequences.pictures import pictures, spread_of
from zsteer.kits.sequences.scores import CHUNK, NO_JUDGE
from zsteer.kits.sequences.verdicts import CODES, Examples, Peptide, Rows, tensors
from zsteer.sample.beam import sequence_hash
from zsteer.scoring.olga import LEAST_LOG10

__all__ = ["judged_for_all", "report_like", "report_on"]


def judged_for_all(family: Family, x: Batch) -> tuple[torch.Tensor, list[str]]:
    """Which sequences pass the judge of each peptide that it can judge; shape ``(b, p)``, and the peptides."""
    names = judged(family)
    scores = torch.cat([torch.zeros(0, len(names)), *(family.judge.scores(part, names) for part in x.chunks(CHUNK))])
    return scores >= torch.tensor([family.judge.card(name).threshold for name in names]), names


def report_on(question: Peptide, rows: Rows, left_out: Sequence[str] = ()) -> Report:
    """Report on receptors for a peptide.

    Args:
        question: the peptide and the judges.
        rows: its verdicts.
        left_out: lines about rows that were left out.
    """
    family, peptide, x = question.family, question.peptide, tensors(rows)
    n, has_judge = len(x["tokens"]), peptide in family.judge.cards
    distinct = _distinct(x["tokens"])
    design = x["design"] >= family.oracle.cards[peptide].threshold
    judge = x["judge"] >= (family.judge.card(peptide).threshold if has_judge else float("inf"))
    good = judge & (x["plausible"] >= 0) & distinct & ~x["copied"]
    measured = [("passes the design oracle", design)]
    measured += [("passes the judge", judge)] if has_judge else []
    measured += _looks(x, distinct)
    measured += [("passes an independent judge, plausible, distinct, no copy", good)] if has_judge else []
    notes = _notes()
    if question.pgen:
        measured.append((f"generation probability above 10^{LEAST_LOG10}", x["pgen"] > LEAST_LOG10))
        notes.append(
            f"generation probability: OLGA, human TRB; 95 % of background receptors lie above 10^{LEAST_LOG10}"
        )
    tables = [Table(f"{n} sequences for {peptide}", ["what", "share", "low", "high", "n"], _rows(measured), notes)]
    tables += [_scale(family, peptide), _beside(question, x, design, judge), _spread(question, x)]
    if has_judge:
        gap = float(design.float().mean() - judge.float().mean())
        summary = [
            f"{share(good)} pass an independent judge for {peptide}, and are plausible, distinct and no copies.",
            "Independent: no method saw the judge. It is a model; no experiment has touched these sequences.",
            f"The gap between the design oracle and the judge is {gap:+.2f}.",
        ]
    else:
        summary = [
            f"There is no judge for {peptide}: nothing independent can say how good these sequences are.",
            f"{share(design)} of the sequences pass the design oracle, which may have chosen them.",
        ]
    name = str(family.place("tcr-judge").name) if has_judge else f"{NO_JUDGE} for {peptide}"
    facts = {"judge": name, "peptide": peptide, "sequences": n}
    blocks = [*pictures(x["tokens"], x["template"]), *([_histogram(question, x)] if has_judge else [])]
    return Report(f"Receptors for {peptide}", [*summary, *left_out], tables, blocks, facts)


def report_like(question: Examples, rows: Rows, left_out: Sequence[str] = ()) -> Report:
    """Report on receptors that should be like examples, where no model knows what these bind.

    Args:
        question: the examples.
        rows: their verdicts.
        left_out: lines about rows that were left out.
    """
    x, n = tensors(rows), len(rows["tokens"])
    distinct = _distinct(x["tokens"])
    near = x["example_edits"]
    measured = _rows([*_looks(x, distinct), ("is one of the examples", near == 0)])
    columns = ["what", "share", "low", "high", "n"]
    tables = [Table(f"{n} sequences beside {len(question.distinct)} examples", columns, measured, _notes()[:1])]
    among, mean = distances_among(question.distinct), float(near.double().mean())
    spread: list[list[Any]] = [
        ["edits to the nearest example", mean],
        ["of an example to the nearest other one", among],
        ["mean pairwise distance [edits]", diversity(x["tokens"])],
    ]
    tables.append(Table("Distance to the examples", ["what", "value"], spread))
    alike, drawn = x["likeness"], question.likeness.background
    above = float((torch.searchsorted(drawn, alike) / len(drawn)).mean())
    found: list[list[Any]] = [["of drawn receptors score lower than a sequence", above]]
    found += [] if question.likeness.area is None else [["leave-one-out AUC of the examples", question.likeness.area]]
    notes = [f"likeness by the code of {CODES}; drawn: {len(drawn):,} receptors of the language model"]
    tables.append(Table("Likeness to the examples", ["what", "value"], found, notes))
    summary = [
        f"The nearest example is {mean:.1f} edits away; of an example {among:.1f}.",
        f"Leave-one-out: {question.likeness.line}.",
        "There is no judge of what the examples bind: nothing independent can say how good these sequences are.",
    ]
    facts = {"judge": NO_JUDGE, "examples": len(question.distinct), "sequences": n}
    groups = {"sequences": alike, "drawn background": drawn}
    groups |= (
        {} if question.likeness.left_out is None else {"examples, each left out": question.likeness.left_out.score}
    )
    blocks = [*pictures(x["tokens"]), spread_of(groups, f"likeness to the examples by {CODES}", {})]
    return Report("Receptors like examples", [*summary, *left_out], tables, blocks, facts)


def distances_among(examples: Sequence[str], most: int = 1000) -> float:
    """Mean distance of an example to the nearest other one, of the first ``most``; NaN for a single one. [edits]"""
    if len(examples) < 2:
        return float("nan")
    tokens = SequenceSpace().encode(list(examples[:most]))["tokens"]
    found = distances(tokens, tokens).double()
    return float(found.fill_diagonal_(float("inf")).min(1).values.mean())


def _rows(measured: Sequence[tuple[str, torch.Tensor]]) -> list[list[Any]]:
    found = [(title, share(hits)) for title, hits in measured]
    return [[title, one.value, one.low, one.high, one.n] for title, one in found]


def _distinct(tokens: Tensor) -> Tensor:
    return first_of_each(torch.cat([sequence_hash(part) for part in tokens.split(CHUNK)]))


def _looks(x: Mapping[str, Tensor], distinct: Tensor) -> list[tuple[str, Tensor]]:
    return [
        ("plausible (language model)", x["plausible"] >= 0),
        ("valid (published score)", x["valid"]),
        ("distinct", distinct),
        ("copied from the training data", x["copied"]),
    ]


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


def _beside(question: Peptide, x: Mapping[str, Tensor], design: Tensor, judge: Tensor) -> Table:
    """The sequences beside receptors that are no designs, by the same oracles."""
    sets = {"sequences": [x["design"], x["judge"], design, judge]}
    for name, found in question.others.items():
        sets[name] = [found.design, found.judge, found.design_pass, found.judge_pass]
    there = x["edits"] >= 0
    rows: list[list[Any]] = []
    for name, (_, scores, by_design, by_judge) in sets.items():
        seen = bool(scores.isfinite().all())
        more = [str(share(by_judge)), float(scores.mean())] if seen else [NO_JUDGE, "-"]
        rows.append([name, len(scores), str(share(by_design)), *more])
    before = x["template_judge"][there]
    if len(before) and bool(before.isfinite().all()):
        passes = before >= question.family.judge.card(question.peptide).threshold
        rows.append(["templates", len(before), "-", str(share(passes)), float(before.mean())])
    notes = ["drawn background: receptors of the language model, which stand for human ones"]
    notes += ["known binders: of --reference; the oracles may have learned from some of them"] if question.known else []
    columns = ["set", "n", "pass the design oracle", "pass the judge", "mean score of the judge"]
    return Table("Beside background and known binders", columns, rows, notes)


def _histogram(question: Peptide, x: Mapping[str, Tensor]) -> Block:
    card = question.family.judge.card(question.peptide)
    groups = {"sequences": x["judge"], **{name: found.judge for name, found in question.others.items()}}
    groups["templates"] = x["template_judge"][x["edits"] >= 0]
    about = f"Of real held-out binders {card.real_pass:.0%} lie to the right of the line, of human background 1 %."
    mark = {f"1 % of background ({card.threshold:.2f})": card.threshold}
    return spread_of(groups, f"score of the judge for {question.peptide}", mark, about)


def _spread(question: Peptide, x: Mapping[str, Tensor]) -> Table:
    judge = question.family.judge
    rows: list[list[Any]] = []
    if question.peptide in judged(question.family):
        rows.append(["pass the judge of another peptide", float(x["other"].float().mean())])
    rows.append(["mean pairwise distance [edits]", diversity(x["tokens"])])
    there = x["edits"] >= 0
    if bool(there.any()):
        changed = x["edits"][there].float()
        lengths = PROTEIN.lengths(x["template"][there]).clamp(min=1)
        rows.append(["edits of the own template", float(changed.mean())])
        rows.append(["edits / length", float((changed / lengths).mean())])
        if question.peptide in judge.cards:
            before = x["template_judge"][there]
            passes = before >= judge.card(question.peptide).threshold
            rows.append(["templates that pass the judge", float(passes.float().mean())])
            rows.append(["designs that score below their template", float((x["judge"][there] < before).float().mean())])
    return Table("Spread, specificity and cost", ["what", "value"], rows)
