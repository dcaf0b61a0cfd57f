"""The Python twins of the command line: ``load``, ``fit``, ``sample``, ``steer``, ``evaluate``.

``zsteer.load(MODEL).steer(batch, toward={"binds": "YLQPRTFLL"}, max_edits=4)`` and
``zsteer steer MODEL --input FILE --toward binds=YLQPRTFLL --max-edits 4 --out FILE`` are the same call.
"""

import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from zsteer.core import catalog
from zsteer.core.artifact import Pretrained, read_artifact, settings_from, write_artifact
from zsteer.core.config import read_config
from zsteer.core.goal import Budget, Goal
from zsteer.core.property import Function, Property
from zsteer.errors import CapabilityError, InputError, SettingsError, nearest
from zsteer.evaluate.report import Report
from zsteer.kits import front
from zsteer.kits.base import Kit, Samples, ScreensStarts, Streaming, Subject, TakesLabels
from zsteer.kits.common import own_property
from zsteer.kits.protocols import EvaluatesFiles, EvaluationRequest, protocol_of
from zsteer.kits.registry import About
from zsteer.nets.precision import bfloat16_of, bfloat16_pays
from zsteer.recipes.base import Recipe, recipe_class
from zsteer.steer.options import GeneralOptions
from zsteer.train.distributed import World
from zsteer.train.loop import fit as train_loop
from zsteer.train.run import Run
from zsteer.train.threads import MOST_THREADS, free_threads, threads_of

__all__ = ["Loaded", "device_of", "evaluate", "fit", "load", "property", "resume", "sample", "steer"]

Own = Mapping[str, str | Function | Property]
"""Properties of one's own by name: ``module:function``, a function, or what ``zsteer.property`` gave."""


