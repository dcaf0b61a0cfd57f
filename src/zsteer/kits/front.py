"""The front door: a goal becomes an objective, a constraint and a method; the same line for every caller.

``sample`` and ``steer`` are what the command line, Python, benches and the studio run. Words are parsed once, by what
the domain and the model declare (``kits.registry.about_config``); targets are worked out once.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch, rows_of
from zsteer.core.catalog import load_name
from zsteer.core.goal import Budget, Goal, Trail, parse_terms
from zsteer.core.memory import check_fits
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.options import Option, Options
from zsteer.core.property import Property
from zsteer.core.protocols import Conditional, Generative, Grouped, Method, SamplingDefaults
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import CapabilityError, InputError, RefusedError, SettingsError, nearest
from zsteer.kits.base import Careful, Kit, Samples, Subject
from zsteer.kits.common import numeric_target
from zsteer.kits.context import Context
from zsteer.kits.registry import DOMAINS, METHODS, About, MethodRow, about_config
from zsteer.steer.options import DrawOptions, SamplingOptions
from zsteer.steer.rejection import Distance, draw_valid
from zsteer.steer.sampling import sample_guided, trajectory_of

__all__ = ["Request", "about_subject", "kit_of", "reasons", "sample", "steer"]


NEW = 16
"""New samples of a steer, where neither a number nor a start is given."""


def about_subject(subject: Subject) -> About:
    """What a user may say about a model in memory.

    Raises:
        CapabilityError: if such models neither sample nor steer.
    """
    return about_config(subject.model.kind, subject.model.space, subject.model.options)


def kit_of(domain: str) -> Kit:
    """The kit of a domain.

    Raises:
        InputError: if there is none of that name.
    """
    if domain not in DOMAINS:
        raise InputError(nearest(domain, DOMAINS, what="domain"))
    return load_name(DOMAINS[domain].kit)()


def sample(
    subject: Subject, n: int, *, given: Mapping[str, object], options: Mapping[str, object], seed: int
) -> Samples:
    """New samples of a model.

    Args:
        subject: the model.
        n: how many.
        given: conditions by name.
        options: flags of sampling by name: steps, solver, best_of, or the model's own.
        seed: of every random choice.

    Raises:
        CapabilityError: if the model makes no samples.
        InputError: if a condition or a value does not fit.
        RefusedError: if a condition is far outside of the training set.
        SettingsError: if an option does not exist here.
    """
    known = about_subject(subject)
    check_fits(n, _numbers(subject), what=f"--number {n}")
    kit, rng = kit_of(known.domain), Streams.of(seed, n, device=subject.device)
    conditions = _given(known.options, given, force=subject.force)
    if isinstance(kit, Careful):
        kit.check_given(subject, conditions)
    own = known.options.parse("sample", {k: v for k, v in options.items() if k in known.options.at("sample")})
    rest = {name: value for name, value in options.items() if name not in own}
    diffusion = isinstance(subject.model, Conditional | Grouped)
    classes = [SamplingOptions, DrawOptions] if diffusion else [DrawOptions]
    parsed = _parse(rest, classes, where=f"sampling a {subject.model.kind}", more=tuple(known.options.at("sample")))
    drawing = parsed[DrawOptions]
    if not isinstance(drawing, DrawOptions):
        raise SettingsError("options of drawing are of another class")

    def draw(rows: Tensor, streams: Streams) -> tuple[Batch, dict[str, Any]]:
        mine = {name: rows_of(value, rows, n) for name, value in conditions.items()}
        if diffusion:
            sampling = parsed[SamplingOptions]
            defaults = getattr(subject.model, "sampling", SamplingDefaults())
            trajectory = trajectory_of(defaults, SamplingOptions.model_validate(sampling.model_dump()))
            return sample_guided(subject.model, len(rows), mine, streams, trajectory=trajectory, rows=rows)
        if not isinstance(subject.model, Generative):
            raise CapabilityError(f"a model of kind {subject.model.kind!r} makes no samples")
        with torch.no_grad():
            return subject.model.sample(len(rows), given={**mine, **own} or None, rng=streams), {}

    distance = _nearest(kit, subject, conditions) if drawing.best_of > 1 else None
    problems = _problems(kit, subject)
    found = draw_valid(draw, rng, options=drawing, problems=problems, distance=distance)
    facts = dict(found.facts)
    if problems is not None and found.rounds > 1:
        facts["valid_at_first"], facts["draws"] = f"{found.first:.3f}", found.rounds
    if drawing.best_of > 1:
        facts["best_of"] = f"{drawing.best_of}: the nearest by the properties' definitions"
    return kit.samples(subject, found.batch, facts, conditions)


@dataclass(frozen=True)
class Request:
    """What is wanted of a steer.

    Args:
        goal: as it was written.
        by: name of the method; the first that fits when None.
        number: new samples, where there is no start; 16 when None.
        budget: calls, edits, results for each start.
        seed: of every random choice.
        options: flags by name.
        examples: labelled examples for heads, or None.
        first: number of the first start, where the starts are a part of more.
    """

    goal: Goal
    by: str | None = None
    number: int | None = None
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    options: Mapping[str, object] = field(default_factory=dict)
    examples: Samples | None = None
    first: int = 0


def steer(subject: Subject, start: Samples | None, request: Request) -> Samples:
    """Edit or make samples towards a goal, by the first method that fits or by the one that is named.

    Args:
        subject: the model.
        start: what to change; None for new samples.
        request: what is wanted.

    Raises:
        CapabilityError: if no method fits; every reason is named.
        InputError: if a property, a value or a constraint does not exist or fit.
        RefusedError: if a value is far outside of what such things have.
        SettingsError: if an option does not exist, or belongs to another method.
    """
    known = about_subject(subject)
    kit, goal = kit_of(known.domain), request.goal
    if not goal.toward:
        raise SettingsError("steering needs --toward name=value, for example " + _example(known.options))
    given = _given(known.options, goal.given, force=subject.force)
    terms = parse_terms(goal.toward)
    targets = kit.targets(subject, terms)
    for target in targets:
        _check_reach(target, known.options.at("given").get(target.quantity.name), force=subject.force)
    constraint = _constraint(kit, subject, goal, start, [target.quantity.name for target in targets])
    objective = Objective(targets, lambda x: kit.things(subject, x))
    _need_options(known, request.options)
    chosen = _first_fit(known, subject, start, request, given, objective, constraint)
    _check_request(known, chosen.row, start, request, given)
    batch = None if start is None else kit.encode(start, subject).to(subject.device)
    n = (request.number or NEW) if batch is None else len(batch)
    top = request.budget.top
    check_fits(
        n * (1 if batch is None else top), _numbers(subject), what=f"--number {n}" if batch is None else f"--top {top}"
    )
    rng = Streams.of(request.seed, n, start=request.first, device=subject.device)
    began = time.perf_counter()
    trail = chosen.method.run(subject.model, batch, objective, constraint, request.budget, rng)
    seconds = round(time.perf_counter() - began, 2)
    facts = {"method": chosen.row.name, "seconds": seconds, **_facts(chosen.method, trail)}
    if constraint:
        facts["kept"] = constraint.text
    return kit.results(subject, replace(trail, facts=facts), start, targets)


@dataclass(frozen=True)
class _Choice:
    """A method that fits, and its row of the table."""

    row: MethodRow
    method: Method


def _first_fit(
    known: About,
    subject: Subject,
    start: Samples | None,
    request: Request,
    given: Mapping[str, object],
    objective: Objective,
    constraint: Constraint,
) -> _Choice:
    """The first method that fits, or the one that is named.

    Raises:
        CapabilityError: if none fits; every reason is named.
    """
    refused: list[str] = []
    for row in _candidates(known, request.by):
        if row.starts and start is None and request.by is None:
            refused.append(f"{row.name}: it changes samples, and there are none; give --input FILE")
            continue
        method = _make(row, kit_of(known.domain), subject, start, request, given)
        reason = method.fits(subject.model, objective, constraint)
        if not reason:
            return _Choice(row, method)
        refused.append(f"{row.name}: {reason}")
    wanted = f"--by {request.by}" if request.by else f"no method steers this {subject.model.kind} towards that"
    raise CapabilityError(f"{wanted}: " + "; ".join(dict.fromkeys(refused)))


def _check_request(
    known: About, row: MethodRow, start: Samples | None, request: Request, given: Mapping[str, object]
) -> None:
    """Refuse what the chosen method does not take.

    Raises:
        InputError: if edits are to be counted, and there is no start.
        SettingsError: if an option, a condition, a number or examples belong to another method.
    """
    _check_belong(known, row, request.options)
    if given and not row.conditions:
        raise SettingsError(
            f"{row.name} of {known.options.noun} takes no --given here, got {', '.join(given)}; omit it"
        )
    if start is None and request.budget.edits is not None:
        raise InputError("--max-edits counts changes of a start, and there is none: give --input FILE")
    if start is not None and request.number is not None:
        raise SettingsError("--number counts new samples, and --input gives the starts; omit one of them")
    if request.examples is not None and "latent" not in row.make:
        raise SettingsError(f"--examples are for heads of an edit, and this goal is steered by {row.name}; omit them")


def reasons(subject: Subject, terms: Mapping[str, object]) -> dict[str, str]:
    """Each method of the table -> empty where it fits this model and goal, else the reason why not."""
    known = about_subject(subject)
    kit = kit_of(known.domain)
    objective = Objective(kit.targets(subject, parse_terms(terms)), lambda x: kit.things(subject, x))
    request, found = Request(Goal(toward=dict(terms))), dict[str, str]()
    for row in METHODS:
        if row.domains and known.domain not in row.domains:
            continue
        reason = _make(row, kit, subject, None, request, {}).fits(subject.model, objective, Constraint())
        if found.get(row.name) != "":
            found[row.name] = reason
    return found


def _candidates(known: About, by: str | None) -> Sequence[MethodRow]:
    """Methods to try, in order."""
    here = [row for row in METHODS if not row.domains or known.domain in row.domains]
    if by is None:
        return here
    names = list(dict.fromkeys(row.name for row in METHODS))
    if by not in names:
        raise SettingsError("--by: " + nearest(by, names, what="method"))
    own = [row for row in here if row.name == by]
    if not own:
        able = ", ".join(dict.fromkeys(row.name for row in here))
        raise CapabilityError(f"--by {by}: {known.options.noun} are steered by {able}")
    return own


def _make(
    row: MethodRow,
    kit: Kit,
    subject: Subject,
    start: Samples | None,
    request: Request,
    given: Mapping[str, object],
) -> Method:
    """A method with its options in place."""
    classes = row.option_classes()
    own = {name for cls in classes for name in cls.model_fields}
    values = {name: value for name, value in request.options.items() if name in own}
    parsed = _parse(values, classes, where=f"--by {row.name}")
    context = Context(kit, subject, request.goal, given, start, request.number or NEW, request.examples, parsed)
    return load_name(row.make)(context)


def _parse(
    values: Mapping[str, object], classes: Sequence[type[BaseModel]], *, where: str, more: Sequence[str] = ()
) -> dict[type[BaseModel], BaseModel]:
    """Options by their class.

    Raises:
        SettingsError: if a name belongs to none, or a value does not fit.
    """
    plain = {name.replace("-", "_"): value for name, value in values.items() if value is not None}
    names = [name for cls in classes for name in cls.model_fields]
    for name in plain:
        if name not in names:
            raise SettingsError(f"{where}: " + nearest(name, [*names, *more], what="option"))
    return {
        cls: settings_from(cls, {k: v for k, v in plain.items() if k in cls.model_fields}, where=where)
        for cls in classes
    }


def _need_options(known: About, options: Mapping[str, object]) -> None:
    """Refuse an option that no method of this domain has."""
    rows = [row for row in METHODS if not row.domains or known.domain in row.domains]
    names = {name for row in rows for cls in row.option_classes() for name in cls.model_fields}
    for name in options:
        if name.replace("-", "_") not in names:
            raise SettingsError(f"steer {known.options.noun}: " + nearest(name, sorted(names), what="option"))


def _check_belong(known: About, row: MethodRow, options: Mapping[str, object]) -> None:
    """Refuse an option of another method."""
    own = {name for cls in row.option_classes() for name in cls.model_fields}
    strange = [name for name, value in options.items() if value is not None and name.replace("-", "_") not in own]
    if strange:
        flag = "--" + strange[0].replace("_", "-")
        plain = strange[0].replace("-", "_")
        rows = [*known.methods, *METHODS]
        able = [each for each in rows if any(plain in cls.model_fields for cls in each.option_classes())]
        owner = able[0].name if able else "another method"
        raise SettingsError(f"{flag} belongs to --by {owner}, and this goal is steered by {row.name}; omit it")


def _constraint(kit: Kit, subject: Subject, goal: Goal, start: Samples | None, steered: Sequence[str]) -> Constraint:
    """What ``--keep`` and ``--free`` say: parts, held properties, the rest.

    Raises:
        InputError: if a name is neither a part nor a property, or is steered and kept at once.
    """
    properties, parts = kit.properties(subject), dict[str, object]()
    held: list[Property] = []
    rest = False
    for name, value in goal.keep.items():
        if name in kit.options.at("keep"):
            parts[name] = value
        elif name == "rest":
            rest = True
        elif name in properties:
            if value not in {True, "", "yes", "true"}:
                raise InputError(f"--keep {name} holds the start's value and takes none, got {value!r}; use --toward")
            held.append(properties[name])
        else:
            able = [*kit.options.at("keep"), *properties, "rest"]
            raise SettingsError("--keep: " + nearest(name, able, what="thing to keep"))
    both = [each.name for each in held if each.name in steered]
    if both:
        raise InputError(f"{both[0]} is steered by --toward and held by --keep; omit one of them")
    for name in goal.free:
        if name not in properties:
            raise SettingsError("--free: " + nearest(name, properties, what="property"))
    if goal.free and not rest:
        raise SettingsError("--free frees what --keep rest would hold; add --keep rest")
    if rest and goal.free:
        measured = [each for each in properties.values() if each.function is not None]
        others = [each for each in measured if each.name not in {*goal.free, *steered}]
        held += [each for each in others if each not in held]
        rest = False
    return Constraint(kit.parts(subject, parts, start), tuple(held), rest)


FAR = 1.0
"""Widths of a condition's range in training beyond which a value outside of it is refused."""


