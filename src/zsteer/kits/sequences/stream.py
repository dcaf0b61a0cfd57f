"""A large file of receptors, steered block by block: memory does not grow with it, and a run that stopped goes on.

What a block gave is kept in a hidden folder beside the output (``.designs.tsv.parts``) until all are there; then they
are joined and the folder goes. The folder notes what it is for: another input, goal, model or seed is refused there.
"""

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zsteer.core.files import check_free, new_file
from zsteer.core.version import VERSION
from zsteer.domains.sequences import files
from zsteer.domains.sequences.rows import MAX_LENGTH, SHORTEST, Reader
from zsteer.domains.sequences.source import separator_of
from zsteer.errors import InputError, OutputError
from zsteer.kits.base import Samples
from zsteer.kits.sequences.blocks import BLOCK, in_order
from zsteer.kits.sequences.reading import listed, say
from zsteer.kits.sequences.results import unique

__all__ = ["Stream", "merged"]

_MEANS = {"mean_edits", "design_pass", "judge_pass", "plausible", "valid", "copied", "mean_example_edits", "is_example"}
_SUMS = {
    *("oracle_calls", "templates", "templates_that_pass", "templates_known_binders", "designs_below_template"),
    *("seconds", "no_whole_junction"),
}

Work = Callable[[Samples, int], Samples]


@dataclass(frozen=True)
class Stream:
    """A file that is steered block by block.

    Args:
        source: the file.
        out: where the designs go.
        about: what makes a run another one: model, goal, options, seed.
        reading: how the file is read: skip_invalid, column.
        longest: most residues that the model has places for.
        threads: blocks at once.
        watch: called with progress.
    """

    source: Path
    out: Path
    about: Mapping[str, object]
    reading: Mapping[str, Any] = field(default_factory=dict[str, Any])
    longest: int = MAX_LENGTH
    threads: int = 1
    watch: Callable[[dict[str, Any]], None] = lambda _: None

    def run(self, work: Work, *, overwrite: bool) -> Samples:
        """Steer every block that is not there yet, and join them.

        Args:
            work: steers a block of templates; it takes the number of the first.
            overwrite: replace an output that exists.

        Returns:
            The figures of the whole; the designs are in the file.

        Raises:
            OutputError: if the folder of parts is of another run, or the disk refuses.
            InputError: if a row cannot be used.
        """
        check_free(self.out, overwrite=overwrite)
        reader = Reader(self.source, low=SHORTEST, high=self.longest, **self.reading)
        place = reader.names.index("sequence_id") if "sequence_id" in reader.names else None
        ids = [row.others[place] if place is not None else "" for row in reader]
        names, total = unique(ids, len(ids)), len(ids)
        say(self.source, reader.notes, reader.skipped)
        folder = self._folder(total)
        facts = self._steer_all(folder, work, names)
        self._join(folder, -(-total // BLOCK), overwrite=overwrite)
        shutil.rmtree(folder)
        whole = merged(facts)
        count = int(whole.pop("results"))
        return Samples("sequences", [], {}, whole, (), None, listed(reader.skipped), str(self.source), count)

    def _folder(self, total: int) -> Path:
        folder = self.out.with_name(f".{self.out.name}.parts")
        digest = hashlib.sha256()
        with self.source.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        note = {"zsteer": VERSION, "input": digest.hexdigest(), "rows": total, "block": BLOCK, **self.about}
        text = json.dumps(note, indent=1, default=str, sort_keys=True)
        about = folder / "about.json"
        if about.is_file() and about.read_text(encoding="utf-8") != text:
            raise OutputError(f"{folder} holds the parts of another run; remove it, or choose another --out")
        with new_file(about, overwrite=True) as partial:
            partial.write_text(text, encoding="utf-8")
        return folder

    def _steer_all(self, folder: Path, work: Work, names: Sequence[str]) -> Sequence[dict[str, Any]]:
        def steer(number: int, block: files.Table) -> dict[str, Any]:
            first = number * BLOCK
            columns = {**block.columns, "sequence_id": names[first : first + len(block)]}
            items = list(block.sequences)
            start = Samples("sequences", items, columns, lines=items, source=str(self.source), count=len(items))
            return _keep(folder, number, work(start, first), self.out)

        return in_order(
            files.blocks(self.source, BLOCK, high=self.longest, **self.reading),
            steer,
            lambda number: _kept(folder, number),
            threads=self.threads,
            watch=lambda done: self.watch({"step": done, "steps": len(names)}),
        )

    def _join(self, folder: Path, parts: int, *, overwrite: bool) -> None:
        fasta = separator_of(self.out) == ">"
        with new_file(self.out, overwrite=overwrite) as partial, partial.open("wb") as raw:
            packed = self.out.name.lower().endswith(".gz")
            # No time stamp and no name, so that equal content gives equal files.
            whole = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if packed else raw
            for number in range(parts):
                with _part(folder, number, self.out).open("rb") as part:
                    if number and not fasta:
                        part.readline()
                    shutil.copyfileobj(part, whole)
            if packed:
                whole.close()


def _part(folder: Path, number: int, out: Path) -> Path:
    plain = out.name[:-3] if out.name.lower().endswith(".gz") else out.name
    return folder / f"{number:06d}-{plain}"


def _keep(folder: Path, number: int, found: Samples, out: Path) -> dict[str, Any]:
    """Write a block's designs and, after them, its figures."""
    files.write(_part(folder, number, out), found.items, found.columns, overwrite=True)
    distinct = [hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:16] for text in found.items]
    facts = {**found.facts, "results": len(found), "distinct": distinct}
    with new_file(folder / f"{number:06d}.json", overwrite=True) as partial:
        partial.write_text(json.dumps(facts, default=str), encoding="utf-8")
    return facts


def _kept(folder: Path, number: int) -> dict[str, Any] | None:
    path = folder / f"{number:06d}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def merged(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of all blocks as those of one.

    Raises:
        InputError: if there is no block.
    """
    if not facts:
        raise InputError("there is nothing to edit: the file holds no template")
    counts = [int(one["results"]) for one in facts]
    whole: dict[str, Any] = {"results": sum(counts)}
    for name, value in facts[0].items():
        values = [one.get(name, value) for one in facts]
        if name == "distinct":
            whole[name] = len({text for some in values for text in some})
        elif name in _SUMS:
            whole[name] = round(sum(values), 2)
        elif name in _MEANS and not isinstance(value, str):
            mean = sum(a * b for a, b in zip(values, counts, strict=True)) / sum(counts)
            whole[name] = round(mean, 3)
        elif name not in whole:
            whole[name] = value
    return whole
