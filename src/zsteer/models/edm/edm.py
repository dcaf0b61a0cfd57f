r"""Equivariant diffusion of molecules: coordinates, kinds of atoms and bonds, diffused and denoised jointly.

The lecture's EDM (``target=eps``): with x the coordinates and h the scaled one-hot rows of the atoms,

.. math:: z_t = \alpha_t [x, h] + \sigma_t \epsilon, \quad \text{minimise } \|\epsilon - \phi(z_t, t)\|^2 ,

where the noise of the coordinates has no centre of mass. With ``target=x0`` the net says what x_0 is: the coordinates
by a force F, :math:`\hat x_0 = \alpha_t x_t + \sigma_t F`, kinds and bonds by their probabilities, learned by
cross-entropy; one-hot rows carry Gaussian noise (which has deterministic samplers, either way) or multinomial
diffusion.

Molecules of one size make one dense batch without padding; a batch of several sizes is taken apart. Properties are
shown to the net as values spread over Gaussians, or not at all, and their absence is learned beside: conditional
samples, classifier-free guidance and unconditional samples come from one net.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch, rows_of
from zsteer.core.options import Option, whole
from zsteer.core.protocols import Group, Prediction, SamplingDefaults, Turn
from zsteer.core.rng import Streams
from zsteer.domains.molecules.container import SYMBOLS
from zsteer.errors import InputError, SettingsError, nearest
from zsteer.maths import diffusion
from zsteer.models.diffusion.bound import Bound
from zsteer.models.edm.bound import CALLS, bound_by_size
from zsteer.models.edm.denoiser import FixedSizeModel
from zsteer.models.edm.settings import TIMES, VALUES, EDMSettings, net_of, noise_of
from zsteer.models.edm.sizes import SizePrior
from zsteer.models.edm.states import atoms_of, sizes_of, states_of
from zsteer.nets.pairs import pairs
from zsteer.nets.precision import bfloat16_pays
from zsteer.nets.unet import time_features
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Product
from zsteer.sample.solvers import walk
from zsteer.sample.vary import vary

__all__ = ["EDM", "property_named", "short_names"]

KINDS_WEIGHT, BONDS_WEIGHT = 0.3, 0.5
"""Weights of the cross-entropies: of the kinds as a mean over atoms, of the bonds as their sum over the atoms."""
SHOWN = (0.3, 0.4)
"""Shares of training molecules that are shown no property, and just one; the others each with a half chance."""


@dataclass(frozen=True)
class Shown:
    """Properties that the net is shown in training.

    Args:
        values: in standard deviations from the mean; 0 where one is not shown.
        known: which are shown.
    """

    values: Float[Tensor, "b k"]
    known: Bool[Tensor, "b k"]


class EDM(Pretrained, nn.Module):
    """A net that denoises molecules, their noise, and how large they are.

    Args:
        settings: what it is built from.
    """

    kind: ClassVar[str] = "edm"
    Settings: ClassVar[type[EDMSettings]] = EDMSettings
    turns: Sequence[Turn] = (Turn("denoiser"),)
    bound: Literal["lower"] = "lower"
    sampling: ClassVar[SamplingDefaults] = SamplingDefaults("sde2", 50, "power")

    def __init__(self, settings: EDMSettings) -> None:
        super().__init__()
        self.settings = settings
        self.net = net_of(settings)
        self.sizes = SizePrior(settings.largest, len(settings.properties))

    def players(self) -> Mapping[str, list[nn.Parameter]]:
        """One player owns all weights."""
        return {"denoiser": list(self.parameters())}

    def noise_of(self, size: int) -> Product:
        """The noise of molecules of one size.

        Raises:
            InputError: if no molecule of the model has that size.
        """
        if not 1 <= size <= self.settings.largest:
            raise InputError(f"expected a size of 1 ... {self.settings.largest} atoms, got {size}")
        return noise_of(self.settings, size)

    # --- training

    def losses(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """One time for each molecule: squared error of the noise, or errors of the predicted x_0.

        Raises:
            InputError: if the batch has no mask, or holds what the model does not know.

        Lecture: edm.train
        """
        del player
        # The chain's first time is the least: at 0 there is no noise to predict.
        t = (rng.uniform("t", dtype=torch.float64) ** self.settings.early).clamp(min=1 / self.settings.steps)
        return self._by_size(x, t, rng, self._shown(x, rng))

    def losses_at(self, x: Batch, t: float, rng: Streams) -> Mapping[str, Float[Tensor, " b"]]:
        """The same at one time for all molecules, without conditions and without self-conditioning.

        Args:
            x: molecules.
            t: the time, above 0.
            rng: one stream for each.
        """
        count = len(self.settings.properties)
        none = Shown(torch.zeros(len(x), count), torch.zeros(len(x), count, dtype=torch.bool))
        return self._by_size(x, torch.full((len(x),), t, dtype=torch.float64), rng, none, self_conditioning=False)

    def _by_size(
        self, x: Batch, t: Float[Tensor, " b"], rng: Streams, shown: Shown, *, self_conditioning: bool = True
    ) -> Mapping[str, Float[Tensor, " b"]]:
        groups = sizes_of(x)
        if len(groups) == 1:
            return self._losses(x, groups[0][0], t, rng, shown, self_conditioning=self_conditioning)
        found: dict[str, Tensor] = {}
        for size, rows in groups:
            own = Shown(shown.values[rows], shown.known[rows])
            for name, value in self._losses(
                x.take(rows), size, t[rows], rng.take(rows), own, self_conditioning=self_conditioning
            ).items():
                found.setdefault(name, value.new_zeros(len(x)))
                found[name] = found[name].index_add(0, rows, value)
        return found

    def _losses(
        self,
        x: Batch,
        size: int,
        t: Float[Tensor, " b"],
        rng: Streams,
        shown: Shown,
        *,
        self_conditioning: bool,
    ) -> dict[str, Float[Tensor, " b"]]:
        s, noise = self.settings, self.noise_of(size)
        x0 = states_of(s, noise, x, size, like=next(self.parameters()))
        t = t.to(x0)
        x_t = noise.corrupt(x0, t, rng)
        context = self.context(t, size, shown.values.to(x0.device), shown.known.to(x0.device))
        before = self._before(noise, x_t, t, context, rng) if s.self_conditioning and self_conditioning else None
        raw = self._raw(noise, x_t, context, before)
        if s.target == "x0":
            return self._errors(noise, x0, x_t, t, raw)
        signal, sigma = (v[:, None] for v in _curve(noise, t))
        eps = (x_t.double() - signal * x0.double()) / sigma
        # Coordinates have three numbers less that are free: their noise has no centre of mass.
        return {"squared_error": diffusion.simple_loss(eps.to(x0.dtype), noise.join(raw)) / (noise.size - 3)}

    def _errors(
        self,
        noise: Product,
        clean: Float[Tensor, "b d"],
        noisy: Float[Tensor, "b d"],
        t: Float[Tensor, " b"],
        raw: Mapping[str, Tensor],
    ) -> dict[str, Float[Tensor, " b"]]:
        """Errors of x_0: of the coordinates in units of the noise, and cross-entropies."""
        x0, x_t = noise.split(clean), noise.split(noisy)
        signal, sigma = (v.to(t.dtype)[:, None, None] for v in _curve(noise, t))
        # |x0-hat - x0|^2 / sigma^2 with x0-hat = signal x_t + sigma F
        wanted = (x0["xyz"] - signal * x_t["xyz"]) / sigma
        found = {"xyz": (raw["xyz"] - wanted).square().mean((1, 2))}
        size = x0["xyz"].shape[1]
        for name, weight, over in (("kinds", KINDS_WEIGHT, size), ("bonds", BONDS_WEIGHT, size)):
            if name in raw:
                truth = x0[name].argmax(-1)
                each = cross_entropy(raw[name].flatten(0, 1), truth.flatten(), reduction="none")
                found[name] = weight * each.reshape(truth.shape).sum(1) / over
        return found

    def _before(
        self,
        noise: Product,
        x_t: Float[Tensor, "b d"],
        t: Float[Tensor, " b"],
        context: Float[Tensor, "b c"],
        rng: Streams,
    ) -> dict[str, Float[Tensor, "b ..."]]:
        """For half of the molecules, a prediction without self-conditioning; zeros for the others."""
        chosen = rng.uniform("again") < 0.5
        before = {name: torch.zeros_like(value) for name, value in noise.split(x_t).items()}
        before["seen"] = torch.zeros_like(t)
        rows = chosen.nonzero()[:, 0]
        if len(rows):
            with torch.no_grad():
                raw = self._raw(noise, x_t[rows], context[rows], None)
                shown = self.self_condition(noise, x_t[rows], t[rows], raw)
            for name, value in shown.items():
                before[name] = before[name].index_copy(0, rows, value.to(before[name].dtype))
        return before

    # --- the net

    def context(
        self, t: Float[Tensor, " b"], size: int, values: Float[Tensor, "b k"], known: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b c"]:
        """The whole molecule's conditions; the last number, whether a prediction is shown, is left at 0.

        Args:
            t: times.
            size: atoms.
            values: properties, in standard deviations from the mean.
            known: which of them are given.
        """
        parts = [time_features(t, TIMES), torch.full_like(t, size / self.settings.largest)[:, None]]
        if self.settings.properties:
            centres = torch.linspace(-3, 3, VALUES, dtype=t.dtype, device=t.device)
            spread = torch.exp(-0.5 * ((values[..., None].to(t) - centres) / 0.85).square())
            seen = torch.cat([spread, values[..., None].to(t)], -1) * known[..., None]
            parts.append(seen.flatten(1))
        if self.settings.self_conditioning:
            parts.append(torch.zeros_like(t)[:, None])
        return torch.cat(parts, 1)

    def _raw(
        self,
        noise: Product,
        x_t: Float[Tensor, "b d"],
        context: Float[Tensor, "b c"],
        before: Mapping[str, Float[Tensor, "b ..."]] | None,
        *,
        degraded: bool = False,
    ) -> dict[str, Float[Tensor, "b ..."]]:
        """What the net says: a force or the noise, and scores of kinds and bonds."""
        s, at = self.settings, noise.split(x_t)
        size = at["xyz"].shape[1]
        if s.net == "egnn":
            h = [at[name] for name in at if name != "xyz"]
            out, move = self.net(torch.cat([*h, context[:, None].expand(-1, size, -1)], -1), at["xyz"])
            if not s.numbers:
                return {"xyz": move, "kinds": out}
            return {"xyz": move, "kinds": out[..., :-1], "numbers": out[..., -1:]}
        # One atom has no pairs, and its state no part for them.
        none = x_t.new_zeros(len(x_t), pairs(size), len(s.bonds))
        h, e, others = [at["kinds"]], [at.get("bonds", none)], ()
        if s.self_conditioning:
            if before is None:
                before = {name: torch.zeros_like(value) for name, value in at.items()}
                before["seen"] = x_t.new_zeros(len(x_t))
            context = torch.cat([context[:, :-1], before["seen"][:, None].to(context.dtype)], 1)
            h.append(before["kinds"])
            e.append(before.get("bonds", none))
            others = (before["xyz"],)
        kinds, bonds, move = self.net(
            torch.cat(h, -1), torch.cat(e, -1), at["xyz"], context, others, triangles=not degraded
        )
        return {"xyz": move, "kinds": kinds} | ({"bonds": bonds} if "bonds" in at else {})

    def self_condition(
        self, noise: Product, x_t: Float[Tensor, "b d"], t: Float[Tensor, " b"], raw: Mapping[str, Tensor]
    ) -> dict[str, Float[Tensor, "b ..."]]:
        """The net's output as self-conditioning shows it at the next call: coordinates of x_0, and probabilities."""
        at = noise.split(x_t)["xyz"]
        signal, sigma = (v.to(at.dtype)[:, None, None] for v in _curve(noise, t))
        found = {"xyz": signal * at + sigma * raw["xyz"], "seen": torch.ones_like(t)}
        return found | {name: raw[name].softmax(-1) for name in raw if name != "xyz"}

    def predict(
        self,
        noise: Product,
        x_t: Float[Tensor, "b d"],
        t: Float[Tensor, " b"],
        context: Float[Tensor, "b c"],
        before: Mapping[str, Float[Tensor, "b ..."]] | None,
        *,
        degraded: bool = False,
    ) -> tuple[Prediction, dict[str, Float[Tensor, "b ..."]] | None]:
        """The prediction of x_0 at x_t, and what self-conditioning shows at the next call.

        Args:
            noise: of molecules of this size.
            x_t: noisy states.
            t: time of each.
            context: as ``context`` makes it.
            before: its earlier prediction, where there is one.
            degraded: without the products along triangles.
        """
        # On a CPU some products in bfloat16 round by their number of rows: a sample would depend on its batch.
        half = x_t.dtype == torch.float32 and x_t.device.type != "cpu" and bfloat16_pays(x_t.device)
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=half):
            raw = self._raw(noise, x_t, context, before, degraded=degraded)
        if self.settings.target == "eps":
            abar = _curve(noise, t)[0].square().to(x_t.dtype)[:, None]
            return Prediction(diffusion.x0_from_noise(x_t, noise.join(raw), abar)), None
        shown = self.self_condition(noise, x_t, t, raw)
        if self.settings.features == "categorical":
            rows = {name: raw[name] for name in raw if name != "xyz"}
        else:
            rows = {
                name: self.settings.scale * (shown[name] - 1 / shown[name].shape[-1]) for name in raw if name != "xyz"
            }
        x0 = noise.join({"xyz": shown["xyz"], **rows})
        return Prediction(x0), {
            name: value.detach() for name, value in shown.items()
        } if self.settings.self_conditioning else None

    # --- conditions

    def _shown(self, x: Batch, rng: Streams) -> Shown:
        """Properties in standard deviations, and which of them the net is shown in training."""
        names = self.settings.properties
        if not names:
            none = torch.zeros(len(x), 0, device=x.device)
            return Shown(none, none.bool())
        values = self.standard(torch.stack([x[name] for name in names], 1))
        u = rng.uniform("shown", (2 + len(names),))
        one = one_hot((u[:, 1] * len(names)).long().clamp(max=len(names) - 1), len(names)).bool()
        some = torch.where((u[:, :1] < sum(SHOWN)), one, u[:, 2:] < 0.5)
        known = some & (u[:, :1] >= SHOWN[0]) & values.isfinite()
        return Shown(torch.where(known, values, 0.0), known)

    def standard(self, values: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Properties in standard deviations from the mean."""
        means, stds = (values.new_tensor(each) for each in (self.settings.means, self.settings.stds))
        return (values - means) / stds

    def wanted(self, given: Mapping[str, object] | None, n: int) -> dict[int, Float[Tensor, " n"]]:
        """Wanted values, by the number of their property, in standard deviations from the mean.

        Raises:
            InputError: if there is no such property, a value is no number, or their number is not ``n``.
        """
        s, found = self.settings, dict[int, Tensor]()
        for name, value in (given or {}).items():
            k = s.properties.index(property_named(name, s.properties))
            try:
                values = torch.as_tensor(
                    [float(v) for v in value] if isinstance(value, (list, tuple)) else
                    value if isinstance(value, Tensor) else float(str(value)), dtype=torch.float64
                )  # fmt: skip
            except (TypeError, ValueError):
                raise InputError(f"{name} takes a number, or one for each sample, got {value!r}") from None
            if values.ndim > 1 or (values.ndim and len(values) != n) or not bool(values.isfinite().all()):
                raise InputError(f"expected one finite value of {name}, or one for each of {n} samples")
            found[k] = ((values - s.means[k]) / s.stds[k]).expand(n)
        return found

    @property
    def space(self) -> Mapping[str, Any]:
        """Molecules of the model's elements, up to its largest size."""
        elements = sorted({SYMBOLS[kind[0]] for kind in self.settings.kinds})
        hydrogens, bonded = self.settings.hydrogens, bool(self.settings.bonds)
        own = {"elements": elements, "hydrogens": hydrogens, "max_atoms": self.settings.largest}
        return {"name": "molecules", **own, "bonded": bonded}

    @property
    def options(self) -> tuple[Option, ...]:
        """Properties with the range that the training set holds, and the number of atoms, as conditions."""
        s = self.settings
        names = {full: short for short, full in short_names(s.properties).items()}
        found = [Option("atoms", "given", "whole", "number of the model's atoms", "", 1, s.largest)]
        for k, full in enumerate(s.properties):
            low, high = s.ranges[k] if s.ranges else (None, None)
            unit = "" if names[full] == full else full.rsplit("_", 1)[1]
            about = "a condition that the model has learned"
            found.append(Option(names[full], "given", "number", about, unit, low, high, soft=True))
        return tuple(found)

    def states(self, x: Batch) -> Float[Tensor, "b d"]:
        """Molecules of one size as states; ``groups`` takes several sizes apart.

        Raises:
            InputError: if there are several sizes, or an atom that the model does not know.
        """
        groups = sizes_of(x)
        if len(groups) != 1:
            raise InputError(f"expected molecules of one size, got {len(groups)} sizes")
        size = groups[0][0]
        return states_of(self.settings, self.noise_of(size), x, size, like=next(self.parameters()))

    def fragment(self, x: Batch, row: int, atoms: Int[Tensor, " k"]) -> dict[str, Float[Tensor, "k ..."]]:
        """Chosen atoms of one molecule as parts of a state, as ``steer.keep.KeepAtoms`` takes them.

        Args:
            x: molecules, as their space encodes them.
            row: which.
            atoms: of that molecule, in rising order.

        Raises:
            InputError: if the model does not know an atom or a bond.
        """
        one = x.take(slice(row, row + 1))
        fields = {name: one[name][:, atoms] for name in ("xyz", "z", "charge", "hydrogens")}
        fields |= {name: one[name][:, atoms][:, :, atoms] for name in ("bond", "aromatic")}
        noise, k = self.noise_of(len(atoms)), len(atoms)
        part = Batch(fields, torch.ones(1, k, dtype=torch.bool))
        try:
            state = states_of(self.settings, noise, part, k, like=next(self.parameters()))
        except InputError as error:
            raise InputError(f"molecule {row + 1}: {error}") from None
        return {name: value[0] for name, value in noise.split(state).items()}

    def groups(self, n: int, given: Mapping[str, object], rng: Streams) -> Sequence[Group]:
        """Molecules by their size, the most frequent first; sizes that are not given are drawn.

        Raises:
            InputError: if a condition does not exist, or no molecule of the model has a size.
        """
        rest = {name: value for name, value in given.items() if name != "atoms"}
        atoms, wanted = given.get("atoms"), self.wanted(rest, n)
        if atoms is None:
            sizes = self.sizes.draw(wanted, rng)
        else:
            sizes = atoms if isinstance(atoms, Tensor) else torch.full((n,), whole(atoms, "--given atoms"))
        often, counts = sizes.unique(return_counts=True)
        found: list[Group] = []
        for size in often[counts.argsort(descending=True, stable=True)].tolist():
            rows = (sizes == size).nonzero()[:, 0].cpu()
            own = {name: rows_of(value, rows, n) for name, value in rest.items()}
            found.append(Group(self.for_size(size), rows, own))
        return found

    def join(self, pieces: Sequence[Batch], order: Int[Tensor, " n"]) -> Batch:
        """Molecules of several sizes, padded to the largest, in the order of their rows."""
        return atoms_of(pieces, order)

    def for_size(self, size: int) -> FixedSizeModel:
        """The model of molecules of one size, as samplers see it.

        Raises:
            InputError: if no molecule of the model has that size.
        """
        return FixedSizeModel(self, size, self.noise_of(size))

    @torch.no_grad()
    def sample(self, n: int, *, given: Mapping[str, object] | None = None, rng: Streams) -> Batch:
        """Draw molecules: fifty steps of a solver that draws; ``for_size`` serves the other solvers.

        Args:
            n: how many.
            given: values of properties; the sizes follow them.
            rng: one stream for each.

        Raises:
            InputError: if the number of streams differs, or a condition does not exist.
        """
        if len(rng) != n:
            raise InputError(f"expected {n} streams for {n} samples, got {len(rng)}")
        wanted = self.wanted(given, n)
        sizes = self.sizes.draw(wanted, rng)
        steps = min(self.sampling.steps, self.settings.steps)
        found: list[Batch] = []
        order: list[Tensor] = []
        for size in sizes.unique().tolist():
            rows = (sizes == size).nonzero()[:, 0]
            model, own = self.for_size(size), rng.take(rows.to(rng.ids.device))
            denoiser = model.bound({k: value[rows.to(value.device)] for k, value in wanted.items()}, len(rows))
            x = model.noise.prior(model.like(len(rows), own), own)
            found.append(model.finish(walk(denoiser, x, own, solver="sde2", steps=steps, spacing="power")))
            order.append(rows)
        return atoms_of(found, torch.cat(order))

    @torch.no_grad()
    def propose(self, x: Batch, strength: float, rng: Streams) -> Batch:
        """Variants of molecules: noised to the time ``strength`` and walked back; numbers of atoms stay.

        Args:
            x: molecules.
            strength: in (0, 1]; 1 makes new molecules of the same sizes.
            rng: one stream for each.

        Returns:
            Molecules, centred, in rows as wide as those of ``x``.

        Raises:
            InputError: if the strength is out of range, or the model does not know an atom or a bond.
        """
        own, steps = rng.child("propose"), min(self.sampling.steps, self.settings.steps)
        found: list[Batch] = []
        order: list[Tensor] = []
        for size, rows in sizes_of(x):
            model = self.for_size(size)
            x0 = states_of(self.settings, model.noise, x.take(rows), size, like=next(self.parameters()))
            denoiser, streams = model.bound({}, len(rows)), own.take(rows.to(own.ids.device))
            found.append(
                model.finish(vary(denoiser, x0, strength, streams, solver="sde2", steps=steps, spacing="power"))
            )
            order.append(rows)
        return atoms_of(found, torch.cat(order), width=x["z"].shape[1])

    # --- likelihood

    def bound_of(self, x: Batch, rng: Streams, *, calls: int | None = None) -> Bound:
        """Bound -log p(x): ``bound.bound_by_size``."""
        return bound_by_size(self, x, rng, calls=calls)

    def log_prob(self, x: Batch, rng: Streams) -> Float[Tensor, " b"]:
        """Minus the variational bound, estimated from ``CALLS`` strata of times. [nats]"""
        return -self.bound_of(x, rng, calls=min(CALLS, self.settings.steps)).total.float()

    def likelihood_notes(self) -> list[str]:
        """How ``log_prob`` comes about, for a report."""
        calls = min(CALLS, self.settings.steps)
        return [
            f"variational bound, estimated without bias from {calls} of its {self.settings.steps} terms a molecule",
            "coordinates per angstrom in the (n - 1) 3 dimensions of zero centre; the size of a molecule counts",
        ]


def _curve(noise: Product, t: Float[Tensor, " b"]) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Signal and noise of the coordinates at each sample's time, worked out in float64."""
    of_xyz = noise.parts[0].noise
    if not isinstance(of_xyz, Gaussian):
        raise SettingsError(f"coordinates have Gaussian noise, not {type(of_xyz).__name__}")
    return of_xyz.schedule.signal(t.double()), of_xyz.schedule.sigma(t.double())


def property_named(name: str, known: Sequence[str]) -> str:
    """The property that a name means: itself, or what stands before its unit (``mu`` is ``mu_debye``).

    Raises:
        InputError: if there is none, or the name could mean several.
    """
    plain, short = name.replace("-", "_"), short_names(known)
    if plain in known:
        return plain
    if plain in short:
        return short[plain]
    if not known:
        raise InputError(f"{name} is no condition: the model was trained without properties")
    raise InputError(nearest(name, short, what="property"))


def short_names(known: Sequence[str]) -> dict[str, str]:
    """Properties by what stands before their unit; those that would share a name keep their own."""
    short = [full.rsplit("_", 1)[0] for full in known]
    return {name if short.count(name) == 1 else full: full for name, full in zip(short, known, strict=True)}