def _given(options: Options, given: Mapping[str, object], *, force: bool) -> dict[str, object]:
    """Conditions, parsed; flags of sampling among them are answered with the new spelling, and ranges named.

    Args:
        options: what the model takes.
        given: as they were written.
        force: take values that are far outside of the range too.

    Raises:
        RefusedError: if a value is further outside of the training set than that is wide.
        SettingsError: if a name is an option of sampling.
    """
    flags = {*SamplingOptions.model_fields, *DrawOptions.model_fields, *options.at("sample")}
    for name, value in given.items():
        plain = name.replace("-", "_")
        if plain in options.at("given"):
            continue
        moved = {"candidates": "best-of", "tries": "max-retries"}.get(plain)
        if plain in flags or moved:
            raise SettingsError(f"--given holds conditions; write --{moved or plain.replace('_', '-')} {value}")
        if plain in {"guide", "guide_scale", "guide_mode"}:
            raise SettingsError(
                "--given holds conditions; a guide steers: zsteer steer MODEL --toward ... --guide NAME"
            )
    found = options.parse("given", given)
    for name, value in found.items():
        option = options.at("given")[name]
        if option.soft and option.low is not None and option.high is not None and isinstance(value, float):
            _check_far(name, value, (option.low, option.high), "the training set", force=force)
    return found


