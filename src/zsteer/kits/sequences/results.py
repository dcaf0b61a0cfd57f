"""The table of a steer's results: the template of each design with what stood in its row, and what makes it suspect.

Nothing of a user's is overwritten: a column of the file whose name the table needs itself gets ``template_`` in front,
and so does every field of the file that describes the template's nucleotides, which the design no longer has.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from zsteer.domains.sequences.chains import MISSING, fold
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.kits.base import Samples
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.scores import Scores, marks, numbers, score

__all__ = ["beside", "of_templates", "unique"]

_ID = "sequence_id"
_OF_TEMPLATE = re.compile(
    r"(sequence|sequence_aa|junction|junction_aa|cdr3|cdr3_aa|cdr3_imgt|rearrangement|nucleotide|nucleotide_sequence"
    r"|.*(_|^)alignment(_aa)?|.*_(nt|nucleotides?|nuc|nucseq|cigar|identity|support|germline)"
    r"|(cdr3|junction|cdr3s?_?b?_?)nt|n?seq(imputed)?cdr3|targetsequences|targetqualities|refpoints|minqualcdr3"
    r"|all[vdjc]alignments?|[vdjc]\d?_(sequence|germline|alignment|score).*|np\d.*|[np]\d?_length|(c|f)w?[dr]{1,2}[1-4].*"
    r"|junction(_aa)?_length|cdr3_(aa_)?length|cdr3length|rev_comp|productive|vj_in_frame|stop_codon|complete_vdj"
    r"|frame_?type|sequencestatus|(v_domain_)?functionality|raw_sequence.*|quality|sequence_length)"
)
"""Fields that say something of the template's own sequence: of AIRR and of the exports."""


def beside(start: Samples, origin: Sequence[int], changed: Tensor, own: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Columns of results beside their templates: names, sequences, edits, what stood in their rows, and their own.

    Args:
        start: the templates.
        origin: row of the template of each result.
        changed: edits of each result.
        own: further columns of the results.
    """
    names = unique(start.columns.get(_ID), len(start))
    rank: dict[int, int] = {}
    ids = []
    for k in origin:
        rank[k] = rank.get(k, 0) + 1
        ids.append(f"{names[k]}_{rank[k]}")
    first: dict[str, Sequence[Any]] = {
        _ID: unique(ids, len(ids)),
        "template_id": [names[k] for k in origin],
        "template": [start.items[k] for k in origin],
        "edits": [str(int(k)) for k in changed],
    }
    taken = {*first, *own}
    carried: dict[str, Sequence[Any]] = {}
    for key, values in start.columns.items():
        if key == _ID:
            continue
        name = f"template_{key}" if _OF_TEMPLATE.fullmatch(fold(key)) else key
        while name in taken:
            name = f"template_{name}"
        taken.add(name)
        carried[name] = [values[k] for k in origin]
    return first | carried | dict(own)


def unique(names: Sequence[object] | None, n: int) -> list[str]:
    """Names that lead back to one thing each: equal ones are numbered, missing ones are made."""
    given = [str(name) for name in names] if names is not None else [""] * n
    taken, found = set(given), list[str]()
    seen: dict[str, int] = {}
    for k, name in enumerate(given, 1):
        text = f"t{k}" if name.strip().lower() in MISSING else name
        seen[text] = seen.get(text, 0) + 1
        if seen[text] > 1 or (text != name and text in taken):
            count = max(2, seen[text])
            while f"{text}.{count}" in taken:
                count += 1
            text = f"{text}.{count}"
        taken.add(text)
        found.append(text)
    return found


def of_templates(
    family: Family, start: Samples, origin: Sequence[int], scores: Scores
) -> tuple[dict[str, Sequence[Any]], dict[str, object]]:
    """What is already true of the templates, as columns and as counts: which pass, which are known binders.

    A binder is known where its row names the peptide (results of a steer name their goal, and do not count), or where
    the design oracle passes it and has learned from it.

    Args:
        family: where the models are.
        start: the templates.
        origin: row of the template of each result.
        scores: of the results.
    """
    before = score(family, SequenceSpace().encode(list(start.items)), scores.peptide)
    column = next((name for name in start.columns if fold(name) in {"peptide", "epitope", "antigen_epitope"}), None)
    column = None if "design_score" in start.columns else column
    named = [str(one).strip() == scores.peptide for one in start.columns[column]] if column else [False] * len(start)
    known = [a or b for a, b in zip((before.copied & before.design_pass).tolist(), named, strict=True)]
    passes = before.judge_pass if before.judged else before.design_pass
    worse = scores.best < before.best[list(origin)]
    texts = {
        "template_design_score": numbers(before.design),
        "template_judge_score": numbers(before.judge),
        "template_passes": marks(passes),
        "template_known": ["T" if one else "F" for one in known],
    }
    columns: dict[str, Sequence[Any]] = {name: [values[k] for k in origin] for name, values in texts.items()}
    columns["below_template"] = marks(worse)
    facts: dict[str, object] = {
        "templates_that_pass": int(passes.sum()),
        "templates_known_binders": sum(known),
        "designs_below_template": int(worse.sum()),
    }
    return columns, facts
