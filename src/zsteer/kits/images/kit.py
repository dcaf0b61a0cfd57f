"""The kit of images, in grey levels or cut into a few: pixels, properties of pixels, classes."""

from collections.abc import Mapping, Sequence
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
from zsteer.domains.images.properties import PROPERTIES
from zsteer.domains.images.segments import Cut
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import CapabilityError, InputError
from zsteer.kits.base import NOTHING, Samples, Subject
from zsteer.kits.common import found_property, note_reading, numeric_target, results_of
from zsteer.kits.images.options import OPTIONS
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
        """Read pictures by the path: a folder, an array or a file; for a model, made alike as in its training."""
        shaping = None if subject is None else self.space(subject.model.space).reading
        found = files.read(path, skip_invalid=skip_invalid, shaping=shaping)
        words = "" if shaping is None else shaping.words
        made = [f"pictures of another size are made as in the model's training: {words}"] if words else []
        note_reading(path, [*made, *found.notes], found.skipped, "pictures")
        columns = {} if found.labels is None else {"class": [found.classes[k] for k in found.labels.tolist()]}
        n = len(found.pixels)
        return Samples("images", found.pixels, columns, skipped=tuple(found.skipped), source=str(path), count=n)

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
        """Pixels as the model holds them."""
        return self.space(subject.model.space).encode(samples.items)

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
        """Properties of pixels, and the user's own."""
        return {**PROPERTIES, **subject.properties}

    def targets(self, subject: Subject, terms: Sequence[Term]) -> tuple[Target, ...]:
        """Numbers of properties, or a class.

        Raises:
            InputError: if there is no such property or class.
        """
        known = self.properties(subject)
        return tuple(
            self._class(subject, term)
            if term.name == "class"
            else numeric_target(term, found_property(term, known, ["class"]))
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
        """What a steer found, with each property wanted."""
        return results_of(self, subject, trail, start, targets)


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
