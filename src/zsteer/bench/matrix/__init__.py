"""``zsteer bench matrix``: every method on every model and property, run; what it reached, or why it cannot.

A cell is green only if it was run: samples or starts of the model itself, one wanted value (a spread from where they
are), and the distance from it before and after, measured by the property's function and not by the method. Where a
method does not fit, the cell holds its own reason.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from zsteer.bench.matrix.page import write_page
from zsteer.bench.matrix.trained import trained_models
from zsteer.bench.peers import ROOT
from zsteer.core.catalog import MODELS, load_model, shipped
from zsteer.core.goal import Budget, Goal, parse_terms
from zsteer.errors import ZsteerError
from zsteer.evaluate.report import Cell, Report, Table
from zsteer.kits.base import Samples, Subject
from zsteer.kits.front import Request, about_subject, kit_of, reasons, sample, steer
from zsteer.train.threads import threads_of

__all__ = ["COLUMNS", "Outcome", "bench", "outcomes"]

Watch = Callable[[dict[str, Any]], None]
METHODS = ("guide", "edit", "search", "rerank", "refit")
COLUMNS = ("model", "kind", "domain", "method", "property", "result", "before", "after", "wanted", "calls", "seconds")
FIRST: Mapping[str, str] = {
    "images": "brightness",
    "molecules": "logp",
    "ratings": "rating",
    "sequences": "charge",
    "tables": "",
}
"""The property of a quick run; of a table its first column."""
OPTIONS: Mapping[str, Mapping[str, object]] = {
    "guide": {},
    "edit": {"rounds": 2},
    "search": {"rounds": 3, "proposals": 4},
    "rerank": {"candidates": 4},
    "refit": {"generations": 2, "draws": 16},
}
"""Small settings of each method, where the method that fits has them."""
N = 4
PEPTIDE = "YLQPRTFLL"


@dataclass(frozen=True)
class Outcome:
    """One cell.

    Args:
        result: ``works``; ``cannot:`` and the method's own reason; or ``failed:`` and what went wrong.
        before: mean value of the starts, or of plain samples; empty where it cannot.
        after: mean value of the results.
        wanted: as the goal was written.
        calls: distinct calls of the property.
        seconds: wall time.
    """

    result: str
    before: float | str = ""
    after: float | str = ""
    wanted: str = ""
    calls: int | str = ""
    seconds: float | str = ""


def bench(
    *, quick: bool = False, data: Path | None = None, watch: Callable[[dict[str, Any]], None] | None = None
) -> Report:
    """Run every cell.

    Args:
        quick: the shipped models and one property a domain; else models of the other kinds are trained at xs too, every
            property is run, and ``docs/compatibility.md`` of a checkout is written.
        data: the data folder, for models that are trained.
        watch: called with progress.
    """

    def quiet(record: dict[str, Any]) -> None:
        del record

    progress = watch or quiet
    rows: list[list[Cell]] = []
    with threads_of(1), TemporaryDirectory() as folder:
        models: dict[str, Path] = {
            name: path for name, path in shipped().items() if "Generative" in MODELS[_kind(path)].protocols
        }
        if not quick:
            models |= trained_models(Path(folder), data, progress)
        for name, path in models.items():
            subject = Subject(load_model(path), path, torch.device("cpu"))
            rows += outcomes(name, subject, quick=quick, watch=progress)
    works = sum(row[5] == "works" for row in rows)
    notes = [
        f"{N} results each, small settings; before and after: mean of the property, by its function",
        "class: mean log-odds of the wanted class; binds: the design score",
        "wanted: a spread from where the starts are; edit and search change samples, the others make new ones",
    ]
    title = "Methods on models and properties, run"
    failed = sum(str(row[5]).startswith("failed") for row in rows)
    line = f"{works} of {len(rows)} cells work, {failed} failed; the others say why they cannot."
    report = Report(title, [line], [Table(title, COLUMNS, rows, notes)])
    if not quick and (ROOT / "docs").is_dir():
        write_page(ROOT / "docs" / "compatibility.md", COLUMNS, rows, notes)
    return report


def _kind(folder: Path) -> str:
    from zsteer.core.config import read_config

    return str(read_config(folder)["kind"])


def outcomes(name: str, subject: Subject, *, quick: bool, watch: Watch) -> list[list[Cell]]:
    """All cells of a model.

    Args:
        name: of the model.
        subject: the model.
        quick: one property.
        watch: called with progress.
    """
    known = about_subject(subject)
    start = None if known.domain == "ratings" else sample(subject, N, given={}, options={}, seed=1)
    rows: list[list[Cell]] = []
    for quantity in _properties(subject, quick=quick):
        for method in METHODS:
            watch({"doing": f"{name}: {quantity} by {method}"})
            found = _run(subject, start, method, quantity)
            cells = [found.result, found.before, found.after, found.wanted, found.calls, found.seconds]
            rows.append([name, subject.model.kind, known.domain, method, quantity, *cells])
    return rows


def _properties(subject: Subject, *, quick: bool) -> list[str]:
    known = about_subject(subject)
    numeric = list(kit_of(known.domain).properties(subject))
    special = {"images": ["class"], "sequences": ["binds"], "ratings": ["rating"]}.get(known.domain, [])
    names = [*numeric, *special]
    return [FIRST[known.domain] or names[0]] if quick else names


def _wanted(subject: Subject, start: Samples | None, name: str) -> tuple[str, float | str]:
    """A goal for a property, as it is written, and the mean value of the starts."""
    kit = kit_of(about_subject(subject).domain)
    if name == "rating":
        return "high", ""
    if name == "binds":
        return PEPTIDE, _mean(subject, start, {name: PEPTIDE})
    if name == "class":
        classes = getattr(subject.model.settings, "classes", ()) or ("Bag",)
        word = str(classes[-2 if len(classes) > 1 else 0])
        return word, _mean(subject, start, {name: word})
    quantity = kit.properties(subject)[name]
    mean = _mean(subject, start, {name: "up"})
    if isinstance(mean, str):
        return "2", mean
    goal = mean + quantity.spread
    if quantity.high is not None and goal > quantity.high:
        goal = mean - quantity.spread
    return f"{goal:.4g}", mean


def _mean(subject: Subject, found: Samples | None, terms: Mapping[str, object]) -> float | str:
    """Mean of what a goal asks for, by the property's function; a word where there is none."""
    kit = kit_of(about_subject(subject).domain)
    (target,) = kit.targets(subject, parse_terms(terms))
    if found is None or found.batch is None or target.quantity.function is None:
        return "not measured"
    values = torch.from_numpy(target.quantity.values(kit.things(subject, found.batch), len(found)))
    return float(values.nanmean()) if bool(values.isfinite().any()) else "no value"