def _check_far(name: str, value: float, reach: tuple[float, float], what: str, *, force: bool) -> None:
    """Warn of a value outside of a range, and refuse one that is further outside than the range is wide.

    Raises:
        RefusedError: if it is, and it is not forced.
    """
    low, high = reach
    if low <= value <= high:
        return
    text = f"{name}={value:g} is wanted outside of {what} ({low:.3g} ... {high:.3g})"
    if not force and max(low - value, value - high) > FAR * (high - low):
        raise RefusedError(f"{text}, where the model knows nothing; choose a value within it, or pass --force")
    warnings.warn(text, UserWarning, stacklevel=4)


def _check_reach(target: Target, option: Option | None, *, force: bool) -> None:
    """The same of a value that is steered towards, by what the model's condition or the property knows of its range.

    Raises:
        RefusedError: if it is far outside, and it is not forced.
    """
    reach = target.quantity.reach
    if option is not None and option.soft and option.low is not None and option.high is not None:
        reach = (option.low, option.high)
    if reach is None or target.relative or target.sign:
        return
    nearest_value = min(max(reach[0], target.low), target.high) if not target.exact else target.low
    _check_far(target.quantity.name, nearest_value, reach, "what can be reached", force=force)


def _numbers(subject: Subject) -> int:
    """Numbers in one sample; one where the model does not say."""
    datum = getattr(getattr(subject.model, "settings", None), "datum", None)
    return datum.size if isinstance(datum, SampleSpec) else 1


