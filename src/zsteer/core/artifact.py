"""An artifact is a folder: ``model.safetensors`` + ``config.json`` + ``README.md``, and no pickle.

``config.json`` holds the kind of model, its settings, and where it comes from (recipe, data hash, metrics), with the
SHA-256 of every other file, so that a damaged download is named instead of loaded. Tensors may be stored in bfloat16;
they are float32 in memory. ``Pretrained`` adds ``save_pretrained``, ``from_pretrained`` and ``push_to_hub`` through
huggingface_hub's mixin.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
from huggingface_hub import ModelHubMixin
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zsteer.core.config import CONFIG, FORMAT, read_config
from zsteer.core.files import new_folder
from zsteer.core.options import Option
from zsteer.core.rng import initialised
from zsteer.core.version import VERSION
from zsteer.errors import ArtifactError, SettingsError, nearest

S = TypeVar("S", bound=BaseModel)
P = TypeVar("P", bound="Pretrained")

__all__ = [
    "Artifact",
    "Offer",
    "Origin",
    "Pretrained",
    "Settings",
    "read_artifact",
    "read_config",
    "settings_from",
    "write_artifact",
]

WEIGHTS = "model.safetensors"
CARD = "README.md"


class Settings(BaseModel):
    """Base of what a model is built from: frozen, validated, nothing beyond the named fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Origin:
    """Where a trained model comes from, for its card.

    Args:
        recipe: name and settings of the experiment.
        data: name, subset, rows, SHA-256 and licence of the training data.
        metrics: measured figures by name.
        command: the command that makes it again.
        limits: what it should not be used for.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    limits: str = ""


@dataclass(frozen=True)
class Offer:
    """What a user may say about a model, readable without loading it.

    Args:
        space: how its samples are read and written; its name decides the domain.
        options: conditions of ``--given`` and flags of its sampling, as data.
    """

    space: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Artifact:
    """The content of an artifact folder.

    Args:
        kind: kind of model, a name of the catalog.
        settings: what the model was built from.
        tensors: weights and other state by name.
        texts: further text files by name.
        origin: where it comes from.
        offer: what a user may say about the model.
    """

    kind: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    texts: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)
    offer: Offer = field(default_factory=Offer)


class _Bounded(TorchDispatchMode):
    """Refuses a tensor far larger than any that is stored: settings that do not belong to the weights."""

    def __init__(self, most: int, where: str) -> None:
        super().__init__()
        self.most, self.where = most, where

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        if func in _MAKERS and math.prod(args[0]) > self.most:
            shape = " x ".join(map(str, args[0]))
            raise ArtifactError(
                f"{self.where}: the settings ask for a tensor of {shape} and the weights have none of that size; "
                "fetch or train it again"
            )
        return func(*args, **(kwargs or {}))


_MAKERS = frozenset(getattr(torch.ops.aten, name).default for name in ("zeros", "ones", "full", "rand", "randn")) | {
    torch.ops.aten.empty.memory_format
}
MARGIN, SPARE = 4, 10_000_000
"""Of tensors that are made while a model is built: times the largest that is stored, and numbers beyond."""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_artifact(
    folder: Path, artifact: Artifact, *, overwrite: bool = False, dtype: torch.dtype | None = None
) -> None:
    """Write an artifact folder; it appears whole or not at all.

    Args:
        folder: where to.
        artifact: what to write.
        overwrite: replace a folder that exists.
        dtype: store floating-point weights in this type, for example bfloat16; None keeps each as it is.

    Raises:
        OutputError: if the folder exists and ``overwrite`` is false, or the disk refuses.
    """
    with new_folder(folder, overwrite=overwrite) as partial:
        _fill(partial, artifact, dtype)


def _fill(folder: Path, artifact: Artifact, dtype: torch.dtype | None) -> None:
    def stored(value: Tensor) -> Tensor:
        smaller = dtype is not None and value.is_floating_point()
        return value.detach().to("cpu", dtype if smaller else value.dtype).clone().contiguous()

    save_file({name: stored(value) for name, value in artifact.tensors.items()}, folder / WEIGHTS)
    for name, text in artifact.texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    files = {path.name: _digest(path) for path in sorted(folder.iterdir()) if path.name not in {CONFIG, CARD}}
    config = {
        "format": FORMAT,
        "zsteer": VERSION,
        "kind": artifact.kind,
        "settings": dict(artifact.settings),
        "origin": asdict(artifact.origin),
        "space": dict(artifact.offer.space),
        "options": [asdict(option) for option in artifact.offer.options],
        "files": files,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / CARD).write_text(_card(folder.name, artifact), encoding="utf-8")


def read_artifact(folder: Path) -> Artifact:
    """Read an artifact folder and check every file against its SHA-256.

    Raises:
        ArtifactError: if a file is missing, truncated, altered, or no safetensors file.
    """
    config = read_config(folder)
    texts: dict[str, str] = {}
    if WEIGHTS not in config["files"]:
        raise ArtifactError(f"{folder / CONFIG} names no sum of {WEIGHTS}; fetch or train the artifact again")
    for name, expected in config["files"].items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise ArtifactError(f"{folder} lacks {name}; fetch or train the artifact again")
        if _digest(path) != expected:
            raise ArtifactError(f"{path} is damaged: its SHA-256 differs from {CONFIG}; fetch or train it again")
        if name != WEIGHTS:
            try:
                texts[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                raise ArtifactError(f"{path} is no UTF-8 text; fetch or train the artifact again") from None
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{folder / WEIGHTS} cannot be read ({error}); fetch or train it again") from error
    tensors = {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in tensors.items()}
    try:
        origin = Origin(**config.get("origin", {}))
    except TypeError as error:
        raise ArtifactError(f"{folder / CONFIG}: unexpected key under origin ({error})") from error
    return Artifact(config["kind"], config["settings"], tensors, texts, origin)


def settings_from(cls: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Validate settings; an unknown key or wrong value becomes one line that names it.

    Raises:
        SettingsError: on the first thing that does not fit.
    """
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise SettingsError(f"{where}: {nearest(name, cls.model_fields, what='key')}") from None
        message = first["msg"].removeprefix("Value error, ")
        if not name:  # settings that do not fit together: the validator says which
            raise SettingsError(f"{where}: {message}") from None
        raise SettingsError(f"{where}: {name}: {message}, got {first.get('input')!r}") from None


