"""The kit of images, in grey levels or cut into a few: pixels, properties of pixels, classes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.core import catalog
from zsteer.core.batch import Batch
from zsteer.core.goal import Term, Trail
from zsteer.core.objective import Part, Target
from zsteer.core.options import Options
from zsteer.core.property import Property
from zsteer.core.protocols import Conditional
from zsteer.domains.images import files
from zsteer.domains.images.labels import Labelled, is_labels, read_labels
from zsteer.domains.images.pictures import Shaping
from zsteer.domains.images.properties import FACES, PROPERTIES
from zsteer.domains.images.segments import Cut
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import found_property, note_reading, numeric_target, results_of
from zsteer.kits.images.options import OPTIONS
from zsteer.predictors.factor_reader import FactorReader
from zsteer.predictors.image_classifier import ImageClassifier

__all__ = ["FEATURES", "GUIDE", "ImageKit", "shipped_features"]

FEATURES, GUIDE = "fashion-features", "fashion-guide"
"""Names of the shipped feature net, which also tells classes, and of the classifier that pulls at them."""


@cache
def shipped_features() -> ImageClassifier | None:
    """The shipped feature net; None where the package came without it."""
    return catalog.load_model(FEATURES) if FEATURES in catalog.shipped() else None


class ImageKit:
    """What images offer a user."""

    domain: str = "images"
    options: Options = OPTIONS

    def space(self, description: Mapping[str, Any]) -> ImageSpace | Cut:
        """Images, or pictures cut into grey levels.

        Raises:
            CapabilityError: if the description is of something else.
        """
        if description.get("name") == "segments":
            return Cut.of(dict(description))
        if description.get("name") == "images":
            return ImageSpace.of(dict(description))
        raise CapabilityError(f"the model keeps no description of images (it says {description.get('name')!r})")

    def read(self, path: Path, subject: Subject | None = None, *, skip_invalid: bool = False) -> Samples:
        """Read pictures by the path: a folder, an array, a file, or a table of attributes that names them.

        For a model they are made alike as in its training.
        """
        shaping = None if subject is None else self.space(subject.model.space).reading
        if is_labels(path):
            return _of_labels(path, read_labels(path, skip_invalid=skip_invalid, shaping=shaping), shaping)
        found = files.read(path, skip_invalid=skip_invalid, shaping=shaping)
        note_reading(path, [*_made(shaping), *found.notes], found.skipped, "pictures")
        columns = {} if found.labels is None else {"class": [found.classes[k] for k in found.labels.tolist()]}
        n = len(found.pixels)
        return Samples("images", found.pixels, columns, skipped=tuple(found.skipped), source=str(path), count=n)

    def read_examples(self, path: Path, subject: Subject) -> Samples:
        """Pictures with attributes: a table beside them, or a folder of a folder for each class."""
        skip = bool(subject.reading.get("skip_invalid", False))
        if is_labels(path) or path.is_dir():
            shaping = self.space(subject.model.space).reading
            return _of_labels(path, read_labels(path, skip_invalid=skip, shaping=shaping), shaping)
        return self.read(path, subject, skip_invalid=skip)

    def labelled(self, examples: Samples) -> Mapping[str, Property]:
        """A property for each attribute of labelled examples, read by a head alone."""
        found: dict[str, Property] = {}
        for name, column in examples.columns.items():
            if name == "class":  # of a file of pictures with classes: a name, and no number
                continue
            values = np.array(column, dtype=np.float64)
            low, high = float(np.nanmin(values)), float(np.nanmax(values))
            spread, near = float(np.nanstd(values)), 0.05 * (high - low)
            found[name] = Property(name, spread=spread, tolerance=near, help=f"of {examples.source}")
        return found

    def take(self, things: object, subject: Subject) -> Samples:
        """Pixels 0 ... 255, or a batch of the model, as samples.

        Raises:
            InputError: if they are something else.
        """
        pixels = self.space(subject.model.space).decode(things) if isinstance(things, Batch) else np.asarray(things)
        return Samples("images", pixels, count=len(pixels))

    def write(self, path: Path, samples: Samples, *, overwrite: bool) -> None:
        """Write pictures by the file's ending."""
        labels = [str(name) for name in samples.columns.get("class", ())]
        files.write(path, samples.items, overwrite=overwrite, labels=labels)

    def check_ending(self, path: Path) -> None:
        """Refuse an ending that cannot be written, before any work is done."""
        files.check_ending(path)

    def encode(self, samples: Samples, subject: Subject) -> Batch:
        """Pixels as the model holds them.

        Raises:
            InputError: if they are of another size or colour; the file is named.
        """
        space = self.space(subject.model.space)
        try:
            return space.encode(samples.items)
        except InputError as problem:
            where = f"{samples.source}: " if samples.source else ""
            raise InputError(f"{where}{problem}{_way_out(samples.items, space)}") from None

    def things(self, subject: Subject, x: Batch) -> Float[Tensor, "b c h w"]:
        """Pixels in [0, 1]."""
        space = self.space(subject.model.space)
        return (space.paint(x) if isinstance(space, Cut) else x)["x"].detach().cpu().double().clamp(0, 1)

    def things_of(self, samples: Samples) -> Float[Tensor, "b c h w"]:
        """Pixels of a file in [0, 1]."""
        pixels = torch.from_numpy(np.ascontiguousarray(samples.items)).double() / 255
        return pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)

    def adapt(self, things: Float[Tensor, "b c h w"]) -> Any:
        """What a property of one's own takes: pixels 0 ... 255."""
        pixels = (things * 255).round().to(torch.uint8).numpy()
        return pixels[:, 0] if pixels.shape[1] == 1 else pixels.transpose(0, 2, 3, 1)

    def properties(self, subject: Subject) -> Mapping[str, Property]:
        """Properties of pixels, the attributes that the model has heads of, and the user's own."""
        return {**PROPERTIES, **_attributes(subject), **subject.properties}

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]:
        """Numbers of properties, or a class.

        Raises:
            InputError: if there is no such property or class.
        """
        known = self.properties(subject)
        return tuple(
            self._class(subject, term)
            if term.name == "class"
            else _like(term)
            if term.name == "like"
            else numeric_target(term, found_property(term, known, ["class", "like"]))
            for term in terms
        )

    def _class(self, subject: Subject, term: Term) -> Target:
        if term.relation == "change":
            raise InputError(f"--toward class takes a name, got a change by {term.value}")
        name, net = str(term.value), shipped_features()
        space = self.space(subject.model.space)
        own = next((option.choices for option in subject.model.options if option.name == "class"), ())
        function, guide = None, ""
        fits = isinstance(space, ImageSpace) and net is not None and net.settings.datum.shape == space.shape
        # Classes of other names are other classes: a digit is measured and pulled at by no net of clothes.
        if fits and net is not None and own in {(), tuple(net.settings.classes)}:
            function, guide = _of_class(net, name), GUIDE if isinstance(subject.model, Conditional) else ""
        about = "log-odds of the class by a feature net that pulls at nothing"
        quantity = Property("class", function, spread=2.0, help=about, guide=guide, argument=name)
        return Target(quantity, sign=-1 if term.relation == "avoid" else 1)

    def parts(self, subject: Subject, keep: Mapping[str, object], start: Samples | None) -> tuple[Part, ...]:
        """None: nothing of an image stays in place yet."""
        del subject, start
        self.options.parse("keep", keep)
        return ()

    def problems(self, subject: Subject, x: Batch) -> Sequence[str] | None:
        """Every image is one."""
        del subject, x
        return None

    def samples(
        self, subject: Subject, x: Batch, facts: Mapping[str, Any], given: Mapping[str, object] = NOTHING
    ) -> Samples:
        """What a model made, as pixels."""
        pixels = self.space(subject.model.space).decode(x.to("cpu"))
        size = f"{pixels.shape[2]} x {pixels.shape[1]}"
        lines = [f"{len(pixels)} images of {size} pixels; pass --out FILE.png (a grid), .gif or .npz"]
        lines += [f"{name}: {value}" for name, value in facts.items()]
        columns = _classes(subject, given, len(pixels))
        return Samples("images", pixels, columns, dict(facts), lines, x.to("cpu"), count=len(pixels))

    def results(self, subject: Subject, trail: Trail, start: Samples | None, targets: Sequence[Target]) -> Samples:
        """What a steer found, with each property wanted, and what else has changed."""
        found = results_of(self, subject, trail, start, targets)
        moved = _moved(trail, [target.quantity.name for target in targets])
        return replace(found, facts={**found.facts, **({"others": moved} if moved else {})})


