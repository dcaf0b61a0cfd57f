"""What kits share: targets of numbers, properties of one's own, columns and facts of results."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zsteer.core.catalog import load_name
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Target
from zsteer.core.options import number
from zsteer.core.property import Property
from zsteer.core.reading import left_out
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.kits.base import Kit, Samples, Subject

Values = Mapping[str, Float[Tensor, " b"]]

__all__ = ["found_property", "note_reading", "numeric_target", "own_property", "reached", "results_of", "values_of"]


def numeric_target(term: Term, quantity: Property) -> Target:
    """The target of a term about a number.

    Raises:
        InputError: if the value is neither a number, a range nor a direction, or outside what a thing can have.
    """
    word = str(term.value).strip()
    if term.relation == "avoid":
        raise InputError(f"--toward {term.name}!= avoids names, not numbers; write {term.name}=..3 or {term.name}=3..")
    if term.relation == "change":
        change = number(term.value, f"--toward {term.name}")
        return Target(quantity, change, change, relative=True)
    if word in {"up", "down"}:
        return Target(quantity, sign=1 if word == "up" else -1)
    interval = term.interval()
    if interval is not None:
        low, high = interval
        for bound in (low, high):
            if abs(bound) != float("inf"):
                quantity.check(bound)
        return Target(quantity, low, high)
    try:
        value = float(word)
    except ValueError:
        raise InputError(
            f"--toward {term.name} takes a number, a range (2..3) or a direction (up, down), got {word!r}"
        ) from None
    return Target(quantity, quantity.check(value), value)


def found_property(term: Term, known: Mapping[str, Property], others: Sequence[str] = ()) -> Property:
    """The property that a term names.

    Args:
        term: of the goal.
        known: properties by name.
        others: further names that ``--toward`` takes here.

    Raises:
        InputError: if there is none, with the nearest name.
    """
    plain = term.name if term.name in known else term.name.replace("-", "_")
    if plain not in known:
        raise InputError("--toward: " + nearest(plain, [*known, *others], what="property"))
    return known[plain]


def own_property(name: str, function: str | Callable[[Any], Any] | Property, adapt: Callable[[Any], Any]) -> Property:
    """A user's own property.

    Args:
        name: as goals name it.
        function: ``module:function``, the function itself (things as other packages know them -> a number each), or
            a ``Property`` with such a function.
        adapt: the domain's things -> what the function takes; None marks a thing that has no value.

    Raises:
        SettingsError: if there is no such function.
    """
    declared = function if isinstance(function, Property) else Property(name, help="a property of your own")
    inner_function = function.function if isinstance(function, Property) else function
    found = load_name(inner_function) if isinstance(inner_function, str) else inner_function
    if not callable(found):
        raise SettingsError(f"--property {name}: {function} is no function")

    def values(things: Any) -> Any:
        taken = adapt(things)
        if not isinstance(taken, list):
            return found(taken)
        good = [k for k, one in enumerate(taken) if one is not None]
        if len(good) == len(taken):
            return found(taken)
        inner = Property(name, found).values([taken[k] for k in good], len(good)) if good else []
        filled = torch.full((len(taken),), torch.nan, dtype=torch.float64)
        filled[good] = torch.as_tensor(inner, dtype=torch.float64)
        return filled

    return replace(declared, name=name, function=values)


def values_of(things: Any, n: int, targets: Sequence[Target]) -> dict[str, Float[Tensor, " b"]]:
    """Each property that has a function, of things already decoded."""
    found: dict[str, Float[Tensor, " b"]] = {}
    for target in targets:
        if target.quantity.function is not None:
            found[target.quantity.name] = torch.from_numpy(target.quantity.values(things, n))
    return found


def value_columns(
    targets: Sequence[Target],
    values: Mapping[str, Float[Tensor, " b"]],
    start: Mapping[str, Float[Tensor, " b"]] | None,
) -> dict[str, list[str]]:
    """Columns of a table: each property wanted, what was wanted of it, and the start's value."""
    columns: dict[str, list[str]] = {}
    for target in targets:
        name = target.quantity.name
        if name not in values:
            continue
        columns[name] = _texts(values[name])
        columns[f"wanted_{name}"] = [target.text] * len(values[name])
        if start is not None and name in start:
            columns[f"start_{name}"] = _texts(start[name])
    return columns


