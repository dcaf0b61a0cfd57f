r"""Folders of diffusers' ``UNet2DModel``: read as a DDPM of ours, and written so that the package loads them.

The package itself is not needed: the net is computed by ``nets.unet2d``, and of the scheduler only its betas, what the
net predicts and the variance are taken, since every sampler of ours follows from them. The package counts its times
k = 0 ... T - 1, with abar after k + 1 steps: k is our time (k + 1) / T. Its images are in [-1, 1] as the DDPM's are;
predictions of x_0 are kept there, whatever ``clip_sample`` says.

What the other format cannot hold is refused: a lean U-Net of ours, a learned variance (ours is a sigmoid of what
the net says, theirs is linear in it), Fourier times, dynamic thresholding, schedules that end without any signal.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zsteer.core.artifact import Origin, settings_from
from zsteer.core.files import new_folder
from zsteer.core.rng import initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.space import ImageSpace
from zsteer.errors import ArtifactError, CapabilityError, InputError
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.nets.unet2d import UNet2DSettings

__all__ = ["betas_of", "read", "write"]

WEIGHTS = "diffusion_pytorch_model.safetensors"
CLASSES = "classes.json"
VERSION = "0.42.1"
"""The release whose format is written, and that reading and writing are tested against."""
FIXED: Mapping[str, Any] = {
    "time_embedding_type": "positional",
    "downsample_type": "conv",
    "upsample_type": "conv",
    "act_fn": "silu",
    "class_embed_type": None,
}
"""Keys of the net's config that have one value here."""
TARGETS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
VARIANCES = {
    "fixed_small": "posterior",
    "fixed_small_log": "posterior",
    "fixed_large": "forward",
    "fixed_large_log": "forward",
}
SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
"""Those whose betas default to the same values."""
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of weights in folders from before 2023."""


def betas_of(config: Mapping[str, Any]) -> Sequence[float]:
    r"""beta_1 ... beta_T of a ``scheduler_config.json``, in float64.

    ``linear`` between the ends, ``scaled_linear`` between their roots and squared, ``squaredcos_cap_v2`` from
    :math:`\cos^2(\frac{\pi}{2} \frac{t + 0.008}{1.008})` with no beta above 0.999, or the list ``trained_betas``.

    Args:
        config: keys and values.

    Raises:
        CapabilityError: if the schedule is another one, or is to end without any signal.
    """
    if config.get("rescale_betas_zero_snr"):
        raise CapabilityError("rescale_betas_zero_snr leaves no signal at the end: x_0 does not follow from the noise")
    if config.get("trained_betas") is not None:
        return [float(beta) for beta in config["trained_betas"]]
    name, steps = config.get("beta_schedule", "linear"), int(config.get("num_train_timesteps", 1000))
    low, high = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    if name == "linear":
        return torch.linspace(low, high, steps, dtype=torch.float64).tolist()
    if name == "scaled_linear":
        return torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64).square().tolist()
    if name == "squaredcos_cap_v2":
        left = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
        return [min(1 - left[i + 1] / left[i], 0.999) for i in range(steps)]
    raise CapabilityError(f"beta_schedule {name!r} is not read; linear, scaled_linear, squaredcos_cap_v2 and lists are")


def read(folder: str | Path, *, classes: Sequence[str] = (), size: int | tuple[int, int] | None = None) -> DDPM:
    """Read a folder as a DDPM: it samples with every sampler, takes every guide, and is saved like any other.

    Args:
        folder: a saved pipeline (``unet/`` and ``scheduler/``), or one folder with all files.
        classes: names of the rows of its class embedding; one row more stands for no class, which classifier-free
            guidance needs. Those of ``classes.json``, else numbers, when empty.
        size: height and width of an image; the net's ``sample_size`` when None.

    Raises:
        ArtifactError: if a file is missing, damaged, or holds other weights than its config says.
        CapabilityError: if the net or the schedule is of a kind that is not read.
        InputError: if the number of classes or the size is not given and not in the files.
    """
    place = Path(folder)
    net = place / "unet" if (place / "unet").is_dir() else place
    plan = place / "scheduler" if (place / "scheduler").is_dir() else place
    config, scheduler = _json(net / "config.json"), _json(plan / "scheduler_config.json")
    inner = _net_settings(config, net / "config.json")
    names = _classes(inner, classes, place)
    betas = betas_of(scheduler)
    values = {
        "datum": _datum(inner.in_channels, size or config.get("sample_size"), place),
        "schedule": "listed",
        "betas": tuple(betas),
        "steps": len(betas),
        "classes": names,
        "net": "unet2d",
        "unet2d": inner,
        **_reverse(scheduler, plan / "scheduler_config.json"),
    }
    with initialised(0):
        model = DDPM(settings_from(DDPMSettings, values, where=str(place)))
    _fill(model, net / WEIGHTS)
    version = config.get("_diffusers_version", "unknown")
    model.origin = Origin(data={"name": "unknown"}, recipe={"name": "diffusers", "version": version})
    return model.eval()


def write(model: DDPM, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write a DDPM as a pipeline folder that the package loads (``DDPMPipeline.from_pretrained``).

    Its class embedding holds the classes in order and a last row for none; ``classes.json`` names them.

    Args:
        model: with ``net=unet2d``.
        folder: where to.
        overwrite: replace a folder that exists.

    Raises:
        CapabilityError: if the format cannot express the model.
        OutputError: if the folder exists and ``overwrite`` is false.
    """
    settings = model.settings
    if settings.unet2d is None:
        raise CapabilityError(
            f"diffusers' format has no such net as net={settings.net}: it neither folds pixels nor scales by its "
            f"norms; train with net=unet2d to write one"
        )
    if settings.variance == "learned":
        raise CapabilityError("diffusers reads a learned variance in another form; train with variance=posterior")
    height, width = settings.datum.shape[1:]
    net = settings.unet2d.model_dump(mode="json") | FIXED
    net |= {"sample_size": height if height == width else [height, width]}
    scheduler = {
        "num_train_timesteps": settings.steps,
        "trained_betas": list(settings.betas) or model.noise.schedule.betas(settings.steps).tolist(),
        "prediction_type": {ours: theirs for theirs, ours in TARGETS.items()}[settings.target],
        "variance_type": {"posterior": "fixed_small", "forward": "fixed_large"}[settings.variance],
        "clip_sample": settings.datum.values != "real",
    }
    parts = {"unet": "UNet2DModel", "scheduler": "DDPMScheduler"}
    with new_folder(Path(folder), overwrite=overwrite) as partial:
        for name in parts:
            (partial / name).mkdir()
        _dump(partial / "unet" / "config.json", _headed("UNet2DModel", net))
        _dump(partial / "scheduler" / "scheduler_config.json", _headed("DDPMScheduler", scheduler))
        index = {part: ["diffusers", kind] for part, kind in parts.items()}
        _dump(partial / "model_index.json", _headed("DDPMPipeline", index))
        if settings.classes:
            _dump(partial / CLASSES, {"classes": settings.classes})
        weights = {name: value.detach().cpu().contiguous() for name, value in model.net.state_dict().items()}
        save_file(weights, partial / "unet" / WEIGHTS, metadata={"format": "pt"})


