r"""``SequenceValidity``: does a sequence look like a receptor at all? The published score, from its formula.

An autoencoder of small latent dimension and a Gaussian mixture over its codes, both fitted on background receptors:
.. math:: s_v = s_r + s_d, \qquad s_r = 1 - \frac{d(x, \hat{x})}{\max(|x|, |\hat{x}|)}, \qquad
          s_d = \exp\!\left(\frac{\min(LL(z), -10) + 10}{10}\right)

with the Levenshtein distance d to the most likely reconstruction, and LL the log-likelihood of the code z. [nats]
Codes are scaled to unit variance first, since LL depends on their scale, and LL is cut at -10, so that s_d <= 1 as
s_r: a dense region cannot make up for a reconstruction that fails. A sequence is valid from the score that 95 % of
held-out background receptors reach, instead of a fixed 1.2577.

A sequence lies on a grid of 30 cells with its gap in the middle, so that both ends are always at the same cells.

Source: Chen, Min, Guo, Ning, "T-cell receptor optimization with reinforcement learning and mutation policies" (the
formula of the score); Bishop, Pattern Recognition and Machine Learning, 9.2 (EM).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import Parameter, functional

from zsteer.core.alphabet import PROTEIN
from zsteer.core.artifact import Pretrained
from zsteer.core.artifact import Settings as BaseSettings
from zsteer.core.batch import Batch
from zsteer.core.protocols import Code, Turn
from zsteer.core.rng import Streams
from zsteer.domains.sequences.metrics import edits
from zsteer.domains.sequences.space import MAX_LENGTH
from zsteer.errors import InputError

__all__ = ["SequenceValidity", "fit_mixture", "log_mixture"]

Tokens = Int[Tensor, "b 30"]
Mixture = tuple[Float[Tensor, " k"], Float[Tensor, "k d"], Float[Tensor, "k d d"]]
"""Weights, means, lower Cholesky factors of the covariances."""

GAP = PROTEIN.size
"""On the grid, the 21st symbol stands for no residue."""


class SequenceValidity(Pretrained, nn.Module):
    """Autoencoder with a mixture over its codes; see the module."""

    kind = "sequence-validity"

    class Settings(BaseSettings):
        """What the score is built from.

        Args:
            latent: length of a code.
            hidden: width of the two layers on either side.
            components: Gaussians of the mixture.
            noise: standard deviation of the noise on codes in training; it keeps near codes near.
        """

        latent: int = 16
        hidden: int = 256
        components: int = 8
        noise: float = 0.1

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        cells, d, h, k = MAX_LENGTH * (GAP + 1), settings.latent, settings.hidden, settings.components
        self.encoder = nn.Sequential(
            nn.Linear(cells, h), nn.GELU(), nn.Linear(h, h), nn.GELU(), nn.Linear(h, d), nn.LayerNorm(d)
        )
        self.decoder = nn.Sequential(nn.Linear(d, h), nn.GELU(), nn.Linear(h, h), nn.GELU(), nn.Linear(h, cells))
        self.register_buffer("shift", torch.zeros(d))
        self.register_buffer("scale", torch.ones(d))
        self.register_buffer("weights", torch.full((k,), 1.0 / k))
        self.register_buffer("means", torch.zeros(k, d))
        self.register_buffer("factors", torch.eye(d).expand(k, d, d).clone())
        self.register_buffer("threshold", torch.tensor(math.inf))

    @property
    def parts(self) -> Sequence[str]:
        """The one part of its code."""
        return ("z",)

    @property
    def turns(self) -> Sequence[Turn]:
        """One player."""
        return (Turn("autoencoder"),)

    def players(self) -> Mapping[str, list[Parameter]]:
        """All weights."""
        return {"autoencoder": list(self.parameters())}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Mean cross-entropy of the 30 cells, from a noisy code. [nats/cell]"""
        del player
        grid = _to_grid(x["tokens"], _mask(x))
        z = self._code(grid)
        z = z + self.settings.noise * rng.normal("code noise", (self.settings.latent,), dtype=z.dtype)
        logits = self._logits(z)
        return {"reconstruction": functional.cross_entropy(logits.transpose(1, 2), grid, reduction="none").mean(1)}

    def encode(self, x: Batch, rng: Streams) -> Code:
        """The code of each sequence: ``{"z": (b, latent)}``; no randomness."""
        del rng
        return {"z": self._code(_to_grid(x["tokens"], _mask(x)))}

    def decode(self, code: Code, rng: Streams) -> Batch:
        """The most likely sequence of each code."""
        del rng
        tokens = _from_grid(self._logits(code["z"]).argmax(-1))
        return PROTEIN.batch(tokens)

    def _code(self, grid: Int[Tensor, "b 30"]) -> Float[Tensor, "b latent"]:
        dtype = next(self.parameters()).dtype
        return self.encoder(functional.one_hot(grid, GAP + 1).flatten(1).to(dtype))

    def _logits(self, z: Float[Tensor, "b latent"]) -> Float[Tensor, "b 30 21"]:
        return self.decoder(z).reshape(len(z), MAX_LENGTH, GAP + 1)

    @torch.no_grad()
    def fit_density(self, x: Batch, rng: Streams, *, rounds: int = 60) -> None:
        """Fit the mixture to the codes of training receptors.

        Args:
            x: receptors.
            rng: gives the seed of the first centres.
            rounds: rounds of EM.

        Raises:
            InputError: if there are fewer than 100 receptors for each component.
        """
        if len(x) < 100 * self.settings.components:
            raise InputError(f"expected at least {100 * self.settings.components} receptors, got {len(x)}")
        z = torch.cat([self.encode(part, rng)["z"] for part in x.chunks(8192)])
        self.shift, self.scale = z.mean(0), z.std(0).clamp(min=1e-6)
        fitted = fit_mixture((z - self.shift) / self.scale, self.settings.components, rng, rounds=rounds)
        self.weights, self.means, self.factors = (part.to(z.dtype) for part in fitted)

    def calibrate(self, held_out: Batch, *, reject: float = 0.05) -> float:
        """Set the threshold to the score that a share ``1 - reject`` of held-out receptors reaches."""
        quantile = torch.quantile(self.score(held_out).double(), reject)
        self.threshold = quantile.to(self.scale.dtype)
        return float(quantile)

    @torch.no_grad()
    def terms(self, x: Batch) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """s_r and s_d of each sequence, both in 0 ... 1."""
        recovery: list[Tensor] = []
        density: list[Tensor] = []
        none = Streams.of(0, 1)
        for part in x.chunks(8192):
            tokens = torch.where(_mask(part), part["tokens"], PROTEIN.pad)
            z = self.encode(part, none)["z"]
            again = self.decode({"z": z}, none)["tokens"]
            longest = torch.maximum(PROTEIN.lengths(tokens), PROTEIN.lengths(again)).clamp(min=1)
            recovery.append(1 - edits(tokens, again).to(z.device) / longest)
            density.append(self.log_density(z))
        if not recovery:
            empty = torch.zeros(0)
            return empty, empty
        return torch.cat(recovery), torch.exp((torch.cat(density).clamp(max=-10.0) + 10.0) / 10.0)

    def log_density(self, z: Float[Tensor, "b latent"]) -> Float[Tensor, " b"]:
        """LL: log-likelihood of codes under the mixture, after scaling to unit variance. [nats]"""
        return log_mixture((z - self.shift) / self.scale, self.weights, self.means, self.factors).logsumexp(1)

    def score(self, x: Batch) -> Float[Tensor, " b"]:
        """s_v = s_r + s_d of each sequence, in 0 ... 2."""
        recovery, density = self.terms(x)
        return recovery + density

    def valid(self, x: Batch) -> Bool[Tensor, " b"]:
        """Whether each sequence reaches the threshold.

        Raises:
            InputError: if no threshold was set.
        """
        if bool(torch.isinf(self.threshold)):
            raise InputError("the validity model has no threshold; fit its density and calibrate it first")
        return self.score(x) >= self.threshold