def device_of(name: str) -> torch.device:
    """The device of a setting: auto, cpu, cuda or cuda:N.

    Raises:
        SettingsError: if there is no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingsError(f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N") from None
    if device.type not in {"cpu", "cuda"}:
        raise SettingsError(f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"--device {name}: no CUDA device is here; use --device cpu or auto")
    return device


@dataclass(frozen=True)
class Loaded:
    """A model ready to use, with the kit of its domain.

    Args:
        folder: the artifact folder that it came from.
        model: the model.
        device: where it is.
    """

    folder: Path
    model: Pretrained
    device: torch.device

    @property
    def about(self) -> About:
        """What may be said about it: options of ``given``, ``toward`` and ``keep``, and methods.

        Raises:
            CapabilityError: if such models neither sample nor steer.
        """
        return front.about_subject(Subject(self.model, self.folder, self.device))

    @cached_property
    def kit(self) -> Kit:
        """What the model's domain offers."""
        return front.kit_of(self.about.domain)

    def _subject(
        self, properties: Own | None = None, *, force: bool = False, reading: Mapping[str, Any] | None = None
    ) -> Subject:
        own = {name: own_property(name, function, self.kit.adapt) for name, function in (properties or {}).items()}
        return Subject(self.model, self.folder, self.device, own, force, dict(reading or {}))

    def read(self, path: str | Path, *, skip_invalid: bool = False, **options: Any) -> Samples:
        """Read a file of the model's domain.

        Args:
            path: the file.
            skip_invalid: leave out what cannot be read.
            **options: of the domain's reader, for example ``column`` of receptors.

        Raises:
            InputError: if it cannot be read.
        """
        return self.kit.read(Path(path), self._subject(), skip_invalid=skip_invalid, **options)

    def usable(self, start: Samples, *, keep: Mapping[str, object] | None = None) -> Samples:
        """Starts that this model can use; the others are lines in ``skipped``.

        Args:
            start: what a steer would start from.
            keep: what must stay of each.

        Raises:
            InputError: if none is left.
        """
        if not isinstance(self.kit, ScreensStarts):
            return start
        return self.kit.usable(self._subject(), start, keep or {})

    def write(self, path: str | Path, samples: Samples, *, overwrite: bool = False) -> None:
        """Write samples by the file's ending.

        Raises:
            OutputError: if the file exists and ``overwrite`` is false.
        """
        self.kit.write(Path(path), samples, overwrite=overwrite)

    def sample(
        self,
        n: int,
        *,
        given: Mapping[str, object] | None = None,
        seed: int = 0,
        force: bool = False,
        **options: object,
    ) -> Samples:
        """Make new samples.

        Args:
            n: how many.
            given: conditions by name.
            seed: sample i of a seed is the same for every ``n``.
            force: go on where a condition is far outside of what the model was trained on, or what is made cannot be
                judged well.
            **options: flags of ``zsteer sample MODEL --help``: steps, solver, best_of ...

        Returns:
            The domain's things with a table about them.

        Raises:
            InputError: if ``n`` is not positive, or a condition does not exist.
        """
        if n < 1:
            raise InputError(f"expected to make at least 1 sample, got n={n}")
        with threads_of(free_threads()):
            return front.sample(self._subject(force=force), n, given=given or {}, options=options, seed=seed)

    def steer(
        self,
        start: object = None,
        *,
        toward: Mapping[str, object],
        given: Mapping[str, object] | None = None,
        keep: Mapping[str, object] | None = None,
        by: str | None = None,
        seed: int = 0,
        **options: object,
    ) -> Samples:
        """Edit or make samples towards a goal.

        Args:
            start: what to change: a path, samples, or the domain's things (a list of sequences, RDKit molecules,
                pixels, columns, a model's batch); None for new samples.
            toward: property -> what is wanted: ``{"logp": 1}``, ``{"qed+": 0.1}``, ``{"y": "2..3"}``.
            given: conditions by name, as for ``sample``.
            keep: what must stay, for example ``{"ends": 3}``, ``{"qed": True}`` or ``{"rest": True}``.
            by: method; the first that fits when None.
            seed: of every random choice.
            **options: ``steer.options.GeneralOptions`` (number, top, max_edits, max_calls, free, examples, properties,
                force), and the flags of the method that ``zsteer steer MODEL --help`` lists.

        Returns:
            The domain's things, best first for each start, with a table about them.

        Raises:
            CapabilityError: if no method fits.
            InputError: if a property or a start does not fit.
            SettingsError: if an option does not exist or does not fit.
        """
        subject, request = self._request(toward, given, keep, by, seed, options)
        with threads_of(free_threads()):
            return front.steer(subject, self._start(start, subject), request)

    def steer_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        toward: Mapping[str, object],
        given: Mapping[str, object] | None = None,
        keep: Mapping[str, object] | None = None,
        by: str | None = None,
        seed: int = 0,
        overwrite: bool = False,
        watch: Callable[[dict[str, Any]], None] = lambda _: None,
        **options: object,
    ) -> Samples:
        """Steer a large file in blocks; started again after an end that came early, it goes on.

        Args:
            source: file of starts.
            out: where the results go.
            toward: as for ``steer``.
            given: conditions by name.
            keep: what must stay.
            by: method; the first that fits when None.
            seed: of every random choice.
            overwrite: replace an output that exists.
            watch: called with progress: ``step`` of ``steps`` starts are done.
            **options: as for ``steer``.

        Returns:
            The figures of the whole; the results are in the file.

        Raises:
            CapabilityError: if the domain reads no file in blocks.
            OutputError: if the output exists, or parts of another run lie beside it.
        """
        subject, request = self._request(toward, given, keep, by, seed, options)
        kit = self.kit
        if not isinstance(kit, Streaming):
            raise CapabilityError(f"{self.about.options.noun} are not steered in blocks; read the file and use steer")
        wanted = {name: value for name, value in vars(request).items() if name not in {"examples", "first"}}
        about = {
            "model": read_config(self.folder)["files"],
            **wanted,
            "reading": subject.reading,
            "force": subject.force,
        }

        def work(start: Samples, first: int) -> Samples:
            return front.steer(subject, start, replace(request, first=first))

        return kit.steer_file(subject, Path(source), Path(out), work, about, overwrite=overwrite, watch=watch)

    def _request(
        self,
        toward: Mapping[str, object],
        given: Mapping[str, object] | None,
        keep: Mapping[str, object] | None,
        by: str | None,
        seed: int,
        options: Mapping[str, object],
    ) -> tuple[Subject, front.Request]:
        """What is wanted, in the words of the front door.

        Raises:
            SettingsError: if an option does not fit.
        """
        own = {name: value for name, value in options.items() if name in GeneralOptions.model_fields}
        general = settings_from(GeneralOptions, own, where=f"steer {self.folder.name}")
        rest = {name: value for name, value in options.items() if name not in own}
        column = {} if general.column is None else {"column": general.column}
        reading = {"skip_invalid": general.skip_invalid, **column}
        subject = self._subject(general.properties, force=general.force, reading=reading)
        goal = Goal(dict(toward), dict(given or {}), dict(keep or {}), general.free)
        examples = None
        if general.examples is not None and isinstance(self.kit, TakesLabels):
            examples = self.kit.read_examples(general.examples, subject)
            subject = replace(subject, properties={**self.kit.labelled(examples), **subject.properties})
        elif general.examples is not None:
            examples = self.kit.read(general.examples, subject)
        budget = Budget(general.max_calls, general.max_edits, general.top)
        return subject, front.Request(goal, by, general.number, budget, seed, rest, examples)

    def _start(self, start: object, subject: Subject) -> Samples | None:
        if start is None or isinstance(start, Samples):
            return start
        if isinstance(start, Path):
            return self.kit.read(start, subject, **subject.reading)
        return self.kit.take(start, subject)


