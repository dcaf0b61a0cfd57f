"""``zsteer convert``: molecules from one kind of file to another, with the counts of everything left out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsteer.cli.parse import parse
from zsteer.errors import SettingsError

__all__ = ["run"]


@dataclass(frozen=True)
class Convert:
    """Turn molecules into another kind of file: zsteer convert IN OUT.

    The endings say the kinds: .sdf .smi .csv .xyz .extxyz .npz (.gz too for text). SMILES get a geometry by ETKDGv3
    and MMFF94 where OUT needs one; that work goes on where it was when it is started again.
    """

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
    """Write heavy atoms alone; hydrogens become a number on them."""
    overwrite: bool = False
    """Replace a file that exists."""


def _runner(workers: int) -> Callable[[Sequence[Any]], Iterator[tuple[int, str]]]:
    """What makes geometries: this process, or a pool that outlives a crash."""
    from zsteer.domains.molecules.embed import serial
    from zsteer.scoring.pool import Pool
    from zsteer.train.threads import free_threads

    count = workers or free_threads()

    def pooled(tasks: Sequence[Any]) -> Iterator[tuple[int, str]]:
        with Pool("zsteer.domains.molecules.embed:embed_part", workers=count) as pool:
            for number, outcome in pool.stream(tasks):
                yield number, outcome.status

    return serial if count == 1 else pooled


def run(arguments: Sequence[str]) -> int:
    """Run ``zsteer convert``."""
    words = list(arguments)
    if words and words[0] in {"-h", "--help"}:
        parse(Convert, words, name="convert")
    if len(words) < 2 or words[0].startswith("-") or words[1].startswith("-"):
        raise SettingsError("zsteer convert needs two files first: zsteer convert IN OUT")
    source, goal = Path(words[0]), Path(words[1])
    command = parse(Convert, words[2:], name="convert")
    if command.workers < 0 or (command.limit is not None and command.limit < 1) or command.max_heavy < 1:
        raise SettingsError("zsteer convert: --limit and --max-heavy are at least 1, --workers at least 0")
    from zsteer.core.files import check_free

    check_free(goal, overwrite=command.overwrite)
    from zsteer.domains.molecules.checks import summary
    from zsteer.domains.molecules.embed import Limits, embed
    from zsteer.domains.molecules.prepared import save_prepared
    from zsteer.domains.molecules.smiles import choose, read_smiles

    rows = read_smiles(source)
    chosen = [rows[i] for i in choose([row.row for row in rows], command.limit, command.seed)]
    work = goal.with_name(f".{goal.name}.parts")
    from zsteer.cli.show import Progress

    with Progress("embedding") as progress:
        found = embed(
            chosen,
            Limits(max_heavy=command.max_heavy, seed=command.seed),
            work,
            skip_invalid=command.skip_invalid,
            run=_runner(command.workers),
            watch=progress.update,
        )
    counts = [f"{source.name}: {len(rows):,} rows", *found.counts.lines(), *summary(found.problems)]
    molecules = found.molecules.heavy() if command.heavy else found.molecules
    save_prepared(goal, molecules, notes=counts, overwrite=command.overwrite)
    import shutil

    shutil.rmtree(work)
    print("\n".join([*counts, f"{goal}: {len(molecules):,} molecules, {len(molecules.z):,} atoms"]))
    return 0
