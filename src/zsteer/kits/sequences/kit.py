"""The kit of amino-acid sequences: CDR3-beta receptors of any model, towards peptides, examples or properties."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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
from zsteer.domains.sequences.rows import MAX_LENGTH
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import found_property, numeric_target, results_of
from zsteer.kits.sequences.blocks import BLOCK
from zsteer.kits.sequences.companions import Family, family_beside, judged, unknown_peptide
from zsteer.kits.sequences.editors import CodeEditor
from zsteer.kits.sequences.likeness import Likeness
from zsteer.kits.sequences.options import OPTIONS
from zsteer.kits.sequences.reading import read_receptors
from zsteer.kits.sequences.results import beside, of_templates
from zsteer.kits.sequences.scores import NO_JUDGE, look, nearest_of, numbers, score
from zsteer.kits.sequences.stream import Stream
from zsteer.train.threads import free_threads

__all__ = ["SequenceKit", "companions"]


def companions(subject: Subject) -> Family:
    """The models that belong to a receptor model: looked for beside it, then among the shipped ones."""
    return family_beside(subject.folder)


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

    def read(
        self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False, column: str | None = None
    ) -> Samples:
        """Read sequences by the file's ending; further columns are carried through.

        Raises:
            InputError: if a row cannot be used, or has more residues than the model has places.
        """
        short = subject is not None and subject.model.space.get("name") == "residues"
        space = SequenceSpace(max_length=LENGTH) if short else SequenceSpace()
        return _of_table(read_receptors(path, skip_invalid=skip_invalid, column=column, space=space), str(path))

    def streams(self, count: int) -> bool:
        """Whether a file of so many receptors is steered in blocks."""
        return count > BLOCK

    def steer_file(
        self,
        subject: Subject,
        source: Path,
        out: Path,
        work: Callable[[Samples, int], Samples],
        about: Mapping[str, object],
        *,
        overwrite: bool,
        watch: Callable[[dict[str, Any]], None],
    ) -> Samples:
        """Steer a large file in blocks; the figures of the whole."""
        longest = LENGTH if subject.model.space.get("name") == "residues" else MAX_LENGTH
        threads = free_threads() if subject.device.type == "cpu" else 1
        stream = Stream(source, out, about, subject.reading, longest, threads, watch)
        return stream.run(work, overwrite=overwrite)

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

    def check_given(self, subject: Subject, given: Mapping[str, object]) -> None:
        """Refuse new receptors for a peptide that cannot be judged, as a steer towards it is refused."""
        if given.get("peptide") is not None:
            family = companions(subject)
            if str(given["peptide"]) in family.oracle.settings.panel.peptides:
                _check_judge(subject, family, str(given["peptide"]))

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, beside its templates; for a peptide with the scores of oracle and judge."""
        trail = replace(trail, batch=Batch(trail.batch.fields, trail.batch.mask))
        numeric = [target for target in targets if target.quantity.name not in {"binds", "like"}]
        found = results_of(self, subject, trail, start, numeric)
        x = found.batch if found.batch is not None else trail.batch
        space, family, origin = SequenceSpace(), companions(subject), trail.origin.tolist()
        columns: dict[str, Sequence[Any]] = {k: v for k, v in found.columns.items() if k != "start" or start is None}
        facts, after = dict(found.facts), space.encode(found.items)
        peptides = [t.quantity.argument for t in targets if t.quantity.name == "binds" and t.sign > 0]
        if peptides and peptides[0] not in family.oracle.cards:
            seen = look(family, after)
            columns |= {"peptide": peptides[:1] * len(found), **_own_score(subject, x, peptides[0]), **seen.columns()}
            facts |= {"judge_pass": f"{NO_JUDGE} for {peptides[0]}", **seen.shares()}
        elif peptides:
            scored = score(family, after, peptides[0])
            columns |= {"peptide": peptides[:1] * len(found), **scored.columns()}
            facts |= scored.shares() | _reference(family, peptides[0])
            if start is not None:
                more, counts = of_templates(family, start, origin, scored)
                columns, facts = columns | more, facts | counts
        like = [t.quantity.argument for t in targets if t.quantity.name == "like"]
        if like:
            examples = self.read(Path(like[0]), subject, **subject.reading)
            near, seen = nearest_of(after, examples.items), look(family, after)
            columns |= near.columns() | seen.columns()
            facts |= near.shares() | seen.shares()
            if isinstance(subject.model, CodeEditor):
                held = self.encode(examples, subject).to(subject.device)
                likeness = Likeness(subject.model, family, held)
                columns |= likeness.columns(x.to(subject.device))
                facts["leave_one_out"] = likeness.line
        if start is not None:
            changed = edits(after["tokens"], space.encode([start.items[k] for k in origin])["tokens"])
            own = {name: values for name, values in columns.items() if name != "sequence_id"}
            columns = beside(start, origin, changed, own)
            facts = {"templates": len(start), "mean_edits": round(float(changed.float().mean()), 2), **facts}
        return replace(found, batch=x, columns=columns, facts=facts)


def _binding(subject: Subject, family: Family, peptide: str) -> Property:
    """Binding of a peptide by the design oracle, in logits; the judge that will confirm it is checked.

    Raises:
        InputError: if no oracle knows the peptide.
        SettingsError: if there is no judge for it, or a weak one, and the subject is not forced.
    """
    own = getattr(getattr(subject.model, "settings", None), "panel", None)
    known = peptide in family.oracle.settings.panel.peptides
    if not known and (own is None or peptide not in own.peptides or not hasattr(subject.model, "binds")):
        raise InputError(unknown_peptide(family, peptide, where="--toward binds", origin=subject.model.origin))
    _check_judge(subject, family, peptide)
    binds = family.oracle.binds(peptide) if known else subject.model.binds(peptide)

    def logit(things: list[str]) -> Tensor:
        return binds(SequenceSpace().encode(things)).mean.double()

    about = "logit of the design oracle; the judge is another model" if known else "logit of the model's own Psi"
    return Property("binds", logit, spread=2.0, cost=1e-3, help=about, argument=peptide)


def _own_score(subject: Subject, x: Batch, peptide: str) -> dict[str, list[str]]:
    """What the model itself says of binding, where no oracle knows the peptide."""
    binds = getattr(subject.model, "binds", None)
    return {} if binds is None else {"psi_score": numbers(binds(peptide)(x.to(subject.device)).mean.cpu())}


def _check_judge(subject: Subject, family: Family, peptide: str) -> None:
    """Refuse a peptide without a judge, or with a weak one, unless forced.

    Raises:
        RefusedError: if its judge is too weak.
        SettingsError: if there is none.
    """
    judge = family.judge
    if peptide in judge.cards:
        judge.require(peptide, force=subject.force)
    elif not subject.force:
        raise SettingsError(
            f"{peptide}: there is no judge for it, so nothing independent could say how good the designs are; peptides "
            f"with one: {', '.join(judged(family))}; pass --force to go on all the same"
        )


def _reference(family: Family, peptide: str) -> dict[str, float]:
    """Share of real held-out binders that pass, the scale for every design."""
    facts = {"real_binders_design_pass": round(family.oracle.cards[peptide].real_pass, 3)}
    if peptide in family.judge.cards:
        facts["real_binders_judge_pass"] = round(family.judge.card(peptide).real_pass, 3)
    return facts


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
    return replace(samples, columns=columns, facts={**samples.facts, **found.shares()})