def load(model: str | Path, *, device: str = "auto") -> Loaded:
    """Load a model.

    Args:
        model: name of a shipped artifact, a run folder, or an artifact folder.
        device: auto, cpu, cuda or cuda:N.

    Returns:
        The model with its kit.

    Raises:
        InputError: if there is no such model.
        ArtifactError: if its folder is damaged.
    """
    folder = catalog.resolve(model)
    place = device_of(device)
    loaded: Pretrained = catalog.load_model(folder)
    if isinstance(loaded, torch.nn.Module):
        loaded.to(place)
    return Loaded(folder, loaded, place)


def fit(
    recipe: str | Recipe,
    *,
    out: str | Path,
    data: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    overwrite: bool = False,
    watch: Callable[[dict[str, Any]], None] | None = None,
    **keys: Any,
) -> Loaded | None:
    """Train a model by a recipe, into a run folder.

    Args:
        recipe: its name, with its keys as further arguments, or a recipe.
        out: run folder to make.
        data: folder of the data; the environment variable ZSTEER_DATA when None.
        device: auto, cpu, cuda or cuda:N.
        devices: number of processes that torchrun has started.
        overwrite: replace a run folder that exists.
        watch: called with each record of the loop.
        **keys: keys of the recipe.

    Returns:
        The trained model; None in processes other than the first.

    Raises:
        SettingsError: if the recipe or a key does not exist.
        OutputError: if the folder exists and ``overwrite`` is false.
    """
    if isinstance(recipe, str):
        cls = recipe_class(recipe)
        recipe = settings_from(cls, keys, where=f"recipe {recipe}")
    elif keys:
        raise SettingsError(f"a recipe is complete; leave {', '.join(keys)} away or give the recipe's name")
    world = World.join(devices)
    if world.rank == 0:
        Run.check_free(Path(out), overwrite=overwrite)
    where = data if data is not None else os.environ.get("ZSTEER_DATA") or None
    recipe = recipe.resolve(None if where is None else Path(where))
    place, folder = device_of(device), Path(out)
    machine: dict[str, Any] = {"device": device, "threads": free_threads(), "bfloat16": bfloat16_pays(place)}
    try:
        with threads_of(machine["threads"]), bfloat16_of(machine["bfloat16"]):
            experiment = recipe.build(None if where is None else Path(where), place)
            if world.rank == 0:
                values = {**_as_kept(recipe), "data": None if where is None else str(where), **machine}
                Run.new(folder, values, overwrite=overwrite).keep_lines(experiment.lines)
                if watch is not None and experiment.lines:
                    watch({"lines": experiment.lines})
            world.wait()
            run = Run.existing(folder)
            with run.hold() if world.rank == 0 else nullcontext():
                return _train(recipe, experiment, run, world, device, watch)
    finally:
        world.leave()