class Pretrained(ModelHubMixin):
    """Mixin of every model that is stored as an artifact; put it before ``nn.Module``.

    A subclass sets ``kind`` and ``Settings`` and takes ``settings`` as its only constructor argument.
    """

    kind: ClassVar[str]
    Settings: ClassVar[Any]
    settings: Any
    origin: Origin = Origin()

    @property
    def space(self) -> Mapping[str, Any]:
        """How samples are read and written: a description whose ``name`` is that of a space; empty for none."""
        spec = getattr(self.settings, "datum", None)
        return {} if spec is None else dict(spec.space)

    @property
    def options(self) -> tuple[Option, ...]:
        """Conditions that ``given`` takes, and flags of sampling; none unless a model has some."""
        return ()

    def tensors(self) -> dict[str, Tensor]:
        """State to store; the weights of the module unless a model keeps more."""
        if not isinstance(self, nn.Module):
            raise ArtifactError(f"{type(self).__name__} must say which tensors it stores")
        return dict(self.state_dict())

    def texts(self) -> dict[str, str]:
        """Further text files to store, by name; none unless a model keeps some."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        """Take back what ``tensors`` and ``texts`` gave.

        Raises:
            ArtifactError: if names or shapes do not fit the settings.
        """
        del texts
        if not isinstance(self, nn.Module):
            raise ArtifactError(f"{type(self).__name__} must say how it is restored")
        try:
            self.load_state_dict(dict(tensors))
        except RuntimeError as error:
            line = " ".join(str(error).split())[:200]
            raise ArtifactError(f"the weights do not fit the settings of {self.kind!r}: {line}") from None

    def artifact(self) -> Artifact:
        """The model as the content of a folder."""
        offer = Offer(self.space, self.options)
        settings = self.settings.model_dump(mode="json")
        return Artifact(self.kind, settings, self.tensors(), self.texts(), self.origin, offer)

    @classmethod
    def from_artifact(cls, artifact: Artifact, *, where: str = "artifact") -> Self:
        """Build the model from the content of a folder.

        Raises:
            ArtifactError: if it is of another kind.
        """
        if artifact.kind != cls.kind:
            raise ArtifactError(f"{where} holds a {artifact.kind!r}, expected a {cls.kind!r}")
        largest = max((value.numel() for value in artifact.tensors.values()), default=0)
        # The first weights are drawn and then replaced; the global state stays as it was.
        with initialised(0), _Bounded(MARGIN * largest + SPARE, where):
            model = cls(settings_from(cls.Settings, artifact.settings, where=where))
        model.restore(artifact.tensors, artifact.texts)
        # Buffers of a net may say by NaN that nothing is known; a model that is no net has nothing but what is stored.
        weights = model.named_parameters() if isinstance(model, nn.Module) else artifact.tensors.items()
        for name, weight in weights:
            if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
                raise ArtifactError(f"{where}: the weights {name} are not finite; fetch or train it again")
        model.origin = artifact.origin
        if isinstance(model, nn.Module):
            model.eval()
        return model

    def _save_pretrained(self, save_directory: Path) -> None:
        _fill(Path(save_directory), self.artifact(), None)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **hub: Any) -> Self:
        folder = Path(model_id)
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            wanted = ("revision", "cache_dir", "force_download", "local_files_only", "token")
            folder = Path(snapshot_download(model_id, **{key: hub[key] for key in wanted if key in hub}))
        return cls.from_artifact(read_artifact(folder), where=str(folder))


def _card(name: str, artifact: Artifact) -> str:
    origin = artifact.origin
    count = sum(value.numel() for value in artifact.tensors.values())
    size = f"{count:,} numbers in {len(artifact.tensors)} tensors"
    lines = [
        "---",
        "library_name: zsteer",
        f"tags: [zsteer, {artifact.kind}]",
        "---",
        "",
        f"# {origin.recipe.get('name', name)}",
        "",
        f"A `{artifact.kind}` of zsteer: {size}.",
        "",
    ]
    if origin.command:
        lines += ["Made by:", "", "```", origin.command, "```", ""]
    for title, table in (("Data", origin.data), ("Metrics", origin.metrics), ("Recipe", origin.recipe)):
        if table:
            lines += [f"## {title}", "", "| what | value |", "|---|---|"]
            lines += [f"| {key} | {_cell(value)} |" for key, value in table.items()]
            lines += [""]
    if origin.limits:
        lines += ["## Limits", "", origin.limits, ""]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items())
    return str(value).replace("|", "\\|")
