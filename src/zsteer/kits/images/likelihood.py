"""The protocol ``likelihood``: how probable a model finds samples, with the error of that figure and a floor beside it.

The floor is a model that knows each number's distribution alone and no dependence between them.
"""

import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core import catalog
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import CapabilityError, InputError
from zsteer.evaluate.curves import chart
from zsteer.evaluate.report import Block, Report, Table
from zsteer.kits.base import Subject
from zsteer.kits.common import note_reading
from zsteer.kits.front import about_subject, kit_of
from zsteer.kits.protocols import EvaluationRequest
from zsteer.maths.gaussian import log_density
from zsteer.models.diffusion.bound import Bound
from zsteer.models.diffusion.ddpm import CALLS

__all__ = ["STANDARDISED", "LikelihoodProtocol", "floor_facts", "independent", "likelihood", "log_volume"]

STANDARDISED = "columns of numbers are standardised"
"""In what unit a density of rows is."""
BOUNDS = {
    "exact": "exact",
    "lower": "a lower bound",
    "unnormalised": "an estimate: log Z comes from annealed importance sampling",
}


def independent(datum: SampleSpec, train: Float[Tensor, "n d"], x: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Log-probability under independent numbers with the training frequencies (one more of each value) or moments.

    Args:
        datum: what a number is.
        train: rows to learn from.
        x: rows to judge.
    """
    if datum.values == "real":
        return log_density(x, train.mean(0), train.var(0, unbiased=False).clamp(min=1e-6).log())
    levels = datum.levels if datum.values == "levels" else 2
    found = torch.nn.functional.one_hot(train.round().long(), levels).sum(0).double() + 1
    log_p = (found / found.sum(-1, keepdim=True)).log()
    if datum.values == "levels":
        return log_p.gather(1, x.long().T).sum(0).to(x.dtype)
    return (x * log_p[:, 1] + (1 - x) * log_p[:, 0]).sum(-1).to(x.dtype)


def log_volume(datum: SampleSpec) -> float:
    """What to take off a log-density of standardised columns to have it in the data's own units. [nats]"""
    if datum.values != "real" or datum.space.get("name") != "tables":
        return 0.0
    return math.fsum(math.log(column["sd"]) for column in datum.space["columns"] if column["kind"] in {"real", "whole"})


def floor_facts(
    datum: SampleSpec, log_prob: float, train: Float[Tensor, "n d"], test: Float[Tensor, "b d"]
) -> dict[str, Any]:
    """A mean log-probability in words, beside independent numbers and, of standardised columns, in the data's units.

    Args:
        datum: what a number is.
        log_prob: mean of a model on the test rows, in nats.
        train: rows whose frequencies or moments the floor has.
        test: the rows judged.
    """
    floor = float(independent(datum, train, test).double().mean())
    better = "above" if log_prob > floor else "NO BETTER than"
    standard = ", columns standardised" if datum.values == "real" else ""
    facts: dict[str, Any] = {
        "verdict": f"{better} independent numbers: {log_prob:.2f} for {floor:.2f} nats a sample{standard}",
        "independent": round(floor, 3),
    }
    if datum.values == "real":
        facts["log_prob_in_data_units"] = round(log_prob - log_volume(datum), 3)
    return facts


class LikelihoodProtocol:
    """How probable a model finds samples.

    Args:
        subject: the model, with ``log_prob``.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.kit = kit_of(about_subject(subject).domain)

    def read(self, path: Path, *, skip_invalid: bool) -> Batch:
        """Read samples of the model's own space, with their classes where the file and the model have the same."""
        found = self.kit.read(path, self.subject, skip_invalid=skip_invalid)
        x, words = self.kit.encode(found, self.subject), [str(word) for word in found.columns.get("class", ())]
        names = [str(name) for name in getattr(self.subject.model, "classes", ())]
        strange = [word for word in dict.fromkeys(words) if word not in names]
        if not words and not names:
            return x
        if names and words and not strange:
            note_reading(path, ["each sample is judged under its class"])
            return x.with_fields(y=torch.tensor([names.index(word) for word in words]))
        why = "the model knows no classes" if not names else "the file has none"
        why = f"the model does not know {strange[0]!r}" if names and strange else why
        note_reading(path, [f"classes are not used: {why}"])
        return x

    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report:
        """Mean log-probability with its standard error, in nats and bits for each number.

        Raises:
            InputError: if there are fewer than two samples, or a goal is given.
        """
        if request.goal.toward:
            raise InputError("the likelihood protocol takes no --toward")
        if len(samples) < 2:
            raise InputError(f"expected at least 2 samples for a standard error, got {len(samples)}")
        model: Any = self.subject.model
        datum: SampleSpec = model.settings.datum
        varying = bool(getattr(model.settings, "variable", False))
        streams = Streams.of(request.seed, len(samples))
        terms: list[Table] = []
        blocks: list[Block] = []
        with torch.no_grad():
            if hasattr(model, "bound_of"):
                found: Bound = model.bound_of(samples, streams, calls=min(CALLS, model.settings.steps))
                log_p = -found.total
                terms.append(_terms(found))
                blocks.append(_curve(found))
            else:
                log_p = model.log_prob(samples, streams)
        numbers = float(samples.mask.sum()) / len(samples) if varying else float(datum.size)
        own, worse = _figures(log_p, numbers), ""
        rows = [["this model", *own]]
        notes = [f"{len(samples)} samples; the model's figure is {BOUNDS[model.bound]}; +- is the standard error"]
        if datum.values != "unit" and not varying:
            source = samples if request.reference is None else self.read(request.reference, skip_invalid=False)
            where = (
                "the evaluated samples themselves, which flatters it" if request.reference is None else "the reference"
            )
            floor = independent(datum, datum.flat(source), datum.flat(samples))
            floor_figures = _figures(floor, numbers)
            rows.append(["independent numbers", *floor_figures])
            notes.append(f"independent numbers: frequencies or moments of {where}")
            if own[0] <= floor_figures[0]:
                worse = f"NO BETTER than independent numbers ({floor_figures[0]:.2f}, moments of {where}): "
        line = f"{worse}mean log-probability {own[0]:.2f} +- {own[1]:.2f} nats a sample, on {len(samples)} samples"
        if log_volume(datum):
            line += f"; {STANDARDISED}; {own[0] - log_volume(datum):.2f} nats in the data's own units"
        remarks = getattr(model, "likelihood_notes", list)()
        columns = ["model", "log-probability [nats]", "+-", "bits a number"]
        table = Table("Likelihood", columns, rows, [*notes, *remarks])
        folder = self.subject.folder or Path(model.kind)
        name = folder.parent.name if folder.name == "artifact" else folder.name
        return Report(f"How probable {name} finds the samples", [line], [table, *terms], blocks)


def likelihood(models: Path | None) -> LikelihoodProtocol:
    """The protocol for a trained model.

    Raises:
        InputError: if no model is named.
        CapabilityError: if the model has no likelihood of images, rows or sequences.
    """
    if models is None:
        raise InputError("the likelihood protocol needs --models MODEL: a run folder or an artifact")
    folder = catalog.resolve(models)
    model: Any = catalog.load_model(folder)
    if "Likelihood" not in catalog.MODELS[model.kind].protocols or not hasattr(model.settings, "datum"):
        able = ", ".join(kind for kind, row in catalog.MODELS.items() if "Likelihood" in row.protocols)
        raise CapabilityError(
            f"a model of kind {model.kind!r} has no likelihood of images or rows; kinds that have one: {able}; "
            f"compare its samples with --protocol two-sample instead"
        )
    return LikelihoodProtocol(Subject(model, folder, torch.device("cpu")))


def _terms(found: Bound) -> Table:
    """The parts of a diffusion model's bound."""
    rows = [[name, value] for name, value in found.parts().items()]
    notes = ["L_T: what is left of the data at the end; L_t: the steps between; L_0: the last step to the levels"]
    notes += [] if found.length is None else ["length: what the length of a sample costs"]
    return Table("Terms of the bound", ["term", "bits a number"], rows, notes)


def _curve(found: Bound) -> Block:
    """The terms over t."""
    points = [(t, bits) for t, bits in found.curve() if bits > 0]
    picture = chart({"L_t": points}, across="t", up="bits a number and step", log_across=True, log_up=True)
    return Block("Where the bits are", picture)


def _figures(log_p: Float[Tensor, " b"], numbers: float) -> tuple[float, float, float]:
    values = log_p.double()
    mean, error = float(values.mean()), float(values.std() / math.sqrt(len(values)))
    return mean, error, -mean / (numbers * math.log(2))
