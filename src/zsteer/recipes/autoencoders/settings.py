"""Recipes of the autoencoders and of the feature net. Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from zsteer.recipes.settings import VectorRecipe

__all__ = ["FeaturesRecipe", "VAERecipe", "WAEGANRecipe", "WAEMMDRecipe"]


class AutoencoderRecipe(VectorRecipe):
    """Keys of every autoencoder."""

    latent: int | None = Field(default=None, ge=1, description="width of the code; 2 to 20 by the data when absent")
    net: Literal["auto", "mlp", "conv"] = Field(default="auto", description="auto: conv for images, mlp for tables")


class VAERecipe(AutoencoderRecipe):
    """The VAE; with objective iwae or dreg and samples 50 the importance-weighted autoencoder."""

    name: ClassVar[str] = "vae"
    summary: ClassVar[str] = "variational autoencoder (objective iwae or dreg: importance-weighted)"
    builder: ClassVar[str] = "zsteer.recipes.autoencoders.build:vae"
    headline: ClassVar[str] = "log_prob"

    binary: bool = Field(default=False, description="cut images into 0 and 1 and use a Bernoulli decoder")
    decoder: Literal["auto", "lecture", "gaussian"] = Field(
        default="auto", description="lecture: squared error (variance 1/2); gaussian: learnt variance (auto)"
    )
    objective: Literal["elbo", "iwae", "dreg"] = Field(default="elbo", description="bound and its gradient")
    samples: int = Field(default=1, ge=1, description="k, samples of the code in training")


class WAERecipe(AutoencoderRecipe):
    """Keys of both Wasserstein autoencoders."""

    weight: float | None = Field(
        default=None, gt=0, description="lambda, in squared error summed over a sample; by the data when absent"
    )


class WAEMMDRecipe(WAERecipe):
    """WAE-MMD, algorithm 2 of the lecture."""

    name: ClassVar[str] = "wae-mmd"
    summary: ClassVar[str] = "Wasserstein autoencoder with the MMD penalty (algorithm 2)"
    builder: ClassVar[str] = "zsteer.recipes.autoencoders.build:wae_mmd"
    headline: ClassVar[str] = "squared_error"

    preset: Literal["official-mnist", "official-celeba", "pythae"] | None = Field(
        default=None, description="lambda of a published setting, instead of weight"
    )


class WAEGANRecipe(WAERecipe):
    """WAE-GAN, algorithm 1 of the lecture."""

    name: ClassVar[str] = "wae-gan"
    summary: ClassVar[str] = "Wasserstein autoencoder with the adversarial penalty (algorithm 1)"
    builder: ClassVar[str] = "zsteer.recipes.autoencoders.build:wae_gan"
    headline: ClassVar[str] = "squared_error"

    preset: Literal["official-mnist", "official-celeba"] | None = Field(
        default=None, description="lambda of a published setting, instead of weight"
    )


class FeaturesRecipe(VectorRecipe):
    """The feature net behind our Frechet distances."""

    name: ClassVar[str] = "image-features"
    summary: ClassVar[str] = "classifier of images; its features serve to compare sets of images"
    builder: ClassVar[str] = "zsteer.recipes.autoencoders.build:features"
    headline: ClassVar[str] = "accuracy"
