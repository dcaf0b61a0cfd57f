"""The main job end to end: edit known receptors and a repertoire towards one peptide, and say how well it worked.

Templates are the hand-written receptors of ``examples`` and a repertoire: held-out background where data are at hand,
else receptors drawn from the language model, called synthetic wherever they show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch

from zsteer.bench.sequences.methods import Task, first_designs, methods
from zsteer.core.batch import Batch
from zsteer.core.files import new_file
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.domains.sequences import files
from zsteer.domains.sequences.draw import align
from zsteer.domains.sequences.epitopes import epitope
from zsteer.domains.sequences.junctions import whole
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError
from zsteer.evaluate.report import Block, Report, Table
from zsteer.evaluate.steering import first_of_each, share
from zsteer.kits.base import Samples, Subject
from zsteer.kits.front import Request, steer
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.pictures import pictures, spread_of
from zsteer.kits.sequences.scores import Scores, score
from zsteer.recipes.sequences import tables
from zsteer.sample.beam import sequence_hash

__all__ = ["Demo", "demo", "examples_file"]

MODEL = "tcr-editor"
"""What wins under the judge (``zsteer bench tcr``)."""
REPERTOIRE = 240


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Args:
        designs: one design for each template, with scores.
        report: the page.
        table: file of the designs.
        page: file of the page.
    """

    designs: Samples
    report: Report
    table: Path
    page: Path


def examples_file() -> Path:
    """The hand-written receptors: of the checkout, or of the installed package.

    Raises:
        InputError: if neither is there.
    """
    package = Path(__file__).parents[1]
    for path in (package / "examples" / "receptors.tsv", package.parents[1] / "examples" / "receptors.tsv"):
        if path.is_file():
            return path
    raise InputError("examples/receptors.tsv is neither in this checkout nor in the package; install zsteer again")


def demo(
    out: Path,
    *,
    peptide: str = "YLQPRTFLL",
    data: Path | None = None,
    overwrite: bool = False,
    watch: Callable[[str], None] = lambda _: None,
) -> Demo:
    """Run the demo with the shipped models.

    Args:
        out: folder for ``designs.tsv`` and ``report.html``.
        peptide: what the designs should bind.
        data: data folder for a real repertoire; None draws a synthetic one.
        overwrite: replace files that exist.
        watch: called with progress.

    Raises:
        OutputError: if a file exists and ``overwrite`` is false.
    """
    table, page = out / "designs.tsv", out / "report.html"
    family = Family()
    subject = Subject(family.part(MODEL), family.place(MODEL), torch.device("cpu"))
    watch("reading templates")
    templates, controls = _templates(family, data, peptide)
    watch(f"editing {len(templates)} receptors towards {peptide}")
    designs = steer(subject, templates, Request(Goal(toward={"binds": peptide}), budget=Budget(edits=4)))
    watch("comparing with other methods")
    others = _others(family, SequenceSpace().encode(templates.items), peptide)
    report = _report(family, templates, designs, _Beside(peptide, others, controls))
    watch("writing")
    files.write(table, designs.items, designs.columns, overwrite=overwrite)
    with new_file(page, overwrite=overwrite) as partial:
        partial.write_text(report.to_html(), encoding="utf-8")
    return Demo(designs, report, table, page)


@dataclass(frozen=True)
class _Beside:
    """What stands beside the designs: the peptide, other methods, and proven binders of it by name."""

    peptide: str
    others: Mapping[str, tuple[Scores, Batch, Batch, float]]
    controls: Mapping[str, str]


def _templates(family: Family, data: Path | None, peptide: str) -> tuple[Samples, dict[str, str]]:
    """Receptors to edit, and those of the examples that are proven binders of the peptide: they are no templates."""
    known = files.read(examples_file())
    titles = [str(name) for name in known.columns["sequence_id"]]
    binds = [one == peptide for one in known.columns["peptide"]]
    controls = {name: text for name, text, own in zip(titles, known.sequences, binds, strict=True) if own}
    names = [name for name, own in zip(titles, binds, strict=True) if not own]
    published = [text for text, own in zip(known.sequences, binds, strict=True) if not own]
    space = SequenceSpace()
    if data is not None:
        background = tables.background(tables.table(data, "permissive"), "test")
        order = Streams.of(0, 1).permutation("repertoire", len(background))[0][:REPERTOIRE]
        more, origin = background.take(order), "held-out background"
    else:
        more = whole(family.language, REPERTOIRE, Streams.of(0, REPERTOIRE).child("repertoire"))
        origin = "synthetic"
    sequences = [*published, *space.decode(more)]
    names += [f"{origin.split()[0]}{i}" for i in range(1, REPERTOIRE + 1)]
    origins = ["published"] * len(published) + [origin] * REPERTOIRE
    columns = {"sequence_id": names, "template_origin": origins}
    return Samples("sequences", sequences, columns, lines=sequences, count=len(sequences)), controls


def _others(family: Family, templates: Batch, peptide: str) -> Mapping[str, tuple[Scores, Batch, Batch, float]]:
    """Other methods on the same templates, searches on the first few: scores, starts, designs, calls a template."""
    found: dict[str, tuple[Scores, Batch, Batch, float]] = {}
    table = methods()
    wanted = {
        "original": len(templates),
        "naive random mutation": len(templates),
        "greedy, core + LM": 12,
        "dWAE (free)": len(templates),
        "dWAE, <= 4 edits, Psi": len(templates),
        "z-free editor, no ranking": len(templates),
    }
    for name, count in wanted.items():
        starts = templates.take(slice(0, count))
        task = Task(family, peptide, family.oracle.binds(peptide), None)
        trail = table[name].run(task, starts, Streams.of(0, count).child(name))
        if trail is not None:
            made = first_designs(trail, count)
            found[name] = (score(family, made, peptide), starts, made, trail.calls / count)
    return found


