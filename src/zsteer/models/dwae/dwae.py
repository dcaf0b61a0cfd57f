r"""``DisentangledWAE``: TCR-dWAE, what a receptor binds (z_f) apart from the rest of it (z_s).

.. math:: \mathcal{L} = \mathcal{L}_{recon}(x, x') + \mathcal{L}_{cls}(\Psi(u, z_f), y)
          + \mathcal{L}_{wass}((z_f, z_s), N(0, I)), \quad \Psi(u, z_f) = \omega(u) \cdot z_f + b(u)

An edit keeps z_s, replaces z_f and decodes p(x | z_s, z_f, u). Three things make the swap carry: z_f has the net of the
design oracle and is judged against all peptides at once; a binder is mostly decoded from the mean z_f of other binders
("mates") and not from its own, so that z_f cannot carry the sequence itself; and the label is removed from z_s.
Each part is dropped at random in training, so that guidance has its null. The variational switch gives TCR-dVAE.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.options import Option
from zsteer.core.protocols import Turn
from zsteer.core.rng import Streams, initialised
from zsteer.domains.sequences.panel import Panel, binding_loss, negative_weights, rivals
from zsteer.errors import CapabilityError, InputError
from zsteer.maths.adversarial import latent_autoencoder_loss, latent_discriminator_loss, reverse_gradient
from zsteer.maths.directions import mix
from zsteer.maths.divergences import dependence
from zsteer.maths.gaussian import kl_to_standard_normal, reparameterise
from zsteer.maths.transport import marginal_mmd, mmd_shares
from zsteer.models.dwae.settings import DisentangledSettings, LossWeights, dwae_loss
from zsteer.models.dwae.target import Aim, PsiOracle, Resemblance, functional_code
from zsteer.nets.conv import MotifNet
from zsteer.nets.embeddings import PeptideEmbedding
from zsteer.nets.mlp import MLP
from zsteer.nets.recurrent import ConditionalDecoder
from zsteer.nets.transformer import SequenceTransformer
from zsteer.sample.beam import BeamSettings, Proposals, edit_beam, sequence_hash
from zsteer.sample.sequences import Guided, Stepwise, Wish, draw, sequence_options

__all__ = ["Aim", "DisentangledSettings", "DisentangledWAE", "LossWeights", "dwae_loss"]


class DisentangledWAE(Pretrained, nn.Module):
    """Two codes of a receptor, a classifier on one and a decoder from both.

    Fields of a batch: ``tokens`` (b, n) with the mask; ``peptide`` (b,), -1 for background; ``label`` (b,).
    """

    kind = "dwae"
    parts: Sequence[str] = ("z_f", "z_s")
    Settings = DisentangledSettings

    def __init__(self, settings: DisentangledSettings) -> None:
        super().__init__()
        self.settings = s = settings
        count = len(s.panel.peptides)
        if s.rates and len(s.rates) != count:
            raise InputError(f"expected one rate for each of {count} peptides, got {len(s.rates)}")
        rates = torch.tensor(s.rates or [1.0 / max(count, 1)] * count) * (1 - s.background)
        self.swap: Tensor
        self.against: Tensor
        for name, value in zip(
            ("swap", "against"), negative_weights(rivals(s.panel), rates, s.background), strict=True
        ):
            self.register_buffer(name, value, persistent=False)
        # What the binders' z_f look like, filled by ``remember`` after training.
        self.register_buffer("bank", torch.zeros(count, s.memory, s.functional))
        self.register_buffer("mean", torch.zeros(count, s.functional))
        self.register_buffer("typical", torch.zeros(2, s.functional))
        self.register_buffer("scale", torch.stack([torch.zeros(s.structural), torch.ones(s.structural)]))
        self.bank: Tensor
        self.mean: Tensor
        self.typical: Tensor
        self.scale: Tensor
        with initialised(s.seed):
            self._build(count)

    def _build(self, count: int) -> None:
        s = self.settings
        copies = 2 if s.variational else 1
        self.function = _Encoder(s, copies * s.functional, s.channels, s.dropout)
        self.structure = _Encoder(s, copies * s.structural, max(s.channels // 2, 8), 0.0)
        self.omega = PeptideEmbedding(s.panel.peptides, s.functional, blosum=s.blosum)
        self.bias = nn.Parameter(torch.full((count,), -1.0))
        self.peptide = PeptideEmbedding(s.panel.peptides, s.condition, blosum=s.blosum)
        self.decoder = ConditionalDecoder(
            condition=s.condition + s.functional + s.structural,
            hidden=s.hidden,
            layers=s.layers,
            cell=s.cell,
            length=s.length,
            dropout=min(s.dropout, 0.2),
        )
        both = s.functional + s.structural
        self.reader = MLP([s.structural, 128, 128, count + 1]) if s.removal in {"reversal", "both"} else None
        self.discriminator = MLP([both, 128, 128, 1], slope=0.2) if self._adversarial else None

    @property
    def panel(self) -> Panel:
        """The peptides it knows."""
        return self.settings.panel

    @property
    def guidance(self) -> float:
        """Strength of guidance of its edits."""
        return self.settings.guidance

    @property
    def _adversarial(self) -> bool:
        return self.settings.regulariser == "gan" and not self.settings.variational

    @property
    def space(self) -> Mapping[str, Any]:
        """Amino-acid sequences."""
        return {"name": "sequences"}

    @property
    def options(self) -> tuple[Option, ...]:
        """The peptide as a condition; strength of guidance and temperature as flags of sampling."""
        return sequence_options(self.settings.panel.peptides)

    @property
    def turns(self) -> Sequence[Turn]:
        """The autoencoder; with the latent GAN the discriminator before it."""
        return (Turn("discriminator"), Turn("autoencoder")) if self._adversarial else (Turn("autoencoder"),)

    def players(self) -> Mapping[str, Iterable[nn.Parameter]]:
        """Who owns which weights; the reader of z_s learns with the autoencoder, through a reversed gradient."""
        other = [] if self.discriminator is None else list(self.discriminator.parameters())
        theirs = {id(parameter) for parameter in other}
        # omega has a row for the null class, which Psi never asks for; it stays with the others and does not move.
        own = [parameter for parameter in self.parameters() if id(parameter) not in theirs]
        return {"autoencoder": own, **({"discriminator": other} if other else {})}

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Terms of the player's loss, weighted."""
        codes = self._sampled(x, rng)
        if player == "discriminator":
            code = torch.cat([codes.z_f, codes.z_s], 1).detach()
            return {"discriminator": latent_discriminator_loss(*self._logits(code, rng))}
        s = self.settings
        noisy = codes.z_s + s.noise * rng.normal("structure noise", (s.structural,)).to(codes.z_s.dtype)
        terms = dwae_loss(
            -self._log_p(x, codes.z_f, noisy, rng).sum(1),
            binding_loss(self.psi(codes.z_f), x["peptide"], x["label"], (self.swap, self.against)),
            codes.kl if s.variational else self._distance(torch.cat([codes.z_f, codes.z_s], 1), rng),
            s.weights.model_copy(update={"wasserstein": s.weights.divergence}) if s.variational else s.weights,
        )
        return {**terms, **self._removal(x, codes.z_s)}

    def _sampled(self, x: Batch, rng: Streams) -> "_Codes":
        """Codes with gradients; drawn from N(mu, sigma) where the model is variational."""
        f, z = self.function(x, rng.child("function")), self.structure(x, rng.child("structure"))
        if not self.settings.variational:
            return _Codes(f, self._whitened(z), torch.zeros_like(f[:, 0]))
        (mu_f, lv_f), (mu_s, lv_s) = f.chunk(2, 1), z.chunk(2, 1)
        lv_f, lv_s = lv_f.clamp(-6, 2), lv_s.clamp(-6, 2)
        z_f = reparameterise(mu_f, lv_f, rng.normal("z_f", (mu_f.shape[1],)).to(f.dtype))
        z_s = reparameterise(mu_s, lv_s, rng.normal("z_s", (mu_s.shape[1],)).to(f.dtype))
        return _Codes(z_f, z_s, kl_to_standard_normal(mu_f, lv_f) + kl_to_standard_normal(mu_s, lv_s))

    def _whitened(self, z_s: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """z_s with mean 0 and variance 1 over the batch: hiding the label must not end in a constant code.

        The running mean and spread are for use after training.
        """
        mean, spread = z_s.mean(0), (z_s.var(0, unbiased=False) + 1e-5).sqrt()
        if self.training:
            with torch.no_grad():
                self.scale.lerp_(torch.stack([mean, spread]).to(self.scale.dtype), 0.02)
        return (z_s - mean) / spread

    def _log_p(self, x: Batch, z_f: Tensor, z_s: Tensor, rng: Streams) -> Float[Tensor, "b m"]:
        """Log-probability of each residue given what the draws of this step leave of z_f, z_s and u."""
        s = self.settings
        binds = x["label"] == 1
        mate, has_mate = _mates(z_f, torch.where(binds, x["peptide"], -1), rng.uniform("lends") < 0.7)
        r = rng.uniform("function")
        lost = (r >= 1 - s.forget_function) | (~has_mate & (r < s.mates))
        z_f = torch.where(((r < s.mates) & has_mate)[:, None], mate, z_f).masked_fill(lost[:, None], 0.0)
        z_s = z_s.masked_fill((rng.uniform("structure") < s.forget_structure)[:, None], 0.0)
        # Half of the rows without z_f lose u as well: they teach the null of guidance.
        nothing = lost & (rng.uniform("nothing") < 0.5)
        hidden = ~binds | nothing | (rng.uniform("peptide") < s.forget_peptide)
        u = self.peptide(torch.where(hidden, -1, x["peptide"]))
        return self.decoder(x["tokens"], _mask(x), torch.cat([u, z_f, z_s], 1), rng.child("decoder"))

    def _logits(self, code: Tensor, rng: Streams) -> tuple[Tensor, Tensor]:
        prior = rng.normal("prior", (code.shape[1],)).to(code.dtype)
        if self.discriminator is None:
            raise CapabilityError("this model was built without a latent discriminator; set regulariser=gan")
        return self.discriminator(prior)[:, 0], self.discriminator(code)[:, 0]

    def _distance(self, code: Tensor, rng: Streams) -> Float[Tensor, " b"]:
        """Share of each sample in the distance between codes and prior."""
        if self._adversarial:
            return latent_autoencoder_loss(torch.zeros_like(code[:, 0]), self._logits(code, rng)[1])
        prior = rng.normal("prior", (code.shape[1],)).to(code.dtype)
        return (mmd_shares if self.settings.regulariser == "joint" else marginal_mmd)(prior, code)

    def _removal(self, x: Batch, z_s: Tensor) -> dict[str, Tensor]:
        """What keeps the label out of z_s: a reader that is fled from, independence, or both."""
        s = self.settings
        label = torch.where(x["label"] == 1, x["peptide"], len(s.panel.peptides))
        terms: dict[str, Tensor] = {}
        if self.reader is not None:
            # Background is one class among many but half of the rows: a tenth of the weight keeps the others in view.
            weight = torch.where(x["label"] == 1, 1.0, 0.1) / (1 - 0.9 * s.background)
            # The reader sees what a probe will see, z_s without the noise; else the label hides below the noise.
            read = self.reader(reverse_gradient(z_s, s.weights.reader))
            terms["reader"] = weight * torch.nn.functional.cross_entropy(read, label, reduction="none")
        if s.removal in {"hsic", "both"}:
            terms["dependence"] = s.weights.dependence * dependence(z_s, label)
        return terms

    def psi(self, z_f: Float[Tensor, "b f"]) -> Float[Tensor, "b p"]:
        """Logit of binding each peptide: Psi(u, z_f) = omega(u) . z_f + b(u)."""
        known = torch.arange(len(self.settings.panel.peptides), device=z_f.device)
        return z_f @ self.omega(known).T + self.bias

    def codes(self, x: Batch) -> tuple[Float[Tensor, "b f"], Float[Tensor, "b s"]]:
        """z_f and z_s without noise; for the variational model their means."""
        z = self.structure(x, None)
        if self.settings.variational:
            return self.functional(x), z[:, : self.settings.structural]
        return self.functional(x), (z - self.scale[0]) / self.scale[1]

    def functional(self, x: Batch) -> Float[Tensor, "b f"]:
        """z_f alone, without noise."""
        f = self.function(x, None)
        return f[:, : self.settings.functional] if self.settings.variational else f

    def log_likelihood(self, x: Batch, *, function: bool = True, structure: bool = True) -> Float[Tensor, " b"]:
        """Log-probability of each sequence given its own codes, without a peptide; a part left out is zero. [nats]"""
        z_f, z_s = self.codes(x)
        none = self.peptide(torch.full((len(x),), -1, device=z_f.device))
        condition = torch.cat([none, z_f * function, z_s * structure], 1)
        return self.decoder(x["tokens"], _mask(x), condition).sum(1)

    @torch.no_grad()
    def encode(self, x: Batch, rng: Streams) -> Mapping[str, Tensor]:
        """The named parts of the code, z_f and z_s."""
        del rng
        z_f, z_s = self.codes(x)
        return {"z_f": z_f, "z_s": z_s}

    @torch.no_grad()
    def decode(self, code: Mapping[str, Tensor], rng: Streams) -> Batch:
        """The most likely sequence of each code, residue by residue, without a peptide."""
        none = torch.full((len(code["z_f"]),), -1, device=code["z_f"].device)
        return draw(self.steps(code["z_f"], code["z_s"], none), rng, temperature=0.0)

    @torch.no_grad()
    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Step in both codes: mix them with draws from the prior, and decode the most likely sequence.

        Args:
            x: where to step from.
            strength: share of the prior, in (0, 1].
            rng: one stream for each.

        Raises:
            InputError: if the strength is outside (0, 1], or there is not one stream for each.
        """
        if not 0 < strength <= 1 or len(rng) != len(x):
            raise InputError(
                f"expected a strength in (0, 1] and one stream for each of {len(x)} sequences, got {strength:g} and "
                f"{len(rng)}"
            )
        code = self.encode(x, rng)
        eps = {name: rng.normal(f"propose {name}", z.shape[1:]).to(z) for name, z in code.items()}
        return self.decode({name: mix(z, eps[name], strength) for name, z in code.items()}, rng)

    def steps(
        self, z_f: Float[Tensor, "b f"], z_s: Float[Tensor, "b s"], peptide: Int[Tensor, " b"], *, scale: float = 1.0
    ) -> Stepwise:
        """The decoder one symbol at a time, guided by (z_f, u); z_s conditions both halves."""
        conditional = self.decoder.steps(torch.cat([self.peptide(peptide), z_f, z_s], 1))
        if scale == 1.0:
            return conditional
        nothing = self.peptide(torch.full_like(peptide, -1))
        return Guided.of(self.decoder.steps(torch.cat([nothing, torch.zeros_like(z_f), z_s], 1)), conditional, scale)

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw sequences from prior codes; a peptide takes z_f from its binders instead.

        Args:
            n: how many.
            given: ``peptide`` (one of the panel), ``scale`` of guidance, ``temperature``.
            rng: one stream for each.

        Raises:
            InputError: if there is another condition, or the number of streams differs.
        """
        wish = Wish.of(given, n, rng)
        index = -1 if wish.peptide is None else self.settings.panel.index(wish.peptide)
        peptide = torch.full((n,), index, device=rng.ids.device)
        z_s = rng.normal("z_s", (self.settings.structural,))
        z_f = rng.normal("z_f", (self.settings.functional,)) if index < 0 else self.mean[peptide]
        decoder = self.steps(z_f, z_s, peptide, scale=wish.scale)
        return draw(decoder, rng.child("sample"), temperature=wish.temperature)

    @torch.no_grad()
    def remember(self, binders: Batch, background: Batch) -> None:
        """Keep what edits need of the training data: each peptide's mean z_f and its best binders' z_f.

        Args:
            binders: with field ``peptide``; those of one peptide at least once.
            background: other receptors, for what is typical.
        """
        z_f = torch.cat([self.functional(piece) for piece in binders.chunks(1024)])
        other = torch.cat([self.functional(piece) for piece in background.chunks(1024)])
        self.typical.copy_(torch.stack([other.mean(0), other.std(0)]))
        logits = self.psi(z_f)
        for index in range(len(self.settings.panel.peptides)):
            rows = (binders["peptide"] == index).nonzero()[:, 0]
            if len(rows) == 0:
                raise InputError(f"there is no binder of {self.settings.panel.peptides[index]} to remember")
            best = rows[logits[rows, index].argsort(descending=True)]
            self.mean[index] = z_f[rows].mean(0)
            self.bank[index] = z_f[best[torch.arange(self.settings.memory, device=best.device) % len(best)]]

    def propose_edits(self, templates: Batch, aim: Aim, rng: Streams, beam: BeamSettings | None = None) -> Proposals:
        """Edits of each template within a budget: keep z_s, replace z_f, search with the beam."""
        return edit_beam(self._aimed(templates, aim, rng), templates, beam)

    @torch.no_grad()
    def rewrite(self, templates: Batch, aim: Aim, rng: Streams, *, temperature: float = 0.0) -> Batch:
        """One pass of the lecture's optimisation: keep z_s, replace z_f, decode, whatever the number of edits."""
        return draw(self._aimed(templates, aim, rng), rng.child("rewrite"), temperature=temperature)

    @torch.no_grad()
    def _aimed(self, templates: Batch, aim: Aim, rng: Streams) -> Stepwise:
        own, z_s = self.codes(templates)
        index = -1 if aim.peptide is None else self.settings.panel.index(aim.peptide)
        z_f = functional_code(self, own, aim, rng)
        peptide = torch.full((len(own),), index if aim.function != "null" else -1, device=own.device)
        return self.steps(z_f, aim.structure * z_s, peptide, scale=aim.scale)

    def binds(self, peptide: str) -> PsiOracle:
        """Psi as the oracle of one peptide: what the model itself believes, at no oracle call."""
        return PsiOracle(self, self.settings.panel.index(peptide))

    def resembles(self, examples: Batch) -> Resemblance:
        """Oracle of how much a receptor's z_f resembles that of examples."""
        return Resemblance(self, self.functional(examples).detach(), sequence_hash(examples["tokens"]))


@dataclass(frozen=True)
class _Codes:
    """Codes of a batch with gradients, and the KL of their distributions (zeros for exact codes)."""

    z_f: Float[Tensor, "b f"]
    z_s: Float[Tensor, "b s"]
    kl: Float[Tensor, " b"]


class _Encoder(nn.Module):
    """Sequence to one vector, by convolutions or by a transformer."""

    def __init__(self, s: DisentangledSettings, width: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.net: MotifNet | SequenceTransformer
        if s.encoder == "transformer":
            self.net = SequenceTransformer(width=width, length=s.length)
        else:
            self.net = MotifNet(width=width, channels=channels, hidden=2 * width, dropout=dropout, length=s.length)

    def forward(self, x: Batch, rng: Streams | None) -> Float[Tensor, "b d"]:
        """Vector of each sequence; streams are for dropout, None means evaluation."""
        if isinstance(self.net, SequenceTransformer):
            return self.net(x["tokens"], _mask(x))
        return self.net(x["tokens"], _mask(x), rng)[:, 0]


def _mates(
    z_f: Float[Tensor, "b f"], peptide: Int[Tensor, " b"], lends: Bool[Tensor, " b"]
) -> tuple[Float[Tensor, "b f"], Bool[Tensor, " b"]]:
    """Mean z_f of the other rows with the same peptide that lend theirs, and whether there is one."""
    same = (peptide[:, None] == peptide[None, :]) & (peptide >= 0)[:, None] & lends[None, :]
    same = same & ~torch.eye(len(z_f), dtype=torch.bool, device=z_f.device)
    count = same.sum(1)
    return same.to(z_f.dtype) @ z_f / count.clamp(min=1)[:, None], count > 0


def _mask(x: Batch) -> Tensor:
    if x.mask is None:
        raise InputError("expected sequences with a mask (true on residues), got none; encode them with their space")
    return x.mask