def resume(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    device: str = "auto",
    devices: int = 1,
    watch: Callable[[dict[str, Any]], None] | None = None,
) -> Loaded | None:
    """Go on with a run from its newest checkpoint.

    A finished run is loaded as it is, unless its ``recipe.yaml`` was edited since, say to more steps: it goes on too.

    Args:
        folder: the run folder.
        data: folder of the data; the one that the run was started with when None.
        device: auto, cpu, cuda or cuda:N.
        devices: number of processes that torchrun has started.
        watch: called with each record of the loop.

    Returns:
        The trained model; None in processes other than the first.

    Raises:
        InputError: if there is no such run.
    """
    run = Run.existing(Path(folder))
    run.check_idle()
    values = run.recipe()
    cls = recipe_class(str(values.pop("name", "")))
    where = data if data is not None else values.pop("data", None)
    count, bfloat16 = values.pop("threads", None), values.pop("bfloat16", None)
    if where is not None and not isinstance(where, (str, Path)):
        raise InputError(f"{run.folder / 'recipe.yaml'}: expected a folder under data, got {where!r}")
    if count is not None and (not isinstance(count, int) or not 1 <= count <= MOST_THREADS):
        raise InputError(f"{run.folder / 'recipe.yaml'}: expected 1 to {MOST_THREADS} threads, got {count!r}")
    if bfloat16 is not None and not isinstance(bfloat16, bool):
        raise InputError(f"{run.folder / 'recipe.yaml'}: expected true or false under bfloat16, got {bfloat16!r}")
    count = free_threads() if count is None else count
    values = {key: value for key, value in values.items() if key not in {"data", "device"}}
    recipe = settings_from(cls, values, where=str(run.folder / "recipe.yaml"))
    if run.finished and _as_kept(recipe).items() >= read_artifact(run.artifact).origin.recipe.items():
        return load(run.folder, device=device)
    world = World.join(devices)
    try:
        place = device_of(device)
        with threads_of(count), bfloat16_of(bfloat16_pays(place) if bfloat16 is None else bfloat16):
            experiment = recipe.build(None if where is None else Path(where), place)
            with run.hold() if world.rank == 0 else nullcontext():
                return _train(recipe, experiment, run, world, device, watch)
    finally:
        world.leave()


def _train(
    recipe: Recipe,
    experiment: Any,
    run: Run,
    world: World,
    device: str,
    watch: Callable[[dict[str, Any]], None] | None,
) -> Loaded | None:
    model = experiment.model
    if experiment.source is not None:
        model = train_loop(
            model, experiment.source, experiment.plan, seed=recipe.seed, run=run, world=world, watch=watch
        )
    if world.rank != 0:
        return None
    trained = experiment.finish(model)
    own = [_flag(key, value) for key, value in recipe.model_dump(mode="json", exclude_defaults=True).items()]
    command = " ".join(["zsteer train", recipe.name, *own, "--data FOLDER --out FOLDER"])
    trained.origin = replace(trained.origin, recipe=_as_kept(recipe), command=command)
    write_artifact(run.artifact, trained.artifact(), overwrite=True)
    return load(run.folder, device=device)


def _as_kept(recipe: Recipe) -> dict[str, Any]:
    """A recipe as an artifact keeps it."""
    return {"name": recipe.name, **recipe.model_dump(mode="json")}


def _flag(key: str, value: object) -> str:
    """A key of a recipe as the command line takes it."""
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


