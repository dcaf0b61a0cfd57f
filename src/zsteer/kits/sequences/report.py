"""The ``tcr`` protocol: a report on receptors for one peptide, with the figures that keep it honest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from zsteer.core.batch import Batch
from zsteer.domains.sequences.files import Table as Sequences
from zsteer.domains.sequences.metrics import distances, diversity, edits, edits_share
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError
from zsteer.evaluate.report import Report, Table
from zsteer.evaluate.steering import first_of_each, off_target, share
from zsteer.kits.sequences.companions import Family, judged
from zsteer.kits.sequences.reading import SHOWN
from zsteer.kits.sequences.scores import CHUNK, NO_JUDGE, Look, Scores, look, nearest_of, score
from zsteer.sample.beam import sequence_hash
from zsteer.scoring.olga import LEAST_LOG10, log10_generation

__all__ = ["judged_for_all", "report_like", "report_on"]


def judged_for_all(family: Family, x: Batch) -> tuple[torch.Tensor, list[str]]:
    """Which sequences pass the judge of each peptide that it can judge; shape ``(b, p)``, and the peptides."""
    names = judged(family)
    passes = _passes(family, _judged(family, x, names), names)
    return torch.stack(list(passes.values()), 1), names


def _judged(
    family: Family, x: Batch, names: Sequence[str], watch: Callable[[dict[str, Any]], None] = lambda _: None
) -> torch.Tensor:
    """Scores of the judge for several peptides; shape ``(b, p)``."""
    parts, done = [torch.zeros(0, len(names))], 0
    for piece in x.chunks(CHUNK):
        parts.append(family.judge.scores(piece, names))
        done += len(piece)
        watch({"step": done, "steps": len(x)})
    return torch.cat(parts)


def _passes(family: Family, verdicts: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Peptide whose judge is worth asking -> which sequences pass it."""
    able = judged(family)
    return {name: verdicts[:, k] >= family.judge.card(name).threshold for k, name in enumerate(names) if name in able}


Watch = Callable[[dict[str, Any]], None]


def report_on(
    family: Family, samples: Any, peptide: str, *, pgen: bool = False, watch: Watch = lambda _: None
) -> Report:
    """Report on receptors for a peptide.

    Args:
        family: where the judges are.
        samples: a table that was read, or designs; a column ``template`` is compared with, where there is one.
        peptide: what they should bind.
        pgen: add the share above a generation probability (OLGA).
        watch: called with progress.

    Raises:
        InputError: if there is no sequence.
        MissingExtraError: if ``pgen`` is wanted and OLGA is not installed.
    """
    x = _batch(samples)
    if not len(x):
        raise InputError("there is nothing to evaluate: the file holds no sequence")
    first = [peptide] if peptide in family.judge.cards else []
    names = [*first, *(name for name in judged(family) if name not in first)]
    verdicts = _judged(family, x, names, watch)
    found = score(family, x, peptide, verdicts[:, 0] if names[:1] == [peptide] else None)
    distinct = first_of_each(sequence_hash(x["tokens"]))
    good = found.judge_pass & (found.plausible >= 0) & distinct & ~found.copied
    rows = _rows(
        [
            ("passes the design oracle", found.design_pass),
            *([("passes the judge", found.judge_pass)] if found.judged else []),
            *_looks(found.look, distinct),
            *([("passes an independent judge, plausible, distinct, no copy", good)] if found.judged else []),
        ]
    )
    notes = _notes()
    if pgen:
        common = share(log10_generation(SequenceSpace().decode(x)) > LEAST_LOG10)
        rows.append([f"generation probability above 10^{LEAST_LOG10}", common.value, common.low, common.high, common.n])
        notes.append(
            f"generation probability: OLGA, human TRB; 95 % of background receptors lie above 10^{LEAST_LOG10}"
        )
    tables = [Table(f"{len(x)} sequences for {peptide}", ["what", "share", "low", "high", "n"], rows, notes)]
    tables.append(_scale(family, peptide))
    tables.append(_spread(family, samples, x, found, _passes(family, verdicts, names)))
    if found.judged:
        gap = float(found.design_pass.float().mean() - found.judge_pass.float().mean())
        summary = [
            f"{share(good)} pass an independent judge for {peptide}, and are plausible, distinct and no copies.",
            "Independent: no method saw the judge. It is a model; no experiment has touched these sequences.",
            f"The gap between the design oracle and the judge is {gap:+.2f}.",
        ]
    else:
        summary = [
            f"There is no judge for {peptide}: nothing independent can say how good these sequences are.",
            f"{share(found.design_pass)} of the sequences pass the design oracle, which may have chosen them.",
        ]
    facts = {"judge": _judge(family, found), "peptide": peptide, "sequences": len(x)}
    return Report(f"Receptors for {peptide}", summary + _left_out(samples), tables, (), facts)