def _run(subject: Subject, start: Samples | None, method: str, name: str) -> Outcome:
    """One cell, run where the method fits.

    A reason that the method gives beforehand is an answer; a refusal while it runs is a fault of this table or of the
    method, and stands there as one.
    """
    wanted, before = _wanted(subject, start, name)
    terms = {name: wanted}
    try:
        reason = reasons(subject, terms).get(method, "no such method in this domain")
    except ZsteerError as error:
        reason = " ".join(str(error).split())
    if reason:
        return Outcome(f"cannot: {reason}")
    editor = method == "guide" and subject.model.kind == "autoregressive"
    changes = start is not None and (editor or method in {"edit", "search"})
    options = _options(subject, method)
    if method == "rerank" and start is None:
        options = {"user": _fewest(subject.model), "support": 1}
    request = Request(Goal(toward=terms), method, None if changes else N, Budget(top=1), 0, options)
    began = time.perf_counter()
    try:
        found = steer(subject, start if changes else None, request)
    except ZsteerError as error:
        return Outcome("failed: " + " ".join(str(error).split()))
    seconds = round(time.perf_counter() - began, 2)
    after = _after(subject, found, terms)
    return Outcome("works", before, after, wanted, int(found.facts.get("oracle_calls", 0)), seconds)


def _fewest(model: Any) -> str:
    """The user with the fewest ratings: to one who has rated all there is nothing to recommend."""
    return str(min(model.users, key=lambda user: int(model.known(user).mask.sum())))


def _options(subject: Subject, method: str) -> dict[str, object]:
    """Small settings that the methods of this model have."""
    rows = [row for row in about_subject(subject).methods if row.name == method]
    fields = {name for row in rows[:1] for cls in row.option_classes() for name in cls.model_fields}
    return {name: value for name, value in OPTIONS[method].items() if name in fields}


def _after(subject: Subject, found: Samples, terms: Mapping[str, object]) -> float | str:
    (name,) = terms
    column = found.columns.get("design_score" if name == "binds" else name)
    if column is not None and name != "class":
        numbers = [float(str(one)) for one in column if str(one)]
        return sum(numbers) / len(numbers) if numbers else "no value"
    return _mean(subject, found, terms)
