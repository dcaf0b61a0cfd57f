"""The Python twins of the command line: ``load``, ``fit``, ``sample``, ``steer``, ``evaluate``.

``zsteer.load(MODEL).steer(batch, toward={"binds": "YLQPRTFLL"}, max_edits=4)`` and
``zsteer steer MODEL --input FILE --toward binds=YLQPRTFLL --max-edits 4 --out FILE`` are the same call.
"""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from zsteer.core import catalog
from zsteer.core.artifact import read_artifact, settings_from, write_artifact
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.errors import InputError, SettingsError
from zsteer.evaluate.report import Report
from zsteer.kits import base as kits
from zsteer.kits.options import knobs_of
from zsteer.recipes.base import Recipe, recipe_class
from zsteer.train.distributed import World
from zsteer.train.loop import fit as train_loop
from zsteer.train.run import Run
from zsteer.train.threads import free_threads, threads_of

__all__ = ["Loaded", "device_of", "evaluate", "fit", "load", "resume", "sample", "steer"]


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
    model: Any
    device: torch.device

    @cached_property
    def kit(self) -> Any:
        """What the model's domain offers; companions are looked for beside the artifact, then among the shipped."""
        return kits.kit_of(self.model.kind)(self.model, self.folder, self.device)

    def sample(self, n: int, *, given: Mapping[str, object] | None = None, seed: int = 0) -> Any:
        """Make new samples.

        Args:
            n: how many.
            given: conditions by name.
            seed: sample i of a seed is the same for every ``n``.

        Returns:
            The domain's designs: sequences with names and scores.

        Raises:
            InputError: if ``n`` is not positive, or a condition does not exist.
        """
        if n < 1:
            raise InputError(f"expected to make at least 1 sample, got n={n}")
        with threads_of(free_threads()):
            return self.kit.sample(n, dict(given or {}), Streams.of(seed, n, device=self.device))

    def steer(
        self,
        start: Any = None,
        *,
        toward: Mapping[str, object],
        given: Mapping[str, object] | None = None,
        keep: Mapping[str, object] | None = None,
        max_edits: int | None = None,
        top: int = 1,
        seed: int = 0,
        **knobs: Any,
    ) -> Any:
        """Edit or make samples towards a property.

        Args:
            start: what to edit: a batch, a table that the kit read, or a list of sequences; None for new samples.
            toward: property -> wanted value, for example ``{"binds": "YLQPRTFLL"}`` or ``{"like": "binders.tsv"}``.
            given: conditions by name, as for ``sample``.
            keep: what must stay, for example ``{"ends": 3}``.
            max_edits: changes of each start, or None for no limit.
            top: results for each start.
            seed: of every random choice.
            **knobs: the model's own knobs; ``zsteer steer MODEL --help`` lists them.

        Returns:
            The domain's designs, best first for each start.

        Raises:
            SettingsError: if a knob does not exist or does not fit.
        """
        cls = knobs_of(self.model.kind)
        chosen = settings_from(cls, knobs, where=f"steer {self.folder.name}")
        goal = Goal(toward=dict(toward), given=dict(given or {}), keep=dict(keep or {}))
        rng = Streams.of(seed, 1, device=self.device)
        with threads_of(free_threads()):
            return self.kit.steer(start, goal, Budget(edits=max_edits, top=top), chosen, rng)


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
    artifact = read_artifact(folder)
    loaded = catalog.model_class(artifact.kind).from_artifact(artifact, where=str(folder))
    return Loaded(folder, loaded.to(place) if hasattr(loaded, "to") else loaded, place)


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
    where = data if data is not None else os.environ.get("ZSTEER_DATA")
    threads = free_threads()
    values = {
        "name": recipe.name,
        **recipe.model_dump(mode="json"),
        "data": None if where is None else str(where),
        "device": device,
        "threads": threads,
    }
    folder = Path(out)
    try:
        with threads_of(threads):
            experiment = recipe.build(None if where is None else Path(where), device_of(device))
            if world.rank == 0:
                Run.new(folder, values, overwrite=overwrite)
            world.wait()
            return _train(recipe, experiment, Run.existing(folder), world, device, watch)
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
    values = run.recipe()
    cls = recipe_class(str(values.pop("name", "")))
    where = data if data is not None else values.pop("data", None)
    count = values.pop("threads", None)
    count = count if isinstance(count, int) and count > 0 else free_threads()
    values = {key: value for key, value in values.items() if key not in {"data", "device"}}
    recipe = settings_from(cls, values, where=str(run.folder / "recipe.yaml"))
    if run.finished and _told(recipe).items() >= read_artifact(run.artifact).origin.recipe.items():
        return load(run.folder, device=device)
    world = World.join(devices)
    try:
        with threads_of(count):
            experiment = recipe.build(None if where is None else Path(where), device_of(device))
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
    trained.origin = replace(trained.origin, recipe=_told(recipe), command=command)
    write_artifact(run.artifact, trained.artifact(), overwrite=True)
    return load(run.folder, device=device)


def _told(recipe: Recipe) -> dict[str, Any]:
    """A recipe as an artifact keeps it."""
    return {"name": recipe.name, **recipe.model_dump(mode="json")}


def _flag(key: str, value: object) -> str:
    """A key of a recipe as the command line takes it."""
    name = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {shlex.quote(str(value))}"


def sample(
    model: str | Path, n: int, *, given: Mapping[str, object] | None = None, seed: int = 0, device: str = "auto"
) -> Any:
    """Make new samples with a model: ``load(model).sample(n, given=...)``."""
    return load(model, device=device).sample(n, given=given, seed=seed)


def steer(
    model: str | Path, start: Any = None, *, toward: Mapping[str, object], device: str = "auto", **options: Any
) -> Any:
    """Edit or make samples towards a property: ``load(model).steer(start, toward=...)``."""
    return load(model, device=device).steer(start, toward=toward, **options)


def evaluate(
    samples: Any,
    *,
    protocol: str,
    toward: Mapping[str, object] | None = None,
    models: str | Path | None = None,
    reference: str | Path | None = None,
    skip_invalid: bool = False,
    pgen: bool = False,
    seed: int = 0,
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

    Returns:
        A report.

    Raises:
        InputError: if there is no such protocol.
        MissingExtraError: if ``pgen`` is wanted and OLGA is not installed.
    """
    kit = kits.protocol_of(protocol).judging(None if models is None else Path(models))
    table = kit.read(Path(samples), skip_invalid=skip_invalid) if isinstance(samples, str | Path) else samples
    goal = Goal(toward=dict(toward or {}))
    against = None if reference is None else Path(reference)
    return kit.evaluate(table, kits.Ask(goal, reference=against, pgen=pgen, seed=seed))