def _mask(x: Batch) -> Bool[Tensor, "b 30"]:
    return PROTEIN.real(x["tokens"]) if x.mask is None else x.mask


def _to_grid(tokens: Tokens, mask: Bool[Tensor, "b 30"]) -> Int[Tensor, "b 30"]:
    """Left half at the left, right half at the right, gaps between."""
    length = mask.sum(1, keepdim=True)
    left = (length + 1) // 2
    cell = torch.arange(MAX_LENGTH, device=tokens.device)[None, :]
    source = torch.where(cell < left, cell, cell - (MAX_LENGTH - length))
    real = (cell < left) | (cell >= MAX_LENGTH - (length - left))
    return torch.where(real, tokens.gather(1, source.clamp(0, MAX_LENGTH - 1)), GAP)


def _from_grid(grid: Int[Tensor, "b 30"]) -> Tokens:
    """Leave the gaps out."""
    order = torch.sort((grid == GAP).long(), dim=1, stable=True).indices
    packed = grid.gather(1, order)
    return torch.where(packed == GAP, PROTEIN.pad, packed)


def log_mixture(
    z: Float[Tensor, "b d"], weights: Float[Tensor, " k"], means: Float[Tensor, "k d"], factors: Float[Tensor, "k d d"]
) -> Float[Tensor, "b k"]:
    r"""Ln w_k + ln N(z; m_k, L_k L_k^T) for each component; the logsumexp over k is the log-likelihood. [nats]"""
    away = (z[:, None, :] - means[None]).transpose(0, 1)
    solved = torch.linalg.solve_triangular(factors, away.transpose(1, 2), upper=False)
    square = (solved**2).sum(1).T
    log_volume = factors.diagonal(dim1=1, dim2=2).log().sum(1)
    return weights.log() - 0.5 * (square + z.shape[1] * math.log(2 * math.pi)) - log_volume