def _classes(subject: Subject, given: Mapping[str, object], n: int) -> dict[str, list[str]]:
    """Class of each image that was made under one; nothing where none was given."""
    from zsteer.models.diffusion.conditioned import class_indices

    names = getattr(subject.model, "classes", ())
    if not names or given.get("class") is None:
        return {}
    return {"class": [str(names[k]) for k in class_indices(names, given["class"], n).tolist()]}


def _of_class(net: ImageClassifier, name: str) -> Any:
    from zsteer.models.diffusion.conditioned import class_indices

    def log_odds(things: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
        index = class_indices(net.settings.classes, name, len(things))
        log_p = net.logits(Batch({"x": things.float()})).log_softmax(1).gather(1, index[:, None])[:, 0].double()
        return log_p - torch.log1p(-log_p.exp().clamp(max=1 - 1e-9))

    return log_odds


def _made(shaping: Shaping | None) -> list[str]:
    """What is done to pictures of another size than the model's."""
    words = "" if shaping is None else shaping.words
    return [f"pictures of another size are made as in the model's training: {words}"] if words else []


def _of_labels(path: Path, found: Labelled, shaping: Shaping | None) -> Samples:
    note_reading(path, [*_made(shaping), *found.notes], found.skipped, "pictures")
    columns = {name: values.tolist() for name, values in found.values.items()}
    return Samples("images", found.pixels, columns, skipped=found.skipped, source=str(path), count=len(found.pixels))


def _way_out(pixels: Any, space: ImageSpace | Cut) -> str:
    """What to do about pictures that a model does not take."""
    if getattr(pixels, "dtype", None) != np.uint8 or not isinstance(space, ImageSpace):
        return ""
    channels, height, width = space.shape
    (high, wide), colours = pixels.shape[1:3], pixels.shape[3] if pixels.ndim == 4 else 1
    steps = [f"save it in {'colour' if channels == 3 else 'grey'}"] if colours != channels else []
    if (high, wide) != (height, width):
        steps.append("turn it" if (wide, high) == (height, width) else f"resize it to {width} x {height}")
        if high * width != wide * height and high != wide:
            steps[-1] = f"cut it to the shape of {width} x {height}, and resize it"
    return f"; {', and '.join(steps)}" if steps else ""


@cache
def _reader(name: str) -> FactorReader | None:
    """A reader of factors by name; None where there is none, so that heads read alone."""
    known = name in catalog.shipped() or Path(name).is_dir()
    return catalog.load_model(name, kind=FactorReader.kind) if name and known else None


def _attributes(subject: Subject) -> dict[str, Property]:
    """The attributes that a model has heads of, measured by its reader where there is one."""
    heads = getattr(subject.model, "heads", None)
    if heads is None:
        return {}
    net = _reader(getattr(subject.model.settings, "reader", ""))
    found: dict[str, Property] = {}
    for name in heads.names:
        plain = FACES.get(name, Property(name, help="an attribute that the model has a head of"))
        reads = net is not None and name in net.settings.factors
        found[name] = replace(plain, function=_read_by(net, name)) if net is not None and reads else plain
    return found


def _read_by(net: FactorReader, name: str) -> Any:
    column = net.column(name)
    return lambda things: net.read(things)[:, column]


def _like(term: Term) -> Target:
    """Towards pictures that the user gives."""
    if term.relation != "is":
        raise InputError("--toward like=FOLDER names pictures that have what is wanted; it takes no other sign")
    about = "log-odds of being like the pictures given, as a head tells them from others"
    return Target(Property("like", spread=4.0, help=about), sign=1)


def _moved(trail: Trail, steered: Sequence[str]) -> list[str]:
    """How far the properties that were not steered have moved, the farthest first."""
    rows: list[tuple[float, str]] = []
    for name, value in trail.scores.items():
        start = trail.scores.get(f"start_{name}")
        if start is None or name in steered:
            continue
        change = (value - start).double()
        mean = float(change.nanmean())
        rows.append((float(change.abs().nanmean()), f"{name} {mean:+.3f} from {float(start.double().nanmean()):.3f}"))
    return [text for _, text in sorted(rows, reverse=True)]
