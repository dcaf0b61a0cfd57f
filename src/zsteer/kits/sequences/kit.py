"""The kit of amino-acid sequences: CDR3-beta receptors of any model, towards peptides, examples or properties."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property
from zsteer.domains.sequences import files
from zsteer.domains.sequences.junctions import anchored
from zsteer.domains.sequences.keep import EndsKept, LengthKept
from zsteer.domains.sequences.metrics import edits
from zsteer.domains.sequences.properties import PROPERTIES
from zsteer.domains.sequences.residues import LENGTH, ResidueSpace
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, SettingsError, nearest
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import found_property, numeric_target, results_of
from zsteer.kits.sequences.companions import Family
from zsteer.kits.sequences.options import OPTIONS
from zsteer.kits.sequences.reading import read_receptors
from zsteer.kits.sequences.scores import Scores, score

__all__ = ["SequenceKit", "companions"]


def companions(subject: Subject) -> Family:
    """The models that belong to a receptor model: looked for beside it, then among the shipped ones."""
    return Family.beside(subject.folder) if subject.folder is not None else Family()


class SequenceKit:
    """What sequences offer a user."""

    domain: str = "sequences"
    options: Options = OPTIONS

    def space(self, description: Mapping[str, Any]) -> SequenceSpace | ResidueSpace:
        """Sequences as tokens, or as places with gaps.

        Raises:
            CapabilityError: if the description is of something else.
        """
        if description.get("name") == "residues":
            return ResidueSpace()
        if description.get("name") == "sequences":
            return SequenceSpace()
        raise CapabilityError(f"the model keeps no description of sequences (it says {description.get('name')!r})")

    def read(self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False) -> Samples:
        """Read sequences by the file's ending; further columns are carried through.

        Raises:
            InputError: if a row cannot be used, or has more residues than the model has places.
        """
        short = subject is not None and subject.model.space.get("name") == "residues"
        space = SequenceSpace(max_length=LENGTH) if short else SequenceSpace()
        return _of_table(read_receptors(path, skip_invalid=skip_invalid, space=space), str(path))

    def take(self, things: object, subject: Subject) -> Samples:
        """Sequences as texts, a table that was read, or a batch of the model, as samples.

        Raises:
            InputError: if they are something else.
        """
        if isinstance(things, files.Table):
            return _of_table(things, "")
        if isinstance(things, Batch):
            texts = self.things(subject, things)
        else:
            texts = [things] if isinstance(things, str) else [str(one) for one in _iterable(things)]
        return Samples("sequences", texts, lines=texts, count=len(texts))

    def write(self, path: Path, samples: Samples, *, overwrite: bool) -> None:
        """Write sequences by the file's ending."""
        files.write(path, samples.items, samples.columns, overwrite=overwrite)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def encode(self, samples: Samples, subject: Subject) -> Batch:
        """Sequences as the model holds them."""
        return self.space(subject.model.space).encode(samples.items)

    def things(self, subject: Subject, x: Batch) -> list[str]:
        """Sequences as texts."""
        return self.space(subject.model.space).decode(Batch(x.fields, x.mask).to("cpu"))

    def things_of(self, samples: Samples) -> list[str]:
        """Sequences of a file as texts."""
        return list(samples.items)

    def adapt(self, things: list[str]) -> Any:
        """What a property of one's own takes: texts."""
        return list(things)

    def properties(self, subject: Subject) -> Mapping[str, Property]:
        """Properties of residues, and the user's own."""
        return {**PROPERTIES, **subject.properties}

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]:
        """Peptides, examples, and numbers of properties.

        Raises:
            InputError: if there is no such property or peptide.
            SettingsError: if examples stand beside another goal.
        """
        if len(terms) > 1 and any(term.name == "like" for term in terms):
            raise SettingsError("--toward like=FILE stands alone: either examples or properties, not both")
        known, family = self.properties(subject), companions(subject)
        return tuple(self._target(subject, family, term, known) for term in terms)

    def _target(self, subject: Subject, family: Family, term: Term, known: Mapping[str, Property]) -> Target:
        if term.name == "like":
            quantity = Property("like", help="likeness to examples", argument=str(term.value))
            return Target(quantity, sign=1)
        if term.name != "binds":
            return numeric_target(term, found_property(term, known, ["binds", "like"]))
        if term.relation == "change":
            raise InputError(f"--toward binds takes a peptide, got a change by {term.value}")
        return Target(_binding(subject, family, str(term.value)), sign=-1 if term.relation == "avoid" else 1)

    def parts(self, subject: Subject, keep: Mapping[str, object], start: Samples | None) -> tuple[Part, ...]:
        """Ends and length.

        Raises:
            SettingsError: if a name is none, or a value does not fit.
        """
        del subject, start
        chosen = self.options.parse("keep", keep)
        parts: list[Part] = []
        if "ends" in chosen:
            parts.append(EndsKept(int(str(chosen["ends"]))))
        return (*parts, LengthKept()) if chosen.get("length") else tuple(parts)

    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """A receptor runs from C to F or W."""
        space = self.space(subject.model.space)
        tokens = x["tokens"] if isinstance(space, SequenceSpace) else None
        if tokens is None:
            texts = self.things(subject, x)
            good = [text[:1] == "C" and text[-1:] in {"F", "W"} for text in texts]
        else:
            good = anchored(tokens.cpu()).tolist()
        return ["" if whole else "no whole junction" for whole in good]

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """What a model made, as sequences; those that are no whole junction are counted."""
        x = x.to("cpu")
        texts = self.things(subject, x)
        broken = sum(bool(problem) for problem in self.problems(subject, x) or ())
        own = {**facts, "distinct": len(set(texts))} | ({"no_whole_junction": broken} if broken else {})
        columns = {"sequence_id": [f"sample{k}" for k in range(1, len(texts) + 1)]}
        found = Samples("sequences", texts, columns, own, texts, x, count=len(texts))
        return _scored(subject, found, given)

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, beside its templates; for a peptide with the scores of oracle and judge."""
        trail = replace(trail, batch=Batch(trail.batch.fields, trail.batch.mask))
        numeric = [target for target in targets if target.quantity.name not in {"binds", "like"}]
        found = results_of(self, subject, trail, start, numeric)
        x = found.batch if found.batch is not None else trail.batch
        columns: dict[str, Sequence[Any]] = dict(found.columns)
        facts = dict(found.facts)
        if start is not None:
            space = SequenceSpace()
            before = space.encode([start.items[int(k)] for k in trail.origin.tolist()])
            after = space.encode(found.items)
            changed = edits(after["tokens"], before["tokens"])
            own = [k for k in columns if k not in {"sequence_id", "start"}]
            columns = _beside(start, trail.origin.tolist(), changed) | {k: columns[k] for k in own}
            facts = {"templates": len(start), "mean_edits": round(float(changed.float().mean()), 2), **facts}
        peptides = [t.quantity.argument for t in targets if t.quantity.name == "binds" and t.sign > 0]
        if peptides:
            family = companions(subject)
            scored = score(family, SequenceSpace().encode(found.items), peptides[0])
            columns |= {"peptide": peptides[:1] * len(found), **scored.columns()}
            facts |= _shares(scored) | _reference(family, peptides[0])
        return replace(found, batch=x, columns=columns, facts=facts)


def _binding(subject: Subject, family: Family, peptide: str) -> Property:
    """Binding of a peptide by the design oracle, in logits; the judge that will confirm it is checked.

    Raises:
        InputError: if no oracle knows the peptide.
        SettingsError: if there is no judge for it, or a weak one, and the subject is not forced.
    """
    oracle, judge = family.oracle, family.judge
    if peptide not in oracle.settings.panel.peptides:
        raise InputError("--toward binds: " + nearest(peptide, oracle.settings.panel.peptides, what="peptide"))
    if peptide in judge.cards:
        judge.require(peptide, force=subject.force)
    elif not subject.force:
        known = ", ".join(name for name, card in judge.cards.items() if card.area >= 0.75)
        raise SettingsError(
            f"{peptide}: there is no judge for it, so designs could not be confirmed; peptides with one: {known}; "
            f"pass --force to go on all the same"
        )
    binds = oracle.binds(peptide)

    def logit(things: list[str]) -> Tensor:
        return binds(SequenceSpace().encode(things)).mean.double()

    about = "logit of the design oracle; the judge is another model"
    return Property("binds", logit, spread=2.0, cost=1e-3, help=about, argument=peptide)


def _beside(start: Samples, origin: Sequence[int], changed: Tensor) -> dict[str, Sequence[Any]]:
    """Columns about the templates: names, sequences, edits, and what stood in their rows."""
    names = list(start.columns.get("sequence_id") or [f"t{k}" for k in range(1, len(start) + 1)])
    columns: dict[str, Sequence[Any]] = {
        "sequence_id": _numbered([str(names[k]) for k in origin]),
        "template_id": [names[k] for k in origin],
        "template": [start.items[k] for k in origin],
        "edits": [str(int(k)) for k in changed],
    }
    reserved = set(columns) | {"peptide", "junction_aa", "cdr3_aa"}
    return columns | {
        f"template_{key}" if key in reserved else key: [values[k] for k in origin]
        for key, values in start.columns.items()
        if key not in {"sequence_id", "junction_aa", "cdr3_aa"} or key == "peptide"
    }


def _reference(family: Family, peptide: str) -> dict[str, float]:
    """Share of real held-out binders that pass, the scale for every design."""
    facts = {"real_binders_design_pass": round(family.oracle.cards[peptide].real_pass, 3)}
    if peptide in family.judge.cards:
        facts["real_binders_judge_pass"] = round(family.judge.card(peptide).real_pass, 3)
    return facts


def _shares(found: Scores) -> dict[str, float]:
    def share(x: Tensor) -> float:
        return round(float(x.float().mean()), 3)

    return {
        "design_pass": share(found.design_pass),
        "judge_pass": share(found.judge_pass),
        "plausible": share(found.plausible >= 0),
        "valid": share(found.valid),
        "copied": share(found.copied),
    }


def _numbered(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(f"{name}_{seen[name]}")
    return numbered


def _of_table(found: files.Table, source: str) -> Samples:
    """A table that was read, as samples."""
    skipped = [f"row {entry.row}: {entry.reason}" for entry in found.skipped]
    items = list(found.sequences)
    facts = {"notes": list(found.notes)} if found.notes else {}
    return Samples("sequences", items, dict(found.columns), facts, items, None, skipped, source, len(items))


def _iterable(things: object) -> Iterable[object]:
    if not isinstance(things, Iterable):
        raise InputError(f"expected sequences or a file, got {type(things).__name__}")
    return things


def _scored(subject: Subject, samples: Samples, given: Mapping[str, object]) -> Samples:
    """Samples for a peptide with the scores of oracle and judge; others as they are."""
    peptide = given.get("peptide")
    if peptide is None or samples.batch is None:
        return samples
    family = companions(subject)
    if str(peptide) not in family.oracle.cards:
        return samples
    found = score(family, samples.batch, str(peptide))
    columns = {**samples.columns, "peptide": [str(peptide)] * len(samples), **found.columns()}
    return replace(samples, columns=columns, facts={**samples.facts, **_shares(found)})
