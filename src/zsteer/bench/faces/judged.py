"""What every table of faces stands on: held-out faces, wanted values, labels, and how an edit is judged.

An edit is asked for three factors at once, smile, age and wave, each at a value drawn for a group of faces; the nine
others are held. The reader has seen no edited face. Its own error is taken on the true re-renders of the same rows, and
subtracted from the error of the edit; both are printed. A leak is the change of what is read of a held factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.bench.edit.reach import interval
from zsteer.core.batch import Batch
from zsteer.core.catalog import load_model
from zsteer.core.goal import Budget
from zsteer.core.heads import Heads
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.protocols import Code, Codec
from zsteer.core.rng import Streams
from zsteer.domains.images.faces import FACTORS, Tie, draw_factors, with_factors
from zsteer.domains.images.likeness import ssim
from zsteer.evaluate.report import Cell
from zsteer.models.diffae.diffae import DiffAE
from zsteer.predictors.factor_reader import FactorReader
from zsteer.recipes.faces.build import painted
from zsteer.steer.latent import LatentEdit
from zsteer.steer.latent_options import LatentOptions

__all__ = ["COLUMNS", "STEERED", "TIES", "Ask", "Faces", "Remembered", "edited", "labels_of", "shipped"]

STEERED = ("smile", "age", "wave")
HELD = tuple(name for name in FACTORS if name not in STEERED)
TIES = (("smile", "mouth_open"), ("age", "hair_tone"), ("wave", "hair_length"))
"""Factors that go together in correlated labels: each steered one with one that is held."""
GROUPS = 10
"""Triples of wanted values; each is that of every tenth face."""
RIDGE = 3e-3
"""Penalty of heads on few labels, in units of the codes' variance; the same for every model and number of labels."""
COLUMNS = (
    "what",
    "error",
    "error of the reader",
    "error, reader subtracted",
    "leak, mean",
    "leak, worst factor",
    "SSIM to the true edit",
)


@dataclass(frozen=True)
class Ask:
    """What is asked of the edits of some pictures.

    Args:
        x: the pictures.
        names: of all factors, those that are steered and those that are held.
        steered: names of the former.
        wanted: their values, alike within a group.
    """

    x: Batch
    names: tuple[str, ...]
    steered: tuple[str, ...]
    wanted: Float[Tensor, "n k"]


@dataclass(frozen=True)
class Faces:
    """Held-out faces with what is wanted of each.

    Args:
        factors: of the faces.
        reader: reads edited faces.
    """

    factors: Float[Tensor, "n 12"]
    reader: FactorReader
    seed: int = field(default=9)

    @cached_property
    def x(self) -> Batch:
        """The faces."""
        return painted(self.factors)

    @cached_property
    def wanted(self) -> Float[Tensor, "n 3"]:
        """Wanted values of the steered factors, from 0.1 to 0.9, alike within a group."""
        drawn = 0.1 + 0.8 * Streams.of(self.seed, GROUPS).uniform("wanted", (len(STEERED),))
        return drawn[torch.arange(len(self.factors)) % GROUPS]

    @property
    def ask(self) -> Ask:
        """What is asked of edits."""
        return Ask(self.x, FACTORS, STEERED, self.wanted)

    @cached_property
    def truth(self) -> Batch:
        """The faces re-rendered with the wanted factors: what an edit should give."""
        values = dict(zip(STEERED, self.wanted.unbind(1), strict=True))
        return painted(with_factors(self.factors, **values))

    @cached_property
    def before(self) -> Float[Tensor, "n 12"]:
        """What is read of the faces."""
        return self.reader.read(self.x["x"])

    def row(self, label: str, x: Batch) -> list[Cell]:
        """A row of ``COLUMNS`` for edited faces."""
        own = [FACTORS.index(name) for name in STEERED]
        rest = [FACTORS.index(name) for name in HELD]
        found, true = self.reader.read(x["x"]), self.reader.read(self.truth["x"])
        wanted = self.wanted.double()
        error = (found[:, own] - wanted).abs().mean(1)
        noise = (true[:, own] - wanted).abs().mean(1)
        leak = (found - self.before)[:, rest].abs()
        worst = int(leak.mean(0).argmax())
        likeness = ssim(x["x"].double(), self.truth["x"].double())
        return [
            label,
            interval(error.numpy()),
            float(noise.mean()),
            max(0.0, float((error - noise).mean())),
            interval(leak.mean(1).numpy()),
            f"{float(leak.mean(0)[worst]):.3f} ({HELD[worst]})",
            interval(likeness.numpy()),
        ]