def fit_mixture(
    z: Float[Tensor, "b d"], components: int, rng: Streams, *, rounds: int = 60, ridge: float = 1e-3
) -> Mixture:
    r"""Fit a Gaussian mixture with full covariances by EM, in float64.

    .. math:: r_{nk} \propto w_k N(z_n; m_k, S_k), \quad m_k = \frac{\sum_n r_{nk} z_n}{\sum_n r_{nk}}, \quad
              S_k = \frac{\sum_n r_{nk} (z_n - m_k)(z_n - m_k)^T}{\sum_n r_{nk}} + \epsilon I

    EM ends in a local maximum: it runs shortly from several first means, and goes on from the best.

    Args:
        z: points.
        components: Gaussians.
        rng: gives the seed of the first means, which are points far from each other.
        rounds: rounds of EM.
        ridge: epsilon; keeps a component from collapsing onto few points.

    Returns:
        Weights, means, and lower Cholesky factors of the covariances.
    """
    z = z.double()
    one = Streams(rng.seed, torch.zeros(1, dtype=torch.int64), rng.path, rng.step)
    tries: list[tuple[float, Mixture]] = []
    for attempt in range(4):
        weights = torch.full((components,), 1.0 / components, dtype=z.dtype)
        spread = torch.linalg.cholesky(torch.cov(z.T).reshape(z.shape[1], -1) + ridge * _eye(z))
        start = weights, _far_points(z, components, one.child(f"try {attempt}")), spread.expand(components, -1, -1)
        found = _em(z, start, max(1, rounds // 6), ridge)
        tries.append((float(log_mixture(z, *found).logsumexp(1).mean()), found))
    best = max(tries, key=lambda entry: entry[0])[1]
    return _em(z, best, rounds, ridge)


def _eye(z: Float[Tensor, "b d"]) -> Float[Tensor, "d d"]:
    return torch.eye(z.shape[1], dtype=z.dtype)


def _far_points(z: Float[Tensor, "b d"], count: int, one: Streams) -> Float[Tensor, "k d"]:
    """Points to start from, each drawn in proportion to its squared distance from those before (k-means++)."""
    chosen = [int(one.integers("first centre", len(z))[0])]
    for k in range(1, count):
        gap = torch.cdist(z, z[chosen]).min(1).values ** 2
        u = one.at(k).uniform("centre", dtype=torch.float64)
        chosen.append(int(torch.searchsorted(gap.cumsum(0), u[0] * gap.sum()).clamp(max=len(z) - 1)))
    return z[chosen]


def _em(z: Float[Tensor, "b d"], start: Mixture, rounds: int, ridge: float) -> Mixture:
    weights, means, factors = start
    for _ in range(rounds):
        share = torch.softmax(log_mixture(z, weights, means, factors), 1)
        size = share.sum(0).clamp(min=1e-9)
        weights = size / size.sum()
        means = (share.T @ z) / size[:, None]
        away = [z - mean for mean in means]
        spread = torch.stack([(share[:, k, None] * away[k]).T @ away[k] for k in range(len(means))])
        factors = torch.linalg.cholesky(spread / size[:, None, None] + ridge * _eye(z))
    return weights, means, factors