def _row(name: str, found: Scores, starts: Batch, made: Batch, calls: float) -> list[Any]:
    from zsteer.domains.sequences.metrics import edits

    changed = edits(made["tokens"], starts["tokens"])
    distinct = first_of_each(sequence_hash(made["tokens"]))
    good = found.judge_pass & (changed <= 4) & (found.plausible >= 0) & distinct & ~found.copied
    of = [found.design_pass, found.judge_pass, good]
    plain = [float(x.float().mean()) for x in (found.plausible >= 0, found.valid)]
    return [name, len(made), float(changed.float().mean()), *[str(share(x)) for x in of], *plain, calls]


COLUMNS = (
    "method",
    "n",
    "edits",
    "design oracle",
    "judge",
    "passes, <= 4 edits",
    "plausible",
    "valid",
    "calls",
)


def _report(family: Family, templates: Samples, designs: Samples, beside: _Beside) -> Report:
    peptide, others = beside.peptide, beside.others
    space = SequenceSpace()
    starts, made = space.encode(templates.items), space.encode(designs.items)
    scores = score(family, made, peptide)
    ours = "z-free editor, 60 calls"
    calls = designs.facts["oracle_calls"] / len(templates)
    rows = [_row(name, *entry) for name, entry in others.items()]
    rows.append(_row(ours, scores, starts, made, calls))
    judge, oracle = family.judge.card(peptide), family.oracle.cards[peptide]
    real = ["real held-out binders", judge.tested_on, "-", f"{oracle.real_pass:.2f}", f"{judge.real_pass:.2f}"]
    rows.append([*real, "-", "-", "-", "-"])
    notes = [
        "shares with Wilson intervals at 95 %; passing means a score that 1 % of human background receptors reach",
        "judge: other model classes, trained on other receptors; no method saw it",
        f"its AUC for {peptide} is {judge.area:.2f} +- {judge.area_error:.2f}, the design oracle's {oracle.area:.2f}",
        "passes: an independent judge, with at most 4 edits, plausible, distinct, no copy of a training receptor",
        "calls: distinct sequences that the design oracle scored, for each template",
    ]
    table = Table(f"Methods on the same {len(templates)} templates", COLUMNS, rows, notes, best=ours)
    origins = sorted({str(one) for one in templates.columns["template_origin"]})
    passed = rows[-2][5]
    facts = epitope(peptide)
    summary = [
        f"{len(designs)} receptors edited towards {peptide} ({facts.protein}, {facts.organism}, {facts.mhc}).",
        "At most 4 changes each; the first and last 3 residues are kept.",
        f"Pass an independent judge, plausible, distinct and no copies: {passed}.",
        f"Of real held-out binders {judge.real_pass:.2f} pass the judge, of background 0.01.",
        f"Templates: {', '.join(origins)}. Synthetic receptors are drawn from the language model, not from cells.",
        *_control_lines(family, beside),
        "These are predictions from CDR3-beta alone. A design needs an experiment.",
    ]
    how = {"model": MODEL, "peptide": peptide, "edits": "at most 4, one insertion or deletion among them", "seed": 0}
    groups = {"designs": scores.judge, "templates": others["original"][0].judge}
    mark = {f"1 % of background ({judge.threshold:.2f})": judge.threshold}
    spread = spread_of(groups, f"score of the judge for {peptide}", mark)
    blocks = [_best(designs, scores), *pictures(made["tokens"], starts["tokens"]), spread]
    return Report(f"Designed receptors for {peptide}", summary, [table], blocks, how | _made(designs))


def _control_lines(family: Family, beside: _Beside) -> list[str]:
    """What the oracles say of proven binders, which are no templates."""
    if not beside.controls:
        return []
    found = score(family, SequenceSpace().encode(list(beside.controls.values())), beside.peptide)
    words = [
        f"{name} ({text}) scores {float(judge):.2f} by the judge ({'passes' if passed else 'does not pass'})"
        for (name, text), judge, passed in zip(
            beside.controls.items(), found.judge.tolist(), found.judge_pass.tolist(), strict=True
        )
    ]
    return [f"Control, a proven binder that is not edited: {'; '.join(words)}."]


def _made(designs: Samples) -> dict[str, Any]:
    from zsteer.core.version import VERSION

    return {"zsteer": VERSION, "templates": designs.facts["templates"], "seconds of editing": designs.facts["seconds"]}


def _best(designs: Samples, found: Scores, count: int = 15) -> Block:
    """The designs that the judge likes best, before and after; published templates first."""
    good = found.judge_pass & (found.plausible >= 0) & ~found.copied
    published = torch.tensor([origin == "published" for origin in designs.columns["template_origin"]])
    rank = found.judge + 100.0 * good + 1000.0 * (good & published)
    rows: Sequence[int] = rank.argsort(descending=True)[:count].tolist()
    lines, texts = [], []
    for i in rows:
        pair = align(str(designs.columns["template"][i]), str(designs.items[i]))
        verdict = "passes the judge" if bool(good[i]) else "does not pass"
        name = f"{designs.columns['template_id'][i]} ({designs.columns['template_origin'][i]})"
        lines.append(
            f"<tr><td>{escape(name)}</td><td class=seq>{pair.to_html()}</td><td class=number>{pair.edits}</td>"
            f"<td class=number>{float(found.judge[i]):.2f}</td><td>{verdict}</td></tr>"
        )
        texts.append(f"{name}\n{pair.text()}\n")
    head = "<tr><th>template</th><th>before and after</th><th>edits</th><th>judge</th><th></th></tr>"
    return Block("The best designs", f"<div class=scroll><table>{head}{''.join(lines)}</table></div>", "\n".join(texts))
