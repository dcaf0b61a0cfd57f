"""What exists: kinds of models, and the artifacts that ship with the package.

Names are strings and classes are imported when they are asked for, so that listing them costs nothing.
MODEL on the command line and in ``zsteer.load`` is the name of a shipped artifact, a run folder or an artifact folder.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.core.config import read_config
from zsteer.errors import ArtifactError, InputError, nearest

__all__ = ["KINDS", "describe", "model_class", "resolve", "shipped"]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "autoregressive": "zsteer.models.autoregressive:Autoregressive",
        "classifier": "zsteer.predictors.binding_classifier:Classifier",
        "ddpm": "zsteer.models.diffusion.ddpm:DDPM",
        "dwae": "zsteer.models.dwae.dwae:DisentangledWAE",
        "edm": "zsteer.models.edm.edm:EDM",
        "gan": "zsteer.models.gan.gan:Gan",
        "image-classifier": "zsteer.predictors.image_classifier:ImageClassifier",
        "noisy-classifier": "zsteer.predictors.noisy_classifier:NoisyClassifier",
        "noisy-property": "zsteer.predictors.noisy_property:NoisyProperty",
        "multinomial": "zsteer.models.multinomial.multinomial:MultinomialDiffusion",
        "rbm": "zsteer.models.rbm.rbm:RBM",
        "rbm-ratings": "zsteer.models.ratings.rating_rbm:RatingRBM",
        "sequence-judge": "zsteer.predictors.binding_judge:SequenceJudge",
        "sequence-validity": "zsteer.predictors.sequence_validity:SequenceValidity",
        "vae": "zsteer.models.autoencoder.vae:VAE",
        "wae": "zsteer.models.autoencoder.wae:WAE",
    }
)
"""Kind of model -> ``module:class``; the kind is what ``config.json`` of an artifact names."""

ARTIFACTS = Path(__file__).parent.parent / "artifacts"


def model_class(kind: str) -> Any:
    """The class of a kind of model.

    Raises:
        ArtifactError: if no such kind exists.
    """
    if kind not in KINDS:
        raise ArtifactError(nearest(kind, KINDS, what="kind of model"))
    module, name = KINDS[kind].split(":")
    return getattr(import_module(module), name)


def shipped() -> dict[str, Path]:
    """Artifacts that come with the package, by name."""
    if not ARTIFACTS.is_dir():
        return {}
    return {path.name: path for path in sorted(ARTIFACTS.iterdir()) if (path / "config.json").is_file()}


def resolve(model: str | Path) -> Path:
    """Find the artifact folder of a MODEL.

    Args:
        model: name of a shipped artifact, a run folder, or an artifact folder.

    Returns:
        The artifact folder.

    Raises:
        InputError: if there is neither such a folder nor such a name.
    """
    path = Path(model)
    if path.is_dir():
        if (path / "config.json").is_file():
            return path
        if (path / "artifact" / "config.json").is_file():
            return path / "artifact"
        if (path / "recipe.yaml").is_file():
            raise InputError(f"the run {path} is not finished; go on with: zsteer train --resume {path}")
        raise InputError(f"{path} is neither a run nor an artifact folder: no recipe.yaml, no config.json")
    names = shipped()
    if str(model) in names:
        return names[str(model)]
    if len(path.parts) > 1:
        raise InputError(f"there is no folder {path}")
    raise InputError(nearest(str(model), names, what="model"))


def describe(folder: Path) -> dict[str, Any]:
    """Kind, metrics and data of an artifact, read from its config alone (imports no torch).

    Raises:
        ArtifactError: if the config is missing or damaged.
    """
    config = read_config(folder)
    origin = config.get("origin", {})
    return {"kind": config["kind"], "metrics": origin.get("metrics", {}), "data": origin.get("data", {})}
