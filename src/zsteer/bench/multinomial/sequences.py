"""Multinomial diffusion measured: bits a residue beside Markov chains and an autoregressive model, and its samples.

All models learn from the same rows of the CDR3-beta background and are measured on the same held-out rows. A
sequence's bits are those of its residues and of its length, which every model pays in its own way, over its residues.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.bench.multinomial.markov import markov_chain
from zsteer.bench.multinomial.trained import CPU, Trained, Watch, fine, trained
from zsteer.core.alphabet import PROTEIN
from zsteer.core.artifact import settings_from
from zsteer.core.batch import Batch
from zsteer.core.goal import Goal
from zsteer.core.rng import Streams
from zsteer.domains.sequences.junctions import anchored
from zsteer.domains.sequences.measures import charge
from zsteer.domains.sequences.space import canonical
from zsteer.errors import SettingsError
from zsteer.evaluate.report import Cell, Table
from zsteer.kits.base import Subject
from zsteer.kits.front import Request, steer
from zsteer.maths.divergences import jensen_shannon, total_variation
from zsteer.models.autoregressive import Autoregressive
from zsteer.models.diffusion.bound import Bound
from zsteer.models.multinomial.multinomial import CALLS
from zsteer.recipes.base import Recipe
from zsteer.recipes.multinomial.build import chosen_rows
from zsteer.recipes.multinomial.settings import ReceptorDiffusionRecipe
from zsteer.recipes.sequences import tables as receptor_tables
from zsteer.recipes.sequences.settings import LanguageModelRecipe
from zsteer.steer.sampling import sample_by

__all__ = ["tables"]

KERNELS = ("uniform", "absorbing")
CHARGES = (-2.0, 0.0, 2.0, 4.0)
TENTHS = 10
QUICK: Mapping[str, object] = MappingProxyType({"size": "xs", "steps": 100, "chain": 25})
"""Settings of the diffusions of a quick run."""


def tables(*, data: Path, quick: bool, watch: Watch, models: Path | None = None) -> Sequence[Table]:
    """Bits a residue, the bound term by term, samples, guidance.

    Args:
        data: the data folder.
        quick: short trainings and few rows, whose figures mean little.
        watch: called with progress.
        models: folder with models to take instead of training them: tcr-uniform, tcr-absorbing, tcr-lm.
    """
    field = _Field.of(data, quick=quick, watch=watch, models=models)
    return [field.bits(), field.terms(), field.samples(), field.charges()]


@dataclass(frozen=True)
class _Field:
    """What the receptor tables share: rows and models."""

    train: Batch
    valid: Batch
    test: Batch
    diffusion: Mapping[str, Trained]
    language: Trained
    watch: Watch
    quick: bool

    @staticmethod
    def of(data: Path, *, quick: bool, watch: Watch, models: Path | None) -> "_Field":
        table = receptor_tables.table(data, "permissive")
        parts = {name: receptor_tables.background(table, name) for name in ("train", "valid", "test")}
        rows = {name: Batch({"tokens": x["tokens"]}, mask=x.mask) for name, x in parts.items()}
        size = QUICK if quick else {}

        def made(name: str, recipe: Recipe) -> Trained:
            return trained(recipe, data, watch, None if models is None else models / name)

        diffusion = {
            kernel: made(
                f"tcr-{kernel}", settings_from(ReceptorDiffusionRecipe, {"kernel": kernel, **size}, where="bench")
            )
            for kernel in KERNELS
        }
        language = made(
            "tcr-lm", settings_from(LanguageModelRecipe, {"size": "xs", "steps": 100} if quick else {}, where="bench")
        )
        few = (400, 150) if quick else (5000, 5000)
        valid, test = (chosen_rows(rows[name], n) for name, n in zip(("valid", "test"), few, strict=True))
        return _Field(rows["train"], valid, test, diffusion, language, watch, quick)

    def bits(self) -> Table:
        """Bits a residue, beside what every model cost."""
        rows: list[list[Cell]] = []
        for order in range(3 if self.quick else 5):
            self.watch({"doing": f"Markov chain of order {order}"})
            started = time.process_time()
            chain = markov_chain(self.train, self.valid, order)
            spent = time.process_time() - started
            rows.append(
                [f"Markov, order {order}", *self._ratio(-chain.log_prob(self.test)), spent, chain.table.numel()]
            )
        score = -self._language(self.language.model)
        rows.append(["autoregressive (tcr-lm)", *self._ratio(score), self.language.seconds, self.language.weights])
        for kernel, made in self.diffusion.items():
            self.watch({"doing": f"bound of the {kernel} kernel"})
            rng = Streams.of(0, len(self.test)).child("bits")
            found = made.model.bound_of(self.test, rng, calls=min(CALLS, made.model.noise.steps))
            rows.append([f"diffusion, {kernel}: bound", fine(found.bits), fine(found.se), made.seconds, made.weights])
        notes = [
            f"{len(self.test)} held-out rows drawn at random; {len(self.train)} rows to train on; lengths counted",
            f"diffusion: an upper bound, T = {self._steps}, one t from each of {CALLS} strata a sequence; others exact",
            "a Markov chain's weights are the cells of its table; strengths of smoothing chosen on validation rows",
        ]
        return Table("CDR3-beta: bits a residue", ["model", "bits", "+-", "CPU-s", "weights"], rows, notes)

    @property
    def _steps(self) -> int:
        return next(iter(self.diffusion.values())).model.noise.steps

    def _ratio(self, nats: Float[Tensor, " b"]) -> tuple[str, str]:
        """Bits a residue, and the standard error of the ratio."""
        mask = self.test.mask
        if mask is None:
            raise SettingsError("the held-out rows lack their mask")
        none = torch.zeros(len(nats), 0)
        one = torch.zeros(0, dtype=torch.long)
        found = Bound(nats.double(), none.double(), none.long(), one, mask.sum(1))
        return fine(found.bits), fine(found.se)

    @torch.no_grad()
    def _language(self, model: Autoregressive) -> Float[Tensor, " b"]:
        return torch.cat([model.log_prob(piece, Streams.of(0, len(piece))) for piece in self.test.chunks(2048)])

    def terms(self) -> Table:
        """Every term of the bound, summed over tenths of the chain. [nats a sequence]"""
        some = self.test.take(slice(50 if self.quick else 500))
        found: dict[str, Bound] = {}
        for kernel, made in self.diffusion.items():
            self.watch({"doing": f"every term of the {kernel} kernel"})
            found[kernel] = made.model.bound_of(some, Streams.of(0, len(some)).child("terms"))
        rows: list[list[Cell]] = [["length", *(_mean(one.length) for one in found.values())]]
        rows.append(["L_0 (t = 1)", *(float(one.terms[:, 0].mean()) for one in found.values())])
        edges = [self._steps * k // TENTHS for k in range(TENTHS + 1)]
        for low, high in pairwise(edges):
            first = max(low, 1)
            sums = (float(one.terms[:, first:high].sum(1).mean()) for one in found.values())
            rows.append([f"L_t, t = {first + 1} ... {high}", *sums])
        rows.append(["L_T", *(f"{float(one.far.mean()):.2g}" for one in found.values())])
        rows.append(["bits a residue, every term", *(fine(one.bits) for one in found.values())])
        rows.append(["+-", *(fine(one.se) for one in found.values())])
        notes = [f"nats a sequence, means over {len(some)} held-out rows; one draw of x_t for each t"]
        return Table("CDR3-beta: the bound term by term", ["term", *found], rows, notes)

    def samples(self) -> Table:
        """How samples differ from held-out rows, beside what other held-out rows do."""
        n = min(len(self.test) // 2, 60 if self.quick else 2000)
        half, other = self.test.take(slice(n)), self.test.take(slice(n, 2 * n))
        known = set(canonical(self.train["tokens"]))
        sources: dict[str, tuple[Batch, float]] = {"held-out rows (null)": (other, 0.0)}
        for kernel, made in self.diffusion.items():
            for steps in (self._steps, 20):
                self.watch({"doing": f"samples of the {kernel} kernel, {steps} steps"})
                started = time.process_time()
                drawn, _ = sample_by(made.model, n, {"steps": steps}, Streams.of(0, n))
                sources[f"diffusion, {kernel}, {steps} steps"] = (drawn, time.process_time() - started)
        started = time.process_time()
        with torch.no_grad():
            sources["autoregressive (tcr-lm)"] = self.language.model.sample(n, rng=Streams.of(0, n)), 0.0
        drawn, _ = sources["autoregressive (tcr-lm)"]
        sources["autoregressive (tcr-lm)"] = drawn, time.process_time() - started
        rows: list[list[Cell]] = []
        for name, (x, spent) in sources.items():
            tokens = x["tokens"]
            new = sum(key not in known for key in canonical(tokens)) / n
            near = (total_variation(_lengths(tokens), _lengths(half["tokens"])), _kmers_apart(tokens, half["tokens"]))
            whole = float(anchored(tokens).double().mean())
            nearest = [fine(float(value)) for value in near]
            rows.append([name, *nearest, whole, new, 1000 * spent / n if spent else math.nan])
        notes = [f"{n} sequences each, against {n} held-out rows; TV: total variation, JS: Jensen-Shannon [nats]"]
        columns = ["samples", "lengths, TV", "3-mers, JS", "C ... F or W", "not in training", "CPU-ms each"]
        return Table("CDR3-beta: samples", columns, rows, notes)

    def charges(self) -> Table:
        """Net charge requested and achieved, by the gradient of the expected charge; nothing is trained for it."""
        n = 20 if self.quick else 300
        model = self.diffusion["absorbing"].model
        before, _ = sample_by(model, n, {}, Streams.of(0, n))
        rows: list[list[Cell]] = [["held-out rows (null)", *self._moments(self.test.take(slice(n)))]]
        rows.append(["no guidance", *self._moments(before)])
        for wanted in CHARGES:
            self.watch({"doing": f"charge {wanted:g}"})
            request = Request(Goal(toward={"charge": wanted}), "guide", n, options={"max_retries": 0})
            made = steer(Subject(model, None, CPU), None, request).batch
            if made is None:
                raise SettingsError("steering gave back no batch")
            rows.append([f"charge {wanted:g}", *self._moments(made, wanted)])
        notes = [
            f"{n} sequences of the absorbing model, {self._steps} steps; energy (charge - wanted)^2 / (2 x 0.5^2)",
            "nats a residue: of the autoregressive model of the first table, which saw no guidance; low is plausible",
        ]
        columns = ["requested", "mean charge", "sd", "mean error", "C ... F or W", "nats a residue by tcr-lm"]
        return Table("CDR3-beta: guidance by a property, without training", columns, rows, notes)

    @torch.no_grad()
    def _moments(self, x: Batch, wanted: float | None = None) -> list[Cell]:
        if x.mask is None:
            raise SettingsError("samples lack their mask")
        p = (
            torch.nn.functional.one_hot(x["tokens"].clamp(max=PROTEIN.size - 1), PROTEIN.size).double()
            * x.mask[..., None]
        )
        found = charge(p)
        error = math.nan if wanted is None else float((found - wanted).abs().mean())
        nats = -self.language.model.log_prob(x, Streams.of(0, len(x))).sum() / x.mask.sum()
        whole = float(anchored(x["tokens"]).double().mean())
        return [float(found.mean()), float(found.std()), error, whole, float(nats)]


def _mean(value: Float[Tensor, " b"] | None) -> float:
    return math.nan if value is None else float(value.mean())


def _lengths(tokens: Tensor) -> Float[Tensor, " k"]:
    counts = torch.bincount(PROTEIN.lengths(tokens), minlength=tokens.shape[1] + 1).double()
    return counts / counts.sum()


def _kmers_apart(a: Tensor, b: Tensor, k: int = 3) -> Float[Tensor, ""]:
    """Jensen-Shannon divergence of the frequencies of k-mers. [nats]"""
    letters = PROTEIN.size

    def frequencies(tokens: Tensor) -> Float[Tensor, " n"]:
        windows = tokens.unfold(1, k, 1)
        real = PROTEIN.real(windows).all(-1)
        number = (windows.clamp(max=letters - 1) * torch.tensor([letters**j for j in range(k)])).sum(-1)
        counts = torch.bincount(number[real], minlength=letters**k).double()
        return counts / counts.sum()

    return jensen_shannon(frequencies(a), frequencies(b))