def _problems(kit: Kit, subject: Subject) -> Any:
    """What says which samples are not valid; None where the domain knows nothing invalid."""
    if not DOMAINS[kit.domain].checked or not subject.model.space.get("bonded", True):
        return None
    return lambda x: kit.problems(subject, x)


def _nearest(kit: Kit, subject: Subject, given: Mapping[str, object]) -> Distance | None:
    """Distance from the values of conditions that are properties too; None where there is none."""
    known = kit.properties(subject)
    wanted = {k: v for k, v in given.items() if k in known and known[k].function is not None}
    if not wanted:
        return None
    targets = [Objective((numeric_target(parse_terms({k: v})[0], known[k]),), lambda x: x) for k, v in wanted.items()]
    objective = Objective(tuple(t.targets[0] for t in targets), lambda x: kit.things(subject, x))

    def distance(x: Batch, rows: Tensor) -> Tensor:
        del rows
        return -objective.score(objective.values(x))

    return distance


def _facts(method: Method, trail: Trail) -> dict[str, object]:
    """What the method and its trail say."""
    notes = getattr(method, "facts", ())
    return dict(trail.facts) | ({"heads": list(notes)} if isinstance(notes, tuple) and notes else {})


def _example(options: Options) -> str:
    first = next(iter(options.at("toward").values()), None)
    if first is None:
        return "--toward name=value"
    return f"--toward {first.name}={'VALUE' if first.type != 'number' else '0.5'}"