def _headed(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"_class_name": kind, "_diffusers_version": VERSION, **values}


def _dump(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(dict(values), indent=2) + "\n", encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; a saved pipeline has unet/config.json and scheduler/...") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} should hold keys and values, got {type(found).__name__}")
    return found


def _net_settings(config: Mapping[str, Any], where: Path) -> UNet2DSettings:
    """The net of a config; every key that changes what it computes is either taken or has its one value."""
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise CapabilityError(f"{where} is a {kind}; only a UNet2DModel is read")
    for key, value in FIXED.items():
        got = config.get(key, value)
        if got != value and (key, got) != ("act_fn", "swish"):
            raise CapabilityError(f"{where}: {key}={got!r} is not read, only {value!r}")
    known = {key: config[key] for key in UNet2DSettings.model_fields if key in config}
    return settings_from(UNet2DSettings, known, where=str(where))


def _reverse(scheduler: Mapping[str, Any], where: Path) -> dict[str, str]:
    """What the net predicts, and the variance of the reverse step."""
    kind = scheduler.get("_class_name", SCHEDULERS[0])
    target, variance = scheduler.get("prediction_type", "epsilon"), scheduler.get("variance_type") or "fixed_small"
    if kind not in SCHEDULERS:
        raise CapabilityError(f"{where} is a {kind}; those that are read: {', '.join(SCHEDULERS)}")
    if scheduler.get("thresholding"):
        raise CapabilityError(f"{where}: dynamic thresholding is not read; set thresholding to false")
    if target not in TARGETS or variance not in VARIANCES:
        raise CapabilityError(
            f"{where}: prediction_type={target!r} with variance_type={variance!r} is not read; expected one of "
            f"{', '.join(TARGETS)} with one of {', '.join(VARIANCES)}"
        )
    return {"target": TARGETS[target], "variance": VARIANCES[variance]}


def _classes(net: UNet2DSettings, given: Sequence[str], folder: Path) -> tuple[str, ...]:
    rows = net.num_class_embeds or 0
    names = tuple(given)
    if not names and (folder / CLASSES).is_file():
        names = tuple(str(name) for name in _json(folder / CLASSES).get("classes", ()))
    if names and rows - len(names) not in {0, 1}:
        raise InputError(f"{folder}: the net embeds {rows} classes, got {len(names)} names; name all, or all but none")
    return names or tuple(str(row) for row in range(rows))


def _datum(channels: int, size: Any, folder: Path) -> SampleSpec:
    if size is None:
        raise InputError(f"{folder}: the net's config has no sample_size; pass size=..., the extent of an image")
    height, width = (size, size) if isinstance(size, int) else (int(extent) for extent in size)
    if channels in {1, 3}:
        return SampleSpec(
            shape=(channels, height, width), values="unit", space=ImageSpace(channels, height, width).settings()
        )
    return SampleSpec(shape=(channels, height, width), values="real")


def _fill(model: DDPM, path: Path) -> None:
    """Load the weights; old names of the attention are the new ones."""
    if not path.is_file():
        old = path.with_suffix(".bin")
        hint = f"; {old.name} is a pickle, save it again as safetensors with the package" if old.is_file() else ""
        raise ArtifactError(f"there is no {path}{hint}")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); fetch it again") from error
    weights: dict[str, Tensor] = {}
    for name, value in found.items():
        words = name.split(".")
        if "attentions" in words:
            words = [OLD_ATTENTION.get(word, word) for word in words]
        weights[".".join(words)] = value.float()
    wanted = model.net.state_dict()
    strange = sorted(set(wanted) ^ set(weights)) or [
        name for name in wanted if wanted[name].shape != weights[name].shape
    ]
    if strange:
        raise ArtifactError(f"{path} does not hold the net of its config: {', '.join(strange[:3])} differ or lack")
    model.net.load_state_dict(weights)
