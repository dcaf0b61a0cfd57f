r"""``LatentEdit``: the lecture's edit of a code, for every model with one, in a closed loop.

The step is the lecture's, :math:`z^t = z + s w` with :math:`s = (y^t - b - w \cdot z) / (w \cdot w)`; several
properties, or held ones, take ``maths.directions.joint_step``, whose metric is the covariance of the codes: where these
are not N(0, I), the step along w itself leaves the region that the decoder knows. A head is linear and what a decoder
makes is not, so ``closed_loop`` measures what was decoded and corrects; each row keeps the best that was measured.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Trail
from zsteer.core.heads import Head, Heads
from zsteer.core.objective import Constraint, Objective
from zsteer.core.property import Property
from zsteer.core.protocols import Code, Codec, Generative, ReadsCode, Windowed
from zsteer.core.rng import Streams
from zsteer.errors import BudgetExhaustedError, CapabilityError, InputError, RefusedError
from zsteer.maths.directions import joint_step, lerp, mahalanobis, predict, slerp
from zsteer.maths.directions import swap as swap_parts
from zsteer.steer.closed_loop import Found, Loop, Point
from zsteer.steer.heads import fit_head, gather, join, split
from zsteer.steer.latent_options import LatentOptions

__all__ = ["LatentEdit", "interpolate", "swap"]

LEAST_OTHERS = 200
"""Draws that positives are told from, at least; else ten for each positive."""


class LatentEdit:
    """Move codes until what they decode to has the wanted properties.

    A call is one measurement of one decoded row: the reconstruction, the linear step, and each correction. The values
    of the starts themselves are not counted.

    Args:
        options: how; defaults when None.
        examples: the model's own batches to fit heads on; samples of the model when None.
        positives: property without a function -> examples of it; a head tells them from the other examples, and its
            log-odds are the property's value.
        labels: property -> its value of each example, NaN where it is not known, in place of its function.
        heads: fitted heads, of every property that has no positives and no labels, instead of examples.
        properties: further ones to fit and to report; ``Constraint.rest`` holds them.
    """

    name = "edit"

    def __init__(
        self,
        options: LatentOptions | None = None,
        *,
        examples: Batch | None = None,
        positives: Mapping[str, Batch] | None = None,
        labels: Mapping[str, Float[Tensor, " n"]] | None = None,
        heads: Heads | None = None,
        properties: Sequence[Property] = (),
    ) -> None:
        self.options = options or LatentOptions()
        self.examples, self.positives, self.heads, self.properties = examples, positives or {}, heads, properties
        self.labels = labels or {}
        self.facts: tuple[str, ...] = ()
        self._fitted: tuple[object, dict[str, Property], Heads] | None = None

    def fits(self, model: object, objective: Objective, constraint: Constraint) -> str:
        """Empty if the edit can do this with this model, else the reason why not."""
        if not isinstance(model, Codec) or not model.parts:
            return f"{type(model).__name__} has no code to edit (encode, decode, parts)"
        if constraint.parts:
            return f"an edit of the code keeps no part in place ({constraint.text}); search can, or hold a property"
        if self.options.partial and not isinstance(model, Windowed):
            return f"{type(model).__name__} decodes in one way; --steps, --levels and --window are for another model"
        steered = _steered(objective, constraint)
        names = [each.name for each in steered]
        if len(set(names)) < len(names):
            return f"each property is aimed at or held once, got {', '.join(names)}"
        if self.heads is not None:
            own = {*self.heads.names, *self.positives, *self.labels}
            missing = [name for name in names if name not in own]
            return f"the heads read {', '.join(self.heads.names)}, not {', '.join(missing)}" if missing else ""
        for each in steered:
            if each.function is None and each.name not in {*self.positives, *self.labels}:
                return f"{each.name} has no function to measure it by; give examples that have it"
        if self.examples is None and not isinstance(model, Generative):
            return f"{type(model).__name__} makes no samples to fit heads on; give examples"
        return ""

    def run(
        self,
        model: object,
        start: Batch | None,
        objective: Objective,
        constraint: Constraint,
        budget: Budget,
        rng: Streams,
    ) -> Trail:
        """Edit each start.

        Returns:
            A row for each start and strength, with scores: each property by name, ``start_NAME``,
            ``reconstruction_NAME`` (in a loop that the budget allows in full), ``score``, ``step`` and ``mahalanobis``
            (lengths of the step and of the code, in standard deviations of the codes), ``off_manifold`` (1 for a code
            longer than the share ``within`` of the examples' codes), ``calls``, and ``strength`` of a series.

        Raises:
            BudgetExhaustedError: if the budget allows no call.
            CapabilityError: if the edit cannot do this with this model.
            InputError: if there is no start, not one stream for each, or a budget of edits.
            RefusedError: if a head reads nothing.
        """
        began = time.perf_counter()
        reason = self.fits(model, objective, constraint)
        if reason or not isinstance(model, Codec):
            raise CapabilityError(reason)
        if start is None:
            raise InputError("an edit changes given samples, and there are none; give --input FILE")
        if len(rng) != len(start):
            raise InputError(f"expected one stream for each of {len(start)} starts, got {len(rng)}")
        if budget.top != 1:
            raise InputError("an edit of the code has one result for each start; omit --top, or take --by search")
        if budget.edits is not None:
            raise InputError("an edit of the code counts no changes; give no budget of edits, or steer by search")
        if budget.calls is not None and budget.calls < 1:
            raise BudgetExhaustedError("an edit measures each result at least once; allow 1 call or more")
        options = self.options
        if options.partial and isinstance(model, Windowed):
            model = model.within(calls=options.steps, levels=options.levels, window=options.window)
        heads = self.heads_for(model, objective, constraint, rng)
        self._check(heads, objective, constraint)
        edit = self._edit(model, start, objective, constraint, heads, rng)
        found, base = edit.run(budget.calls)
        return edit.trail(found, base, time.perf_counter() - began)

    def heads_for(self, model: Codec, objective: Objective, constraint: Constraint, rng: Streams) -> Heads:
        """The heads of a goal: those given, or fitted on examples, once for a model and its properties.

        ``facts`` says afterwards, in lines for a report, what they were fitted on and how well they read. The streams
        only tell the device.

        Raises:
            CapabilityError: if there are no examples, and the model makes no samples.
            InputError: if too few examples have a value.
        """
        wanted = {each.name: each for each in (*_steered(objective, constraint), *self.properties)}
        if self._fitted is not None and self._fitted[0] is model and self._fitted[1] == wanted:
            return self._fitted[2]
        if self.heads is not None:
            fresh = self._fresh(model, wanted, self.heads, rng)
            names = {head.name for head in fresh}
            kept = tuple(head for head in self.heads.heads if head.name not in names)
            shown = [head for head in (*kept, *fresh) if head.name in wanted]
            source = "stored with the model" + (", and fitted on what was given" if fresh else "")
            self.facts = (f"heads: {source}", *(head.text for head in shown))
            self._fitted = (model, wanted, replace(self.heads, heads=(*kept, *fresh)))
            return self._fitted[2]
        # Heads are facts about a model: they depend on no seed of a run, so that a second run may use them again.
        rng = replace(rng, seed=0)
        x, source = self._examples(model, rng)
        z = self._codes(model, x, rng, "examples")
        counted = [each for each in wanted.values() if each.name not in self.positives]
        counted = [each for each in counted if each.function is not None or each.name in self.labels]
        values = objective.values(x, [each for each in counted if each.name not in self.labels])
        values |= {each.key: self.labels[each.name].double() for each in counted if each.name in self.labels}
        heads = [fit_head(z, values[each.key], each, self._part(model), self.options) for each in counted]
        heads += [self._against(model, wanted[name], z, rng) for name in self.positives if name in wanted]
        fitted = gather(z, heads, self._parts(model), self.options)
        self.facts = (f"heads: fitted on {source}", *(head.text for head in heads))
        self._fitted = (model, wanted, fitted)
        return fitted

    def _parts(self, model: Codec) -> tuple[str, ...]:
        return self.options.parts or tuple(model.parts)

    def _part(self, model: Codec) -> str:
        """Name of what a head reads."""
        return "+".join(self._parts(model))

    def _codes(self, model: Codec, x: Batch, rng: Streams, purpose: str) -> Float[Tensor, "n d"]:
        """Codes of samples that are no starts."""
        return join(_read_code(model, x, _streams(rng, x, purpose)), self._parts(model))

    def _against(self, model: Codec, quantity: Property, others: Float[Tensor, "n d"], rng: Streams) -> Head:
        """The head that tells the positives of a property from other codes."""
        own = self._codes(model, self.positives[quantity.name], rng, quantity.name)
        positive = torch.arange(len(own) + len(others)) < len(own)
        return fit_head(torch.cat([own, others]), positive, quantity, self._part(model), self.options)

    def _fresh(self, model: Codec, wanted: Mapping[str, Property], stored: Heads, rng: Streams) -> list[Head]:
        """Heads of what labels and positives tell, beside stored ones.

        Positives are told from draws of the normal distribution that the stored codes have.
        """
        found: list[Head] = []
        names = [name for name in self.labels if name in wanted]
        if names and self.examples is not None:
            z = self._codes(model, self.examples, rng, "examples")
            found += [
                fit_head(z, self.labels[name].double(), wanted[name], self._part(model), self.options) for name in names
            ]
        for name in self.positives:
            if name in wanted:
                root = torch.linalg.cholesky(stored.covariance)
                n = min(self.options.head_samples, max(LEAST_OTHERS, 10 * len(self.positives[name])))
                white = Streams.of(0, n).normal("others", (len(root),), dtype=root.dtype)
                found.append(self._against(model, wanted[name], stored.mean + white @ root.T, rng))
        return found

    def fitted_heads(self, model: object) -> Heads:
        """The heads that the last run with a model used.

        Raises:
            InputError: if there was no run with this model.
        """
        if self._fitted is None and self.heads is not None:
            return self.heads
        if self._fitted is None or self._fitted[0] is not model:
            raise InputError("no heads were fitted for this model yet; run the edit first")
        return self._fitted[2]

    def _examples(self, model: Codec, rng: Streams) -> tuple[Batch, str]:
        if self.examples is not None:
            return self.examples, f"{len(self.examples)} examples"
        if not isinstance(model, Generative):
            raise CapabilityError(f"{type(model).__name__} makes no samples to fit heads on; give examples")
        n = self.options.head_samples
        streams = Streams.of(rng.seed, n, device=rng.ids.device).child("heads")
        return model.sample(n, rng=streams), f"{n} samples of the model itself, for no examples were given"

    def _check(self, heads: Heads, objective: Objective, constraint: Constraint) -> None:
        """Refuse to move along, or to hold, what no head reads."""
        weak = [heads[each.name].text for each in _steered(objective, constraint) if not heads[each.name].signal]
        if weak and not self.options.force:
            raise RefusedError(
                f"the code does not tell {'; '.join(weak)}: the edit would be a random one; give better examples, "
                f"or force it"
            )

    def _edit(
        self,
        model: Codec,
        start: Batch,
        objective: Objective,
        constraint: Constraint,
        heads: Heads,
        rng: Streams,
    ) -> "_Edit":
        code = model.encode(start, rng.child("encode"))
        targets = tuple(target.quantity for target in objective.targets)
        measured = self.options.hold == "measured"
        steered = (*targets, *constraint.properties) if measured else targets
        names = {each.name for each in steered}
        still = [head.name for head in heads.heads if constraint.rest and head.signal and head.name not in names]
        still += [each.name for each in constraint.properties if not measured and each.name not in still]
        watched = {each.name: each for each in (*constraint.properties, *self.properties) if each.name not in names}
        edit = _Edit(model, code, objective, steered, heads, tuple(still), rng.child("decode"), self.options)
        return replace(edit, watched=tuple(watched.values()), start=edit.values(start, (*steered, *watched.values())))


@dataclass(frozen=True)
class _Edit:
    """One goal for some starts: steps in the code, what they decode to, and what is still missing.

    Changes and values are in standard deviations of what each head reads over the codes of the examples.
    """

    model: Codec
    code: Code
    objective: Objective
    steered: tuple[Property, ...]
    heads: Heads
    still: tuple[str, ...]
    rng: Streams
    options: LatentOptions
    watched: tuple[Property, ...] = ()
    start: Mapping[str, Float[Tensor, " b"]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.steered)

    @property
    def scale(self) -> Float[Tensor, " k"]:
        """Standard deviation of each head over the codes."""
        w = self.heads.directions(self.names)
        return ((w @ self.heads.covariance) * w).sum(1).sqrt().clamp(min=1e-12)

    @property
    def z(self) -> Float[Tensor, "b d"]:
        return join(self.code, self.heads.parts)

    def moved(self, u: Float[Tensor, "a k"], rows: Int[Tensor, " a"]) -> Float[Tensor, "a d"]:
        """Codes of some rows after a step that the heads read as ``u``."""
        directions = self.heads.directions((*self.names, *self.still))
        change = torch.cat([u * self.scale, u.new_zeros(len(u), len(self.still))], 1)
        plain = self.options.metric == "identity"
        metric = torch.eye(directions.shape[1], dtype=u.dtype) if plain else self.heads.covariance
        # A single head coincides with no other: the step that reaches the value is exact.
        return self.z[rows] + joint_step(directions, change, metric, self.options.eps if len(directions) > 1 else 0.0)

    def decoded(self, u: Float[Tensor, "a k"], rows: Int[Tensor, " a"]) -> Batch:
        """What some rows decode to after a step."""
        own = {name: value[rows.to(value.device)] for name, value in self.code.items()}
        streams = self.rng.take(rows.to(self.rng.ids.device))
        return self.model.decode(split(self.moved(u, rows), own, self.heads.parts), streams)

    def values(self, x: Batch, properties: Sequence[Property]) -> dict[str, Float[Tensor, " b"]]:
        """Properties of rows; where there is no function, what the head reads once the rows are encoded again."""
        counted = [each for each in properties if each.function is not None]
        measured = self.objective.values(x, counted)
        found = {each.name: measured[each.key] for each in counted}
        headed = [each.name for each in properties if each.function is None]
        if headed:
            z = join(_read_code(self.model, x, _streams(self.rng, x, "again")), self.heads.parts)
            found |= {name: _read(z, self.heads[name]) for name in headed}
        return found

    def measure(self, u: Float[Tensor, "a k"], rows: Int[Tensor, " a"]) -> Float[Tensor, "a k"]:
        """Values of what some rows decode to after a step."""
        found = self.values(self.decoded(u, rows), self.steered)
        return torch.stack([found[name] for name in self.names], 1) / self.scale

    def residual(self, y: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """What is missing of each property."""
        real = y * self.scale
        return (torch.stack([self._wanted(i, real[:, i]) for i in range(len(self.steered))], 1) - real) / self.scale

    def _wanted(self, i: int, now: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        own = self.start[self.names[i]]
        if i >= len(self.objective.targets):
            return own  # held
        target = self.objective.targets[i]
        # A direction is one spread further than the start, not than what moves away from it.
        return target.wanted(own if target.sign else now, own)

    def gaps(self, y: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """How far each property is from where it should lie, in its own unit; NaN without a value."""
        columns: list[Tensor] = []
        for i, now in enumerate((y * self.scale).unbind(1)):
            target = self.objective.targets[i] if i < len(self.objective.targets) else None
            away = self._wanted(i, now) - now
            columns.append(away.abs() if target is None or not target.sign else (target.sign * away).clamp(min=0))
        return torch.stack(columns, 1)

    def cost(self, y: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """Gaps in units of each property's spread, added up; infinite without a value."""
        spread = torch.tensor([each.spread for each in self.steered], dtype=y.dtype)
        return (self.gaps(y) / spread).norm(dim=1).nan_to_num(torch.inf, posinf=torch.inf)

    def done(self, y: Float[Tensor, "b k"]) -> Bool[Tensor, " b"]:
        """Whether each property is within its tolerance."""
        return (self.gaps(y) <= torch.tensor([each.tolerance for each in self.steered], dtype=y.dtype)).all(1)

    def run(self, calls: int | None) -> "tuple[Found, Point | None]":
        """The loop; and where the reconstruction lies, if it is measured."""
        rounds = self.options.rounds
        # A tight budget goes into corrections: the reconstruction is measured when the whole loop can be paid as well.
        measured = rounds > 0 and (calls is None or calls >= 2 + rounds)
        left = 1 + rounds if calls is None else min(1 + rounds, calls - measured)
        z, rows = self.z, torch.arange(len(self.z))
        u = z.new_zeros(len(z), len(self.steered))
        foreseen = torch.stack([_read(z, self.heads[name]) for name in self.names], 1) / self.scale
        base = Point(u, self.measure(u, rows) if measured else foreseen)
        loop = Loop(self.measure, self.residual, self.cost, self.done, left)
        return loop.run(base, self.residual(foreseen).nan_to_num(0.0), measured=measured), base if measured else None

    def trail(self, found: Found, base: Point | None, seconds: float) -> Trail:
        """The best of each row with its scores; of a series the strengths of each start one after another."""
        n, names, b = self.options.series, self.names, len(self.z)
        rows = torch.arange(b).repeat_interleave(n)
        share = torch.linspace(0, 1, n, dtype=found.best.u.dtype).repeat(b) if n > 1 else found.best.u.new_ones(b)
        u = share[:, None] * found.best.u[rows]
        batch, z = self.decoded(u, rows), self.moved(u, rows)
        if n > 1:
            values = self.values(batch, (*self.steered, *self.watched))
        else:
            values = dict(zip(names, (found.best.y * self.scale).unbind(1), strict=True))
            values |= self.values(batch, self.watched)
        start = {name: value[rows] for name, value in self.start.items()}
        scores = {**values, **{f"start_{name}": value for name, value in start.items()}}
        if base is not None:
            real = (base.y * self.scale)[rows].unbind(1)
            scores |= {f"reconstruction_{name}": value for name, value in zip(names, real, strict=True)}
        length = mahalanobis(z, self.heads.mean, self.heads.covariance)
        nought = torch.zeros_like(self.heads.mean)
        scores["step"] = mahalanobis(z - self.z[rows], nought, self.heads.covariance)
        own = {target.quantity.key: target.quantity.name for target in self.objective.targets}
        by_key, before = ({key: some[name] for key, name in own.items()} for some in (values, start))
        scores["score"] = self.objective.score(by_key, before)
        scores |= {"mahalanobis": length, "off_manifold": (length > self.heads.radius).double()}
        scores["calls"] = found.spent[rows].double()
        if n > 1:
            scores["strength"] = share
        calls = int(found.spent.sum()) + (len(rows) if n > 1 else 0)
        return Trail(batch, rows, scores, calls, seconds, found.rounds)


def interpolate(model: Codec, a: Batch, b: Batch, steps: int, rng: Streams, *, spherical: bool = False) -> Batch:
    """What lies between pairs of samples, in the code: ``steps`` rows for each pair, from ``a`` to ``b``.

    Parts that are noise (``stochastic``, of models that have some) go on great circles: on a straight line they would
    become too short to be noise. Other parts that are not vectors stay those of ``a``.

    Args:
        model: with a code.
        a: one end of each pair; its row comes out as its reconstruction.
        b: the other end.
        steps: rows for each pair, both ends with them.
        rng: one stream for each pair.
        spherical: on great circles instead of straight lines.

    Raises:
        InputError: if there are not as many of both, not one stream for each, or fewer than two steps.
    """
    if len(a) != len(b) or len(rng) != len(a) or steps < 2:
        raise InputError(
            f"expected pairs, a stream for each and 2 steps or more, got {len(a)} and {len(b)} samples, {len(rng)} "
            f"streams and {steps} steps"
        )
    first, second = model.encode(a, rng.child("first")), model.encode(b, rng.child("second"))
    code = {name: value.repeat_interleave(steps, 0) for name, value in first.items()}
    line = slerp if spherical else lerp
    for part in model.parts:
        rows = [line(first[part], second[part], 1 - k / (steps - 1)) for k in range(steps)]
        code[part] = torch.stack(rows, 1).flatten(0, 1)
    for part in getattr(model, "stochastic", ()):
        ends, shape = (first[part].flatten(1), second[part].flatten(1)), first[part].shape[1:]
        rows = [slerp(*ends, 1 - k / (steps - 1)) for k in range(steps)]
        code[part] = torch.stack(rows, 1).reshape(-1, *shape)
    return model.decode(code, rng.child("decode").spread(steps))


def swap(model: Codec, a: Batch, b: Batch, parts: Sequence[str], rng: Streams) -> Batch:
    """Samples ``a`` with some parts of the code of ``b``: what a part holds shows in what it changes.

    Args:
        model: with a code of several parts.
        a: samples that give the other parts.
        b: samples that give the named parts, as many.
        parts: names of parts.
        rng: one stream for each.

    Raises:
        InputError: if there are not as many of both, not one stream for each, or no such part.
    """
    if len(a) != len(b) or len(rng) != len(a):
        raise InputError(f"expected pairs and a stream for each, got {len(a)} and {len(b)} samples, {len(rng)} streams")
    first, second = model.encode(a, rng.child("first")), model.encode(b, rng.child("second"))
    return model.decode(swap_parts(first, second, parts), rng.child("decode"))


def _steered(objective: Objective, constraint: Constraint) -> list[Property]:
    """Properties that are aimed at, then those that are held."""
    return [*(target.quantity for target in objective.targets), *constraint.properties]


def _read(z: Float[Tensor, "b d"], head: Head) -> Float[Tensor, " b"]:
    return predict(z, head.w, torch.tensor(head.b, dtype=z.dtype))


def _read_code(model: Codec, x: Batch, rng: Streams) -> Code:
    """The code of samples, or only the parts that heads read where these come cheaper."""
    return model.read(x, rng) if isinstance(model, ReadsCode) else model.encode(x, rng)


def _streams(rng: Streams, x: Batch, purpose: str) -> Streams:
    """Streams for a batch that is none of the starts."""
    return Streams.of(rng.seed, len(x), device=rng.ids.device).child(purpose)