class Remembered:
    """A codec that encodes a batch once.

    Args:
        model: the codec.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.parts: Sequence[str] = model.parts
        self._codes: dict[int, tuple[Batch, Code]] = {}

    def encode(self, x: Batch, rng: Streams) -> Code:
        """The code, from memory where the same batch came before."""
        if id(x) not in self._codes:
            self._codes[id(x)] = (x, self.model.encode(x, rng))
        return self._codes[id(x)][1]

    def read(self, x: Batch, rng: Streams) -> Code:
        """The parts that heads read."""
        read = getattr(self.model, "read", self.model.encode)
        return read(x, rng)

    def decode(self, code: Code, rng: Streams) -> Batch:
        """As the model does."""
        return self.model.decode(code, rng)

    def take(self, x: Batch, code: Code, rows: Tensor) -> Batch:
        """Some rows of an encoded batch, whose code is then known too."""
        part = x.take(rows)
        self._codes[id(part)] = (part, {name: value[rows] for name, value in code.items()})
        return part


def shipped(n: int) -> tuple[DiffAE, Faces]:
    """The shipped model, and held-out faces with the shipped reader."""
    model: DiffAE = load_model("faces-diffae", kind=DiffAE.kind)
    factors = draw_factors(Streams.of(78, n).child("held"))
    return model, Faces(factors, load_model("faces-reader", kind=FactorReader.kind))


def labels_of(n: int, correlation: float = 0.0, *, seed: int = 5) -> Batch:
    """Faces with their factors under ``factors``, the steered ones tied to held ones where a correlation is given."""
    ties = [Tie(pair, correlation) for pair in TIES] if correlation else []
    factors = draw_factors(Streams.of(seed, n).child("labels"), ties)
    return painted(factors).with_fields(factors=factors.double())


def edited(
    model: Codec,
    ask: Ask,
    labelled: Batch,
    where: Heads | None,
    *,
    rounds: int = 1,
    rest: bool = True,
) -> Batch:
    """Held-out pictures edited by heads of labels alone; the reader is not asked.

    Args:
        model: with a code.
        ask: pictures to edit, and what is wanted.
        labelled: pictures with their factors under ``factors``.
        where: where codes lie, from pictures without labels; its heads are not used.
        rounds: corrections by what the heads read of the decoded faces.
        rest: hold the other factors, as the heads read them.
    """
    examples, values = Batch({"x": labelled["x"]}), labelled["factors"].double()
    labels = {name: values[:, k] for k, name in enumerate(ask.names)}
    properties = {name: Property(name, spread=0.29, tolerance=0.02) for name in ask.names}
    options = LatentOptions(rounds=rounds, ridge=RIDGE, force=True, draws=20)
    base = None if where is None else Heads(where.parts, (), where.mean, where.covariance, where.radius, where.within)
    others = [properties[name] for name in ask.names if name not in ask.steered] if rest else []
    method = LatentEdit(options, examples=examples, labels=labels, heads=base)
    constraint = Constraint(properties=tuple(others))
    known = Remembered(model) if not isinstance(model, Remembered) else model
    code = known.encode(ask.x, Streams.of(0, len(ask.x)))
    order, found = torch.arange(len(ask.x)), list[Batch]()
    for group in range(GROUPS):
        rows = order[group::GROUPS]
        values_of = ask.wanted[rows[0]].tolist()
        targets = tuple(Target(properties[n], v, v) for n, v in zip(ask.steered, values_of, strict=True))
        start = known.take(ask.x, code, rows)
        objective = Objective(targets, lambda x: x["x"])
        trail = method.run(known, start, objective, constraint, Budget(), Streams.of(0, len(rows)))
        found.append(trail.batch)
    back = torch.cat([order[group::GROUPS] for group in range(GROUPS)]).argsort()
    return Batch.cat(found).take(back)
