"""``zsteer convert``: molecules from one kind of file to another, with the counts of everything left out.

``zsteer convert FILE --report`` reads a file of any domain and says what there is.
"""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsteer.cli.parse import parse
from zsteer.cli.show import note_all
from zsteer.errors import SettingsError

__all__ = ["run"]

_LARGE = 5_000_000
"""Bytes of a file whose reading is announced."""


@dataclass(frozen=True)
class Convert:
    """Turn molecules into another kind of file: zsteer convert IN OUT; or say what a file holds: convert IN --report.

    A report is of molecules, images, ratings, receptors or a table, whatever the file holds.

    The endings say the kinds. Read: .sdf .mol .xyz .extxyz .smi .txt .csv .tsv .npz, the QM9 archive, folders of
    ligands beside pockets; written: .sdf .xyz .extxyz .smi .csv .npz; text also with .gz. An .npz is the prepared
    container that training opens at once. SMILES get a geometry by ETKDGv3 and MMFF94; that work goes on where it was
    when the same command is started again.
    """

    report: bool = False
    """Say what was read and what was left out and why, and write nothing."""
    domain: str | None = None
    """What the file of a report holds (images, molecules, ratings, sequences, tables); recognised when absent."""

    limit: int | None = None
    """Take a random subset of at most this many records."""
    seed: int = 0
    """Of the subset and of the geometries."""
    workers: int = 0
    """Processes that make geometries; 0 takes the free cores."""
    max_heavy: int = 38
    """SMILES that get a geometry: heavy atoms at most."""
    skip_invalid: bool = False
    """Leave out records that cannot be used, count and name them."""
    heavy: bool = False
    """Heavy atoms alone; hydrogens become a number on them."""
    perceive: bool = False
    """Take bonds from SMILES that fit the geometry, or from the geometry alone, instead of from the file."""
    splits: Path | None = None
    """List of SMILES with a column split (train, val, test) that says the part of each molecule."""
    column: str | None = None
    """Heading of the column of SMILES in a list (smiles, canonical_smiles, structure, Drug and the like are known), or
    of the CDR3 of receptors."""
    overwrite: bool = False
    """Replace a file that exists."""
    json: bool = False
    """Print the counts as JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer convert``."""
    words = list(arguments)
    if words and words[0] in {"-h", "--help"}:
        parse(Convert, words, name="convert")
    files = list(itertools.takewhile(lambda word: not word.startswith("-"), words[:2]))
    command = parse(Convert, words[len(files) :], name="convert") if files else Convert()
    if len(files) != (1 if command.report else 2):
        raise SettingsError(
            "zsteer convert needs two files first: zsteer convert IN OUT; with --report one: zsteer convert IN --report"
        )
    source, goal = Path(files[0]), Path(files[-1])
    if command.workers < 0 or (command.limit is not None and command.limit < 1) or command.max_heavy < 1:
        raise SettingsError("zsteer convert: --limit and --max-heavy are at least 1, --workers at least 0")
    return _tell(command, source) if command.report else _write(command, source, goal)


_READING = ("skip_invalid", "heavy", "limit", "seed", "max_heavy", "perceive", "splits", "column")
"""Flags that say how a file is read."""


def _given(command: Convert) -> dict[str, Any]:
    """Flags of reading that differ from what they are when absent."""
    plain = Convert()
    return {name: getattr(command, name) for name in _READING if getattr(command, name) != getattr(plain, name)}


def _write(command: Convert, source: Path, goal: Path) -> int:
    """Read molecules and write them to another kind of file."""
    from zsteer.core.files import check_free
    from zsteer.domains.molecules.checks import summary
    from zsteer.domains.molecules.files import Reading, check_ending, read, write_molecules

    if command.domain is not None:
        raise SettingsError("zsteer convert: --domain goes with --report; molecules alone are converted")
    check_ending(goal)
    check_free(goal, overwrite=command.overwrite)
    work = goal.with_name(f".{goal.name}.parts")
    _announce(source, quiet=command.json)
    found = read(source, Reading(**_given(command)), embedder=_embedder(command, str(source), work))
    left = f"{len(found.problems):,} records are left out: {'; '.join(summary(found.problems))}"
    note_all([*found.notes, *([left] if found.problems else [])])
    lines = [*found.counts.lines(), *summary(found.problems)]
    notes = [source.name, *lines, *found.notes]
    lost = write_molecules(goal, found.molecules, hydrogens=not command.heavy, overwrite=command.overwrite, notes=notes)
    shutil.rmtree(work, ignore_errors=True)
    if found.molecules.bond_offsets is None and not goal.name.lower().endswith((".xyz", ".extxyz", ".xyz.gz")):
        lines.append("bonds are not known, so none were written; --perceive finds them")
    _report(command, [source.name, *lines, *summary(lost)], goal, found.molecules)
    return 0


def _tell(command: Convert, source: Path) -> int:
    """Print what a file holds."""
    from zsteer.kits.contents import report_of

    _announce(source, quiet=command.json)
    content, found = report_of(source, command.domain, **_given(command))
    note_all(found.notes)
    if command.json:
        import json

        facts = {"file": str(source), "domain": content.domain, "found": found.lines, "notes": found.notes}
        print(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        head = f"{source}: {content.domain} ({content.words})"
        print("\n".join([head, *(f"  {line}" for line in found.lines)]))
    return 0


def _announce(source: Path, *, quiet: bool) -> None:
    """Say that a large file is being read; nobody knows how long that takes before its end."""
    from zsteer.cli.show import Progress

    if source.is_file() and source.stat().st_size > _LARGE:
        with Progress("convert", quiet=quiet) as progress:
            progress.update({"doing": f"reading {source}"})


def _report(command: Convert, lines: Sequence[str], goal: Path, molecules: Any) -> None:
    facts: dict[str, Any] = {
        "file": str(goal),
        "molecules": len(molecules),
        "atoms": len(molecules.z),
        "digest": molecules.digest(),
    }
    if command.json:
        import json

        print(json.dumps({**facts, "counts": list(lines)}, indent=1, ensure_ascii=False))
        return
    print("\n".join(lines))
    print(f"{goal}: {len(molecules):,} molecules, {len(molecules.z):,} atoms, content {facts['digest'][:12]}")


def _embedder(command: Convert, called: str, work: Path) -> Callable[[Sequence[Any]], Any]:
    """What makes geometries: this process, or a pool of workers that outlives the crash of one."""

    def made(rows: Sequence[Any]) -> Any:
        from zsteer.cli.show import Progress
        from zsteer.domains.molecules.embed import Limits, embed, serial
        from zsteer.train.threads import free_threads

        count = command.workers or free_threads()
        limits = Limits(max_heavy=command.max_heavy, seed=command.seed)
        with Progress("geometries", quiet=command.json) as progress:
            return embed(
                rows,
                limits,
                work,
                called=called,
                skip_invalid=command.skip_invalid,
                run=serial if count == 1 else _pooled(count),
                watch=progress.update,
            )

    return made


def _pooled(workers: int) -> Callable[[Sequence[Any]], Iterator[tuple[int, str]]]:
    from zsteer.scoring.pool import Pool

    def run_all(tasks: Sequence[Any]) -> Iterator[tuple[int, str]]:
        with Pool("zsteer.domains.molecules.embed:embed_part", workers=workers) as pool:
            for number, outcome in pool.stream(tasks):
                yield number, outcome.status

    return run_all