def _texts(values: Float[Tensor, " b"]) -> list[str]:
    return ["" if one != one else f"{one:.4g}" for one in values.tolist()]  # noqa: PLR0124 - NaN


def reached(
    targets: Sequence[Target],
    values: Mapping[str, Float[Tensor, " b"]],
    start: Mapping[str, Float[Tensor, " b"]] | None,
) -> dict[str, str]:
    """What results have of each property, beside what was wanted and the share that met it."""
    found: dict[str, str] = {}
    for target in targets:
        name = target.quantity.name
        if name not in values:
            found[name] = f"not measured (wanted {target.text}): only a model tells it"
            continue
        own = values[name][values[name].isfinite()]
        if not len(own):
            found[name] = f"no value (wanted {target.text})"
            continue
        spread = float(own.std()) if len(own) > 1 else 0.0
        text = f"wanted {target.text}"
        before = None if start is None else start.get(name)
        if not target.sign and not (target.relative and before is None):
            met = _share(target.gap(values[name], before) <= target.quantity.tolerance)
            text += f"; {met} within {target.quantity.tolerance:g}"
        if before is not None:
            text += f"; from {float(before.nanmean()):.4g}"
        found[name] = f"{float(own.mean()):.4g} +- {spread:.2g} ({text})"
    return found


def _share(hits: Bool[Tensor, " b"]) -> str:
    return f"{float(hits.double().mean()):.0%}"


def note_reading(path: Path, notes: Sequence[str], skipped: Sequence[str] = (), noun: str = "rows") -> None:
    """Warn, a line each, of what was assumed on reading a file and of what was left out of it.

    Args:
        path: the file.
        notes: what was assumed.
        skipped: why something was left out, a line each.
        noun: what it is, in the plural.
    """
    for note in (*notes, *left_out(noun, skipped)):
        warnings.warn(f"{path}: {note}", UserWarning, stacklevel=3)


def _by_heads(trail: Trail, targets: Sequence[Target], before: str) -> dict[str, Float[Tensor, " b"]]:
    """Values of properties without a function, where the method has read them."""
    names = [target.quantity.name for target in targets if target.quantity.function is None]
    return {name: trail.scores[before + name].double().cpu() for name in names if before + name in trail.scores}


def results_of(kit: Kit, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
    """What a steer found, with each property wanted and reached beside the start's, measured on what came out.

    Args:
        kit: of the domain.
        subject: the model.
        trail: what the method found.
        start: what it started from, or None.
        targets: what was wanted.
    """
    x = trail.batch.to("cpu")
    values, before = values_of(kit.things(subject, x), len(x), targets), None
    # What no function measures is what the head of an edit read when the results were encoded again.
    values |= _by_heads(trail, targets, "")
    columns: dict[str, Sequence[object]] = {}
    if start is not None:
        own = kit.encode(start, subject).take(trail.origin.cpu())
        before = values_of(kit.things(subject, own), len(own), targets) | _by_heads(trail, targets, "start_")
        columns["start"] = [str(int(k) + 1) for k in trail.origin.tolist()]
    columns |= value_columns(targets, values, before)
    facts = {"oracle_calls": trail.calls, **trail.facts, **reached(targets, values, before)}
    off = trail.scores.get("off_manifold")
    if off is not None and bool(off.any()):
        facts["off_manifold"] = f"{int(off.sum())} of {len(off)} codes lie where few of the examples do: ask for less"
    found = kit.samples(subject, x, facts)
    return replace(found, columns={**found.columns, **columns})