def sample(
    model: str | Path,
    n: int,
    *,
    given: Mapping[str, object] | None = None,
    seed: int = 0,
    device: str = "auto",
    force: bool = False,
    **options: Any,
) -> Samples:
    """Make new samples with a model: ``load(model).sample(n, given=...)``."""
    return load(model, device=device).sample(n, given=given, seed=seed, force=force, **options)


def steer(
    model: str | Path,
    start: object = None,
    *,
    toward: Mapping[str, object],
    given: Mapping[str, object] | None = None,
    keep: Mapping[str, object] | None = None,
    by: str | None = None,
    seed: int = 0,
    device: str = "auto",
    **options: object,
) -> Samples:
    """Edit or make samples towards a goal: ``load(model).steer(start, toward=...)``."""
    loaded = load(model, device=device)
    return loaded.steer(start, toward=toward, given=given, keep=keep, by=by, seed=seed, **options)


def evaluate(
    samples: object,
    *,
    protocol: str,
    toward: Mapping[str, object] | None = None,
    models: str | Path | None = None,
    reference: str | Path | None = None,
    skip_invalid: bool = False,
    pgen: bool = False,
    seed: int = 0,
    properties: Own | None = None,
    **options: Any,
) -> Report:
    """Say how good samples are.

    Args:
        samples: a table that a kit read, designs, or a path.
        protocol: name of the protocol, for example ``"tcr"``.
        toward: what they should be, for example ``{"binds": "YLQPRTFLL"}``.
        models: folder with the judges, or the model that is asked; the shipped ones when None.
        reference: file or folder of real samples to compare with, for the protocols that compare.
        skip_invalid: leave out rows of a file that cannot be read; the report counts them.
        pgen: add the share above a generation probability, by the separate program OLGA.
        seed: of every random choice.
        properties: your own, for the protocol ``properties``: name -> ``module:function`` or a function.
        **options: ``column`` that holds the receptors, for the protocol ``tcr``; ``watch``, called with progress.

    Returns:
        A report.

    Raises:
        InputError: if there is no such protocol.
        SettingsError: if there is no such option.
        MissingExtraError: if ``pgen`` is wanted and OLGA is not installed.
    """
    for name in options:
        if name not in {"column", "watch"}:
            raise SettingsError(nearest(name, ("column", "watch"), what="option"))
    column, watch = options.get("column"), options.get("watch") or _quiet
    named = {} if column is None else {"column": column}
    reading: dict[str, Any] = {"skip_invalid": skip_invalid, **named}
    of_reference = None if reference is None else Path(reference)
    goal = Goal(toward=dict(toward or {}))
    request = EvaluationRequest(goal, of_reference, pgen, seed, properties or {}, reading, watch)
    if properties and protocol != "properties":
        raise InputError(f"the protocol {protocol} takes no property of your own; --protocol properties does")
    judge = protocol_of(protocol)(None if models is None else Path(models))
    if named and "column" not in signature(judge.read).parameters:
        raise InputError(f"the protocol {protocol} reads no column by its name; omit --column {column}")
    if isinstance(samples, str | Path):
        if isinstance(judge, EvaluatesFiles):
            return judge.evaluate_file(Path(samples), request)
        samples = judge.read(Path(samples), **reading)
    return judge.evaluate(samples, request)


def _quiet(record: dict[str, Any]) -> None:
    del record


def property(  # noqa: A001 - the public name is zsteer.property; nothing below uses the decorator
    name: str,
    function: Function,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    spread: float = 1.0,
    tolerance: float = 0.1,
) -> Property:
    """A property of your own, for ``steer(..., properties={name: ...})`` and ``evaluate``.

    Args:
        name: as goals name it.
        function: things as other packages know them (RDKit molecules, texts, pixels, columns) -> a number each.
        unit: of the numbers.
        low: least value that a thing can have.
        high: greatest value that a thing can have.
        spread: typical standard deviation; several gaps add up in this unit.
        tolerance: how near a value counts as reached.
    """
    return Property(name, function, unit=unit, low=low, high=high, spread=spread, tolerance=tolerance)
