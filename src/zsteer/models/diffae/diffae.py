r"""The diffusion autoencoder: an encoder to a semantic code z, and a denoiser that z tells what to draw.

Encoder and denoiser learn together, from Algorithm 1 alone: draw t and eps, and descend

.. math:: \nabla_\theta \|\epsilon - \epsilon_\theta(x_t, t, z)\|^2, \quad z = E_\theta(x_0), \quad
          x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon .

What z does not hold is in the stochastic code x_T, the noise from which the deterministic walk under z leads back to
the picture: inversion on the grid of the decoding. Heads read z; x_T is carried unchanged by every edit. A second,
small diffusion model learns how standardised codes z are distributed (the latent prior); with x_T from N(0, I) its
samples decode to new pictures.

Source: Preechakul et al., "Diffusion autoencoders: toward a meaningful and decodable representation", CVPR 2022.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.heads import Heads
from zsteer.core.options import Option
from zsteer.core.property import Property
from zsteer.core.protocols import Code, Prediction, Turn
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.properties import FACES
from zsteer.errors import ArtifactError, InputError, SettingsError, nearest
from zsteer.maths import diffusion
from zsteer.maths.directions import mix
from zsteer.maths.schedules import Schedule
from zsteer.models.diffae.settings import DiffAESettings
from zsteer.models.diffusion.ddpm import DDPM
from zsteer.models.diffusion.settings import DDPMSettings
from zsteer.nets.precision import at_least_single
from zsteer.nets.unet import PictureEncoder, UNet
from zsteer.noise.gaussian import Gaussian
from zsteer.sample.ddim import ddim
from zsteer.sample.invert import invert
from zsteer.sample.times import Spacing, times

__all__ = ["AT_ONCE", "Decoding", "DiffAE", "View"]

AT_ONCE = 256
"""Pictures that go through the net together: their number changes nothing but the memory."""
SPACING: Spacing = "log_snr"
"""Of the times of a decoding and of its inversion."""
DRAWN = 20
"""Network calls of a new picture, at least."""
LEAST_VARIANCE = 1e-4
"""Added to the variances of standardised codes: axes that never vary have a scale too."""
HEADS = "heads.json"


class DiffAE(Pretrained, nn.Module):
    """Encoder, denoiser under a code, and the prior of codes.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "diffae"
    Settings: ClassVar[type[DiffAESettings]] = DiffAESettings
    turns: Sequence[Turn] = (Turn("autoencoder"),)
    parts: Sequence[str] = ("z",)
    stochastic: Sequence[str] = ("x_T",)
    mean: Tensor
    std: Tensor
    inward: Tensor
    outward: Tensor

    def __init__(self, settings: DiffAESettings) -> None:
        super().__init__()
        self.settings = s = settings
        channels, *extent = s.datum.shape
        self.noise = Gaussian(Schedule(s.schedule), s.steps)
        self.encoder = PictureEncoder(channels, (extent[0], extent[1]), s.semantic, s.encoder)
        self.net = UNet(
            channels,
            channels,
            width=s.width,
            multiples=s.multiples,
            blocks=s.blocks,
            patch=s.patch,
            semantic=s.semantic,
        )
        code = SampleSpec(shape=(s.semantic,), values="real")
        self.prior = DDPM(DDPMSettings(datum=code, net="mlp", hidden=s.hidden, target="v", steps=s.steps))
        self.register_buffer("mean", torch.zeros(s.semantic))
        self.register_buffer("std", torch.ones(s.semantic))
        # Into the coordinates of the prior and back: principal axes, their deviations brought to the square root.
        self.register_buffer("inward", torch.eye(s.semantic))
        self.register_buffer("outward", torch.eye(s.semantic))
        self.heads: Heads | None = None

    @property
    def options(self) -> tuple[Option, ...]:
        """What ``--toward`` takes of its stored heads."""
        heads = () if self.heads is None else self.heads.heads
        return tuple(FACES.get(head.name, Property(head.name, help="an attribute")).option for head in heads)

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """Encoder and denoiser together; the prior, which ``train`` leaves to codes that stand still."""
        return {
            "autoencoder": [*self.encoder.parameters(), *self.net.parameters()],
            "prior": list(self.prior.parameters()),
        }

    def states(self, x: Batch) -> Float[Tensor, "b c h w"]:
        """Pictures as the nets see them, in [-1, 1]."""
        return self.settings.datum.centred(x).reshape(-1, *self.settings.datum.shape)

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """Algorithm 1 under the code of the picture itself; of the prior, Algorithm 1 on standardised codes."""
        x0 = self.states(x)
        if player == "prior":
            with torch.no_grad():
                code = self.standardised(self.encoder(x0)) @ self.inward
            return self.prior.losses(Batch({"x": code}), "denoiser", rng)
        t = ((rng.integers("t", self.settings.steps) + 1) / self.settings.steps).to(x0.dtype)
        eps = rng.normal("eps", self.settings.datum.shape, dtype=x0.dtype)
        abar = self.noise.abar(t, x0).to(x0.dtype)
        code = self.encoder(x0)[:, None].expand(-1, self.settings.levels, -1)
        value = at_least_single(self.net(diffusion.marginal(x0, abar, eps), t, None, code))
        wanted = eps if self.settings.target == "eps" else diffusion.velocity(x0, eps, abar)
        return {"squared_error": diffusion.simple_loss(wanted, value)}

    def standardised(self, z: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """Codes in standard deviations of the training set's."""
        return (z - self.mean) / self.std

    @torch.no_grad()
    def settle(self, x: Batch) -> Float[Tensor, "n s"]:
        """Learn where codes lie, from those of a training set; these, standardised."""
        codes = torch.cat([self.encoder(self.states(piece)) for piece in x.chunks(AT_ONCE)])
        self.mean.copy_(codes.mean(0))
        self.std.copy_(codes.std(0).clamp(min=1e-6))
        z = self.standardised(codes)
        variance, axes = torch.linalg.eigh(torch.cov(z.T.double()))
        root = (variance.clamp(min=0) + LEAST_VARIANCE) ** 0.25
        inward = axes / root
        scale = (z.double() @ inward).std()
        self.inward.copy_(inward / scale)
        self.outward.copy_((axes * root).T * scale)
        return z

    def drawn(self, w: Float[Tensor, "n s"]) -> Float[Tensor, "n s"]:
        """Standardised codes of what the prior draws."""
        return w @ self.outward

    def predict(
        self, x_t: Float[Tensor, "b c h w"], t: Float[Tensor, " b"], z: Float[Tensor, "b levels s"]
    ) -> Prediction:
        """What the denoiser says of x_0 at x_t under standardised codes.

        Args:
            x_t: noisy pictures.
            t: time of each.
            z: code of each, at every level of the U-Net, the finest first.
        """
        value = at_least_single(self.net(x_t, t, None, z * self.std + self.mean))
        abar = self.noise.abar(t, x_t).to(x_t.dtype)
        back = diffusion.x0_from_noise if self.settings.target == "eps" else diffusion.x0_from_velocity
        return Prediction(back(x_t, value, abar).clamp(-1, 1))

    def within(
        self, *, calls: int | None = None, levels: Sequence[int] = (), window: tuple[float, float] = (0.0, 1.0)
    ) -> "View":
        """The model as a codec that decodes in another way.

        Args:
            calls: of the net for a decoding; the model's own when None.
            levels: of the U-Net, 0 the finest, at which an edited code is shown; all when empty.
            window: times, from data (0) to noise (1), at which it is shown.

        Raises:
            SettingsError: if there is no such level, or the window is none.

        Lecture: diffae.levels
        """
        return View(self, calls or self.settings.calls, tuple(levels), window)

    @torch.no_grad()
    def read(self, x: Batch, rng: Streams) -> Code:
        """The part that heads read alone, without the inversion that the rest of the code takes."""
        del rng
        codes = [self.standardised(self.encoder(self.states(piece))) for piece in x.chunks(AT_ONCE)]
        return {"z": torch.cat(codes)}

    def encode(self, x: Batch, rng: Streams) -> Code:
        """The semantic code, standardised, as part ``z``; the stochastic code as part ``x_T``."""
        return self.within().encode(x, rng)

    def decode(self, code: Code, rng: Streams) -> Batch:
        """The deterministic walk from x_T under z, on the grid of the inversion."""
        return self.within().decode(code, rng)

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """New pictures: z from the latent prior, x_T from N(0, I).

        Raises:
            InputError: if there is a condition, or the number of streams differs.
        """
        for name in given or {}:
            raise InputError("--given: " + nearest(name, (), what="condition"))
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        z = self.drawn(self.prior.sample(n, rng=rng.child("z"))["x"])
        noise = rng.normal("x_T", self.settings.datum.shape).to(z)
        view = self.within(calls=max(DRAWN, self.settings.calls))
        return view.decode({"z": z, "x_T": noise}, rng)

    @torch.no_grad()
    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Step in both codes: mix them with draws from their priors, and decode.

        Args:
            x: where to step from.
            strength: share of the priors, in (0, 1].
            rng: one stream for each.

        Raises:
            InputError: if the strength is out of range, or there is not one stream for each.
        """
        if not 0 < strength <= 1 or len(rng) != len(x):
            raise InputError(
                f"expected a strength in (0, 1] and one stream for each of {len(x)} samples, got {strength:g} and "
                f"{len(rng)}"
            )
        code = self.encode(x, rng)
        drawn = self.drawn(self.prior.sample(len(x), rng=rng.child("propose"))["x"]).to(code["z"])
        noise = rng.normal("propose x_T", self.settings.datum.shape).to(code["x_T"])
        mixed = {"z": mix(code["z"], drawn, strength)}
        mixed["x_T"] = mix(code["x_T"].flatten(1), noise.flatten(1), strength).reshape(noise.shape)
        return self.decode(mixed, rng)

    def tensors(self) -> dict[str, Tensor]:
        """Weights, and the heads where there are some."""
        return {**dict(self.state_dict()), **({} if self.heads is None else self.heads.to_tensors())}

    def texts(self) -> dict[str, str]:
        """What is known of the heads beside their tensors."""
        return {} if self.heads is None else {HEADS: json.dumps(self.heads.to_settings(), indent=1)}

    def restore(self, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
        """Take back weights and heads.

        Raises:
            ArtifactError: if they do not fit.
        """
        own = {name: value for name, value in tensors.items() if not name.startswith("heads.")}
        super().restore(own, texts)
        self.heads = None
        if HEADS in texts:
            try:
                settings = json.loads(texts[HEADS])
            except json.JSONDecodeError as error:
                raise ArtifactError(f"{HEADS} is damaged ({error}); fetch or train the model again") from None
            self.heads = Heads.from_tensors(tensors, settings)


@dataclass(frozen=True)
class Decoding:
    """The denoiser of some codes: one inside of a window of times, another outside.

    Args:
        model: the model.
        z: code of each picture at every level, inside.
        still: the same outside.
        window: times at which ``z`` is shown.
    """

    model: DiffAE
    z: Float[Tensor, "b levels s"]
    still: Float[Tensor, "b levels s"]
    window: tuple[float, float] = (0.0, 1.0)

    @property
    def noise(self) -> Gaussian:
        """The model's noise."""
        return self.model.noise

    def predict(self, x_t: Float[Tensor, "b c h w"], t: Float[Tensor, " b"]) -> Prediction:
        """What the model says of x_0."""
        inside = (t >= self.window[0]) & (t <= self.window[1])
        return self.model.predict(x_t, t, torch.where(inside[:, None, None], self.z, self.still))


@dataclass(frozen=True)
class View:
    """A diffusion autoencoder as a codec with its way of decoding.

    Where an edit is to be seen at some levels or times alone, the code has a third part ``still``, that of the picture
    as it was, which is shown elsewhere.

    Args:
        model: the model.
        calls: of the net for a decoding, and steps of an inversion.
        levels: at which part ``z`` is shown, 0 the finest; all when empty.
        window: times at which it is shown.

    Raises:
        SettingsError: if there is no such level, or the window is none.
    """

    model: DiffAE
    calls: int
    levels: tuple[int, ...] = ()
    window: tuple[float, float] = (0.0, 1.0)
    parts: ClassVar[tuple[str, ...]] = ("z",)
    stochastic: ClassVar[tuple[str, ...]] = ("x_T",)

    def __post_init__(self) -> None:
        low, high = self.window
        if not 0 <= low < high <= 1:
            raise SettingsError(f"--window: expected two times from 0 (data) to 1 (noise), got {low:g},{high:g}")
        strange = [level for level in self.levels if not 0 <= level < self.model.settings.levels]
        if strange:
            last = self.model.settings.levels - 1
            raise SettingsError(f"--levels: expected levels from 0 (fine) to {last} (coarse), got {strange[0]}")

    @property
    def partial(self) -> bool:
        """Whether a part of the decoding sees the code as it was."""
        return bool(self.levels) or self.window != (0.0, 1.0)

    def read(self, x: Batch, rng: Streams) -> Code:
        """The part that heads read alone."""
        return self.model.read(x, rng)

    @torch.no_grad()
    def encode(self, x: Batch, rng: Streams) -> Code:
        """The parts of the code of each picture."""
        del rng
        model, refine = self.model, self.model.settings.refine
        found: list[tuple[Tensor, Tensor]] = []
        for piece in x.chunks(AT_ONCE):
            x0 = model.states(piece)
            z = model.standardised(model.encoder(x0))
            noise = invert(self.denoiser(z, z), x0, steps=self.calls, refine=refine, spacing=SPACING).x
            found.append((z, noise))
        z, noise = (torch.cat(pieces) for pieces in zip(*found, strict=True))
        return {"z": z, "x_T": noise, **({"still": z} if self.partial else {})}

    @torch.no_grad()
    def decode(self, code: Code, rng: Streams) -> Batch:
        """The deterministic walk from x_T under z, on the grid of the inversion."""
        grid = times(self.model.noise, self.calls, SPACING)
        still, found = code.get("still", code["z"]), list[Tensor]()
        for start in range(0, len(code["z"]), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            decoding = self.denoiser(code["z"][rows], still[rows])
            found.append(ddim(decoding, code["x_T"][rows], grid, rng.take(rows)))
        return self.model.settings.datum.uncentred(torch.cat(found).flatten(1))

    def denoiser(self, z: Float[Tensor, "b s"], still: Float[Tensor, "b s"]) -> Decoding:
        """The denoiser that shows one code at the levels and times of this view, and another elsewhere."""
        levels = range(self.model.settings.levels)
        shown = [z if not self.levels or level in self.levels else still for level in levels]
        return Decoding(self.model, torch.stack(shown, 1), torch.stack([still] * len(levels), 1), self.window)

    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """New pictures of the model."""
        return self.model.sample(n, given=given, rng=rng)

    def within(
        self, *, calls: int | None = None, levels: Sequence[int] = (), window: tuple[float, float] = (0.0, 1.0)
    ) -> "View":
        """Another view of the same model."""
        return self.model.within(calls=calls or self.calls, levels=levels, window=window)
