"""The recipes of the receptor job. Imports no torch.

Sizes: ``xs`` runs in about a minute, ``s`` is the CPU default that the shipped artifacts use, ``m`` trains longer,
``l`` is for a GPU. ``subset="permissive"`` is what may be shipped; ``"all"`` takes every row of the tables.
"""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.base import Recipe

__all__ = [
    "DesignOracleRecipe",
    "DisentangledVAERecipe",
    "DisentangledWAERecipe",
    "EditorRecipe",
    "JudgeRecipe",
    "LanguageModelRecipe",
    "PanelRecipe",
    "ReceptorRecipe",
    "ValidityRecipe",
]


class ReceptorRecipe(Recipe):
    """Keys of every receptor recipe."""

    subset: Literal["permissive", "all"] = Field(
        default="permissive", description="rows to learn from: permissive (may be shipped) or all"
    )
    column: str | None = Field(
        default=None,
        description="column of the CDR3 in a table of your own (--data FILE); by the usual names when absent",
    )
    skip_invalid: bool = Field(default=False, description="leave out rows of a table of your own that cannot be used")


class PanelRecipe(ReceptorRecipe):
    """Keys of the receptor recipes that learn peptides."""

    least: int | None = Field(
        default=None,
        ge=1,
        description="receptors in train and valid that a peptide needs to be learned; 50, of a table of your own 20",
    )


class LanguageModelRecipe(ReceptorRecipe):
    """A language model of CDR3b on the background: what looks like a receptor."""

    name: ClassVar[str] = "tcr-lm"
    summary: ClassVar[str] = "language model of CDR3-beta: how plausible is a sequence"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:language_model"
    headline: ClassVar[str] = "bits_a_residue"


class DesignOracleRecipe(PanelRecipe):
    """The neural design oracle: which peptides a receptor binds."""

    name: ClassVar[str] = "tcr-oracle"
    summary: ClassVar[str] = "design oracle: neural ensemble that says which peptides a CDR3-beta binds"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:design_oracle"
    headline: ClassVar[str] = "area_core"


class JudgeRecipe(PanelRecipe):
    """The evaluation oracle, of other model classes and other receptors than the design oracle."""

    name: ClassVar[str] = "tcr-judge"
    summary: ClassVar[str] = "judge: k-mer logistic, nearest binders, boosted trees; receptors of its own"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:judge"
    headline: ClassVar[str] = "area_core"


class ValidityRecipe(ReceptorRecipe):
    """The published validity score: autoencoder reconstruction and a Gaussian mixture of its codes."""

    name: ClassVar[str] = "tcr-validity"
    summary: ClassVar[str] = "the published validity score: autoencoder and Gaussian mixture"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:validity"
    headline: ClassVar[str] = "test_background"


class EditorRecipe(PanelRecipe):
    """The z-free editor: a peptide-conditional decoder for the budgeted beam."""

    name: ClassVar[str] = "tcr-editor"
    summary: ClassVar[str] = "z-free editor: peptide-conditional decoder, guided, with a budgeted beam"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:editor"
    headline: ClassVar[str] = "nats_gained"

    oracle: str | None = Field(
        default=None, description="design oracle (a MODEL) that chooses the guidance of each peptide; 3 when absent"
    )


class DisentangledWAERecipe(PanelRecipe):
    """TCR-dWAE: functional and structural codes, classifier, autoregressive decoder, Wasserstein regulariser."""

    name: ClassVar[str] = "tcr-dwae"
    summary: ClassVar[str] = "TCR-dWAE: disentangled autoencoder (functional z_f, structural z_s)"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:disentangled"
    headline: ClassVar[str] = "area_psi"

    regulariser: Literal["joint", "marginal", "gan"] = Field(
        default="joint",
        description="joint MMD of [z_f, z_s], the published MMD of each dimension alone, or a latent GAN",
    )
    removal: Literal["none", "reversal", "hsic", "both"] | None = Field(
        default=None,
        description="how the label is taken out of z_s; by the model when absent",
    )
    architecture: Literal["default", "paper"] = Field(
        default="default", description="default (convolutions, GRU) or paper (8 + 32 dims, transformers, 2x256 LSTM)"
    )


class DisentangledVAERecipe(DisentangledWAERecipe):
    """TCR-dVAE: the same with sampled codes and the KL divergence."""

    name: ClassVar[str] = "tcr-dvae"
    summary: ClassVar[str] = "TCR-dVAE: the same networks with sampled codes and a KL term (baseline)"
    builder: ClassVar[str] = "zsteer.recipes.sequences.build:disentangled"
