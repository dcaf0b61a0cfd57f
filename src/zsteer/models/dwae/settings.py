"""What a disentangled model is built from, and the three terms of its loss."""

from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from zsteer.core.artifact import Settings
from zsteer.domains.sequences.panel import Panel

__all__ = ["DisentangledSettings", "LossWeights", "dwae_loss"]


class LossWeights(Settings):
    """Weight of each term.

    Args:
        reconstruction: of the negative log-likelihood [nats].
        classification: of Psi's cross-entropy.
        wasserstein: of the distance between codes and prior.
        divergence: of the KL [nats] that takes its place in the variational model.
        reader: strength of the gradient reversed from the reader of z_s.
        dependence: of the normalised HSIC between z_s and the label.
    """

    reconstruction: float = Field(default=0.1, ge=0)
    classification: float = Field(default=4.0, ge=0)
    wasserstein: float = Field(default=30.0, ge=0)
    divergence: float = Field(default=0.03, ge=0)
    reader: float = Field(default=3.0, ge=0)
    dependence: float = Field(default=12.0, ge=0)


class DisentangledSettings(Settings):
    """What the model is built from.

    Args:
        panel: peptides it knows.
        rates: share of each peptide among the binders of a training batch; empty means equal shares.
        background: share of background rows in a training batch.
        functional: width of z_f.
        structural: width of z_s.
        encoder: motif (convolutions) or transformer (one layer, read at the start symbol).
        channels: of the motif encoder of z_f.
        hidden: width of each layer of the decoder.
        layers: of the decoder.
        cell: of the decoder.
        condition: width of the peptide's vector u.
        blosum: add a map of the peptide's mean BLOSUM50 row to u and to omega(u).
        dropout: share of features dropped in the encoder of z_f and the decoder.
        regulariser: joint MMD on [z_f, z_s], marginal MMD of each dimension, or latent GAN.
        removal: how the label is removed from z_s.
        variational: sampled codes and KL instead of the regulariser: TCR-dVAE.
        mates: share of rows decoded from their mates' mean z_f.
        forget_function: share of rows decoded without z_f.
        forget_structure: share of rows decoded without z_s.
        forget_peptide: share of rows decoded without u.
        noise: standard deviation of the noise on z_s in training.
        weights: of the terms of the loss.
        guidance: strength of guidance by (z_f, u) that edits use by default.
        memory: binders' codes kept for each peptide.
        length: longest sequence.
        seed: of the initial weights.
    """

    panel: Panel
    rates: tuple[float, ...] = ()
    background: float = Field(default=0.5, ge=0, lt=1)
    functional: int = Field(default=64, ge=1)
    structural: int = Field(default=6, ge=1)
    encoder: Literal["motif", "transformer"] = "motif"
    channels: int = Field(default=64, ge=1)
    hidden: int = Field(default=128, ge=1)
    layers: int = Field(default=1, ge=1)
    cell: Literal["gru", "lstm"] = "gru"
    condition: int = Field(default=32, ge=1)
    blosum: bool = False
    dropout: float = Field(default=0.3, ge=0, lt=1)
    regulariser: Literal["joint", "marginal", "gan"] = "joint"
    removal: Literal["none", "reversal", "hsic", "both"] = "both"
    variational: bool = False
    mates: float = Field(default=0.7, ge=0, le=1)
    forget_function: float = Field(default=0.2, ge=0, le=1)
    forget_structure: float = Field(default=0.5, ge=0, le=1)
    forget_peptide: float = Field(default=0.3, ge=0, le=1)
    noise: float = Field(default=0.5, ge=0)
    weights: LossWeights = LossWeights()
    guidance: float = 3.0
    memory: int = Field(default=16, ge=1)
    length: int = Field(default=30, ge=1)
    seed: int = 0


def dwae_loss(
    reconstruction: Float[Tensor, " b"],
    classification: Float[Tensor, " b"],
    wasserstein: Float[Tensor, " b"],
    weights: LossWeights,
) -> Mapping[str, Float[Tensor, " b"]]:
    r"""The three terms of TCR-dWAE, per sample and weighted; their sum is minimised.

    .. math:: \mathcal{L}_{recon}(x, x') + \mathcal{L}_{cls}(\Psi(u, z_f), y)
              + \mathcal{L}_{wass}((z_f, z_s), N(0, I))

    Args:
        reconstruction: negative log-likelihood of each sequence given its codes, padding left out. [nats]
        classification: cross-entropy of Psi.
        wasserstein: share of each sample in the distance of all codes from the prior.
        weights: of the terms.

    Source: Li et al., "Disentangled Wasserstein autoencoder for T-cell receptor engineering", NeurIPS 2023.
    Lecture: dwae.loss
    """
    return {
        "reconstruction": weights.reconstruction * reconstruction,
        "classification": weights.classification * classification,
        "wasserstein": weights.wasserstein * wasserstein,
    }
