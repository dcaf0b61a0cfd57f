"""The protocol ``tcr``: receptors for a peptide, or like examples, by judges that no method saw.

A file is judged block by block. What a block gave is kept in the user's cache folder until all are there, under the
hash of the file, the judges and the question, so that an evaluation that stopped goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsteer.core.cache import cached_arrays, drop_arrays, key_of_file, key_of_words, known_arrays
from zsteer.core.config import read_config
from zsteer.core.version import VERSION
from zsteer.domains.sequences import files
from zsteer.domains.sequences.rows import MAX_LENGTH, SHORTEST, Reader, Skipped
from zsteer.errors import InputError
from zsteer.evaluate.report import Report
from zsteer.kits.protocols import EvaluationRequest
from zsteer.kits.sequences.blocks import BLOCK, in_order
from zsteer.kits.sequences.companions import Family, unknown_peptide
from zsteer.kits.sequences.reading import SHOWN, read_receptors, say
from zsteer.kits.sequences.report import report_like, report_on
from zsteer.kits.sequences.verdicts import CODES, Examples, Peptide, Receptors, Rows, joined
from zsteer.train.threads import free_threads

__all__ = ["ReceptorProtocol", "receptors"]

_KEPT = "receptor-verdicts"
"""Folder of the cache."""
_PARTS = ("tcr-judge", "tcr-lm", "tcr-oracle", "tcr-validity")


@dataclass(frozen=True)
class ReceptorProtocol:
    """Receptors for a peptide, or like examples.

    Args:
        family: where the judges are.
    """

    family: Family

    def read(self, path: Path, *, skip_invalid: bool, column: str | None = None) -> files.Table:
        """Read sequences by the file's ending; of the other columns only templates are kept."""
        return read_receptors(path, skip_invalid=skip_invalid, column=column, keep=("template",))

    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report:
        """Report on receptors for a peptide with baselines, or on receptors like examples.

        Args:
            samples: a table that was read, or designs; a column ``template`` is compared with, where there is one.
            request: the peptide, or the file of examples.

        Raises:
            InputError: if no peptide and no file is named, the peptide is unknown, a reference stands beside
                examples, or there is no sequence.
        """
        question = self._question(request)
        whole = _receptors(samples)
        parts: list[Rows] = []
        for block in whole.chunks(BLOCK):
            parts.append(question.verdicts(block))
            request.watch({"step": len(parts) * BLOCK - BLOCK + len(block), "steps": len(whole)})
        return _report(question, parts, _left_out(getattr(samples, "skipped", ())))

    def evaluate_file(self, path: Path, request: EvaluationRequest) -> Report:
        """The same of a file, in blocks: memory does not grow with it, and what an earlier try judged is taken over.

        Args:
            path: file whose ending says the format.
            request: the peptide, or the file of examples.

        Raises:
            InputError: as ``evaluate`` does, or if a row of the file cannot be used.
        """
        question = self._question(request)
        reading = dict(request.reading)
        survey = Reader(path, low=SHORTEST, high=MAX_LENGTH, **reading)
        total = sum(1 for _ in survey)
        say(path, survey.notes, survey.skipped)
        key = self._key(path, request, question) if total > BLOCK else ""

        def work(number: int, block: files.Table) -> Rows:
            rows = _receptors(block)
            if not key:
                return question.verdicts(rows)
            return cached_arrays(_KEPT, f"{key}/{number:06d}", question.names, lambda: question.verdicts(rows))

        def known(number: int) -> Rows | None:
            return known_arrays(_KEPT, f"{key}/{number:06d}", question.names) if key else None

        parts = in_order(
            _blocks(path, reading),
            work,
            known,
            threads=free_threads(),
            watch=lambda done: request.watch({"step": done, "steps": total}),
        )
        report = _report(question, parts, _left_out(survey.skipped))
        if key:
            drop_arrays(_KEPT, key)
        return report

    def _key(self, path: Path, request: EvaluationRequest, question: Peptide | Examples) -> str:
        parts = (*_PARTS, CODES) if isinstance(question, Examples) else _PARTS
        models = [read_config(self.family.place(name))["files"] for name in parts]
        about = question.examples if isinstance(question, Examples) else (question.peptide, question.pgen)
        return key_of_words(VERSION, BLOCK, key_of_file(path), models, about, sorted(request.reading.items()))

    def _question(self, request: EvaluationRequest) -> Peptide | Examples:
        toward = request.goal.toward
        peptide = toward.get("binds")
        if set(toward) == {"like"}:
            if request.reference is not None:
                raise InputError("--reference holds known binders of --toward binds=PEPTIDE; omit it beside like=FILE")
            if request.pgen:
                raise InputError("--pgen goes with --toward binds=PEPTIDE; omit it")
            found = read_receptors(Path(str(toward["like"])), **request.reading).sequences
            return Examples(self.family, tuple(found))
        if peptide is None or set(toward) != {"binds"}:
            raise InputError("the tcr protocol needs --toward binds=PEPTIDE or like=FILE, and nothing else")
        if str(peptide) not in self.family.oracle.cards:
            raise InputError(unknown_peptide(self.family, str(peptide), where="--toward binds"))
        known = () if request.reference is None else read_receptors(request.reference, **request.reading).sequences
        return Peptide(self.family, str(peptide), request.pgen, tuple(known))


def _blocks(path: Path, reading: dict[str, Any]) -> Iterator[files.Table]:
    yield from files.blocks(path, BLOCK, **reading)


def _receptors(samples: Any) -> Receptors:
    """Sequences as every score reads them, whatever model they came from."""
    items = samples.sequences if isinstance(samples, files.Table) else samples.items
    templates = dict(getattr(samples, "columns", {})).get("template")
    return Receptors(list(items), None if templates is None else [str(one) for one in templates])


def _report(question: Peptide | Examples, parts: Any, left_out: list[str]) -> Report:
    rows = joined(parts)
    if not rows:
        raise InputError("there is nothing to evaluate: the file holds no sequence")
    if isinstance(question, Examples):
        return report_like(question, rows, left_out)
    return report_on(question, rows, left_out)


def _left_out(skipped: Any) -> list[str]:
    if not skipped:
        return []
    lines = [f"row {entry.row}: {entry.reason}" if isinstance(entry, Skipped) else str(entry) for entry in skipped]
    more = " ..." if len(lines) > SHOWN else ""
    return [f"{len(lines)} rows were left out: {'; '.join(lines[:SHOWN])}{more}"]


def receptors(models: Path | None) -> ReceptorProtocol:
    """With the judges of a folder, or the shipped ones.

    Raises:
        InputError: if the folder does not exist.
    """
    if models is not None and not models.is_dir():
        raise InputError(f"there is no folder {models} with judges")
    return ReceptorProtocol(Family(models))
