"""What exists: one row for each kind of model, and the artifacts that ship with the package.

A new kind of model is its file, one row here, and its recipe. Names are strings and classes are imported when they are
used, so that listing them costs nothing and imports no torch.
MODEL on the command line and in ``zsteer.load`` is the name of a shipped artifact, a run folder or an artifact folder.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from zsteer.core.config import read_config
from zsteer.errors import ArtifactError, InputError, SettingsError, nearest

__all__ = ["MODELS", "ModelRow", "describe", "load_model", "load_name", "model_class", "recipes", "resolve", "shipped"]


@dataclass(frozen=True)
class ModelRow:
    """A kind of model.

    Args:
        target: its class, as ``module:class``.
        protocols: names of the protocols that it offers, of ``core.protocols`` and of the editors of a kit, so that
            help needs no import of it.
        recipes: name of each recipe that trains it -> ``module:class``.
    """

    target: str
    protocols: tuple[str, ...] = ()
    recipes: Mapping[str, str] = field(default_factory=dict[str, str])


MODELS: Mapping[str, ModelRow] = MappingProxyType(
    {
        "autoregressive": ModelRow(
            "zsteer.models.autoregressive:Autoregressive",
            protocols=("Generative", "GuidedEditor", "Likelihood", "Proposes", "Refittable"),
            recipes={
                "tcr-editor": "zsteer.recipes.sequences.settings:EditorRecipe",
                "tcr-lm": "zsteer.recipes.sequences.settings:LanguageModelRecipe",
            },
        ),
        "classifier": ModelRow(
            "zsteer.predictors.binding_classifier:Classifier",
            recipes={"tcr-oracle": "zsteer.recipes.sequences.settings:DesignOracleRecipe"},
        ),
        "ddpm": ModelRow(
            "zsteer.models.diffusion.ddpm:DDPM",
            protocols=("Conditional", "Generative", "Likelihood", "Proposes"),
            recipes={"ddpm": "zsteer.recipes.diffusion.settings:DiffusionRecipe"},
        ),
        "diffae": ModelRow(
            "zsteer.models.diffae.diffae:DiffAE",
            protocols=("Codec", "Generative", "Proposes"),
            recipes={"faces-diffae": "zsteer.recipes.faces.settings:DiffAERecipe"},
        ),
        "dwae": ModelRow(
            "zsteer.models.dwae.dwae:DisentangledWAE",
            protocols=("CodeEditor", "Codec", "Generative", "Proposes"),
            recipes={
                "tcr-dvae": "zsteer.recipes.sequences.settings:DisentangledVAERecipe",
                "tcr-dwae": "zsteer.recipes.sequences.settings:DisentangledWAERecipe",
            },
        ),
        "edm": ModelRow(
            "zsteer.models.edm.edm:EDM",
            protocols=("Generative", "Grouped", "Likelihood", "Proposes"),
            recipes={
                "edm": "zsteer.recipes.molecules.settings:EDMRecipe",
                "molecules": "zsteer.recipes.molecules.settings:MoleculeDiffusionRecipe",
            },
        ),
        "factor-reader": ModelRow(
            "zsteer.predictors.factor_reader:FactorReader",
            recipes={"faces-reader": "zsteer.recipes.faces.settings:ReaderRecipe"},
        ),
        "gan": ModelRow(
            "zsteer.models.gan.gan:Gan",
            protocols=("Generative",),
            recipes={
                "gan": "zsteer.recipes.gan.settings:GanRecipe",
                "wgan": "zsteer.recipes.gan.settings:WassersteinGanRecipe",
            },
        ),
        "image-classifier": ModelRow(
            "zsteer.predictors.image_classifier:ImageClassifier",
            recipes={"image-features": "zsteer.recipes.autoencoders.settings:FeaturesRecipe"},
        ),
        "multinomial": ModelRow(
            "zsteer.models.multinomial.multinomial:MultinomialDiffusion",
            protocols=("Conditional", "Generative", "Grouped", "Likelihood", "Proposes"),
            recipes={
                "segments-diffusion": "zsteer.recipes.multinomial.settings:SegmentDiffusionRecipe",
                "tcr-diffusion": "zsteer.recipes.multinomial.settings:ReceptorDiffusionRecipe",
            },
        ),
        "noisy-classifier": ModelRow(
            "zsteer.predictors.noisy_classifier:NoisyClassifier",
            recipes={"ddpm-classifier": "zsteer.recipes.diffusion.settings:NoisyClassifierRecipe"},
        ),
        "noisy-property": ModelRow(
            "zsteer.predictors.noisy_property:NoisyProperty",
            recipes={"molecule-properties": "zsteer.recipes.molecules.settings:NoisyPropertyRecipe"},
        ),
        "rbm": ModelRow(
            "zsteer.models.rbm.rbm:RBM",
            protocols=("Codec", "Generative", "Likelihood", "Proposes"),
            recipes={
                "rbm": "zsteer.recipes.rbm.settings:RBMRecipe",
                "rbm-tcr": "zsteer.recipes.rbm.settings:ReceptorRBMRecipe",
            },
        ),
        "rbm-ratings": ModelRow(
            "zsteer.models.ratings.rating_rbm:RatingRBM",
            protocols=("Generative",),
            recipes={"rbm-ratings": "zsteer.recipes.ratings.settings:RatingRecipe"},
        ),
        "sequence-judge": ModelRow(
            "zsteer.predictors.binding_judge:SequenceJudge",
            recipes={"tcr-judge": "zsteer.recipes.sequences.settings:JudgeRecipe"},
        ),
        "sequence-validity": ModelRow(
            "zsteer.predictors.sequence_validity:SequenceValidity",
            protocols=("Codec",),
            recipes={"tcr-validity": "zsteer.recipes.sequences.settings:ValidityRecipe"},
        ),
        "vae": ModelRow(
            "zsteer.models.autoencoder.vae:VAE",
            protocols=("Codec", "Generative", "Likelihood", "Proposes", "Refittable"),
            recipes={"vae": "zsteer.recipes.autoencoders.settings:VAERecipe"},
        ),
        "wae": ModelRow(
            "zsteer.models.autoencoder.wae:WAE",
            protocols=("Codec", "Generative", "Proposes"),
            recipes={
                "wae-gan": "zsteer.recipes.autoencoders.settings:WAEGANRecipe",
                "wae-mmd": "zsteer.recipes.autoencoders.settings:WAEMMDRecipe",
            },
        ),
    }
)
"""Kind of model -> its row; the kind is what ``config.json`` of an artifact names."""

ARTIFACTS = Path(__file__).parent.parent / "artifacts"


def load_name(target: str) -> Any:
    """What a name ``module:attribute`` stands for, imported now.

    Raises:
        SettingsError: if the name has another form, or there is no such module or attribute.
    """
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"expected module:attribute that can be imported, got {target!r} ({error})") from error


def model_class(kind: str) -> Any:
    """The class of a kind of model.

    Raises:
        ArtifactError: if no such kind exists.
    """
    if kind not in MODELS:
        raise ArtifactError(nearest(kind, MODELS, what="kind of model"))
    return load_name(MODELS[kind].target)


def recipes() -> dict[str, str]:
    """Name of each recipe -> ``module:class``, sorted."""
    return dict(sorted(pair for row in MODELS.values() for pair in row.recipes.items()))


def load_model(name: str | Path, *, kind: str | Collection[str] | None = None, hint: str = "") -> Any:
    """A trained model, on the CPU and ready to use.

    Args:
        name: a shipped artifact, a run folder, or an artifact folder.
        kind: the kind that it must be, or several; any when None.
        hint: what to do where it is of another kind, for example the command that trains one.

    Raises:
        InputError: if there is no such model, or it is of another kind.
        ArtifactError: if its folder is damaged.
    """
    from zsteer.core.artifact import read_artifact  # imports torch

    folder = resolve(name)
    expected = (kind,) if isinstance(kind, str) else kind
    found = read_config(folder)["kind"]
    if expected is not None and found not in expected:
        advice = f"; {hint}" if hint else ""
        raise InputError(f"expected a model of kind {' or '.join(expected)}, got {name} of kind {found}{advice}")
    return model_class(found).from_artifact(read_artifact(folder), where=str(folder))


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