def report_like(family: Family, samples: Any, examples: Sequence[str]) -> Report:
    """Report on receptors that should be like examples, where no model knows what these bind.

    Args:
        family: where the models are.
        samples: a table that was read, or designs.
        examples: as texts.

    Raises:
        InputError: if there is no sequence.
    """
    x = _batch(samples)
    if not len(x):
        raise InputError("there is nothing to evaluate: the file holds no sequence")
    near, distinct = nearest_of(x, examples), first_of_each(sequence_hash(x["tokens"]))
    rows = _rows([*_looks(look(family, x), distinct), ("is one of the examples", near.edits == 0)])
    columns = ["what", "share", "low", "high", "n"]
    tables = [Table(f"{len(x)} sequences beside {len(near.examples)} examples", columns, rows, _notes()[:1])]
    among = distances_among(near.examples)
    spread: list[list[Any]] = [
        ["edits to the nearest example", float(near.edits.double().mean())],
        ["of an example to the nearest other one", among],
        ["mean pairwise distance [edits]", diversity(x["tokens"])],
    ]
    tables.append(Table("Distance to the examples", ["what", "value"], spread))
    summary = [
        f"The nearest example is {float(near.edits.double().mean()):.1f} edits away; of an example {among:.1f}.",
        "There is no judge of what the examples bind: nothing independent can say how good these sequences are.",
    ]
    facts = {"judge": NO_JUDGE, "examples": len(near.examples), "sequences": len(x)}
    return Report("Receptors like examples", summary + _left_out(samples), tables, (), facts)


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


def _looks(seen: Look, distinct: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    return [
        ("plausible (language model)", seen.plausible >= 0),
        ("valid (published score)", seen.valid),
        ("distinct", distinct),
        ("copied from the training data", seen.copied),
    ]


def _judge(family: Family, found: Scores) -> str:
    return str(family.place("tcr-judge").name) if found.judged else f"{NO_JUDGE} for {found.peptide}"


def _batch(samples: Any) -> Batch:
    """Sequences as every score reads them, whatever model they came from."""
    return samples.batch if isinstance(samples, Sequences) else SequenceSpace().encode(list(samples.items))


def _left_out(samples: Any) -> list[str]:
    skipped = getattr(samples, "skipped", ())
    if not skipped:
        return []
    lines = [entry if isinstance(entry, str) else f"row {entry.row}: {entry.reason}" for entry in skipped[:SHOWN]]
    return [f"{len(skipped)} rows were left out: {'; '.join(lines)}" + (" ..." if len(skipped) > SHOWN else "")]


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


def _spread(family: Family, samples: Any, x: Batch, scores: Scores, passes: Mapping[str, torch.Tensor]) -> Table:
    peptide = scores.peptide
    rows: list[list[Any]] = []
    if peptide in passes:
        other = share(off_target(torch.stack(list(passes.values()), 1), list(passes).index(peptide)))
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
            if base.judged:
                rows.append(["templates that pass the judge", float(base.judge_pass.float().mean())])
                worse = float((scores.judge[good] < base.judge).float().mean())
                rows.append(["designs that score below their template", worse])
    return Table("Spread, specificity and cost", ["what", "value"], rows)
