"""EDM's bound against the closed form of a normal model, and its symmetries."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from tests.composite import Molecule, product

from zsteer.core.batch import Batch
from zsteer.core.protocols import Likelihood, Prediction
from zsteer.core.rng import Streams, initialised
from zsteer.errors import CapabilityError, InputError
from zsteer.maths.diffusion import log_normal_mass
from zsteer.maths.geometry import rotation
from zsteer.maths.schedules import Schedule
from zsteer.models.diffusion import bound as plain
from zsteer.models.edm.bound import Reading, bound
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.settings import EDMSettings
from zsteer.nets.egnn import EGNN, EGNNSettings
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Part, Product

DENSITIES = {"positions": Reading(), "charge": Reading()}


def over(seed, n=400, **noise):
    """Mean of what the bound of the toy exceeds -log p by, and its standard error."""
    toy = Molecule(product(kinds=False, **noise))
    x0 = toy.data(n, seed)
    found = bound(toy, x0, Streams.of(seed, n), readings=DENSITIES)
    assert found.exact and found.dims == 9 + 8 and found.terms.shape[1] == toy.noise.steps + (noise["gap"] > 0)
    each = found.total + toy.log_prob(x0)
    return float(each.mean()), float(each.std()) / math.sqrt(n)


@pytest.mark.parametrize("gap", [0.0, 1e-3])
def test_exact_score_recovers_the_likelihood(gap, seed):
    """With the forward variance, right for data that vary more than the noise: five errors, .02 nats a dimension."""
    mean, error = over(seed, steps=60, gap=gap, variance="forward")
    assert abs(mean) < 5 * error + 0.02 * 17


def test_what_the_steps_leave_falls_with_their_number(seed):
    """With the posterior's variance, EDM's, the bound lies above, and twice the steps leave half or less."""
    few, many = (over(seed, steps=steps, gap=1e-3, variance="posterior") for steps in (30, 60))
    assert 0 < many[0] < 0.6 * few[0] + 5 * (few[1] + many[1])


@pytest.mark.parametrize("kernel", ["uniform", "absorbing"])
def test_categorical_parts_have_their_own_terms(kernel, seed):
    """Kinds that are independent of all else: the bound is that of the rest and the exact -log p of the kinds."""
    n = 400
    toy = Molecule(product(kernel=kernel, steps=30, variance="forward"))
    rest = Molecule(product(kinds=False, steps=30, variance="forward"))
    x = rest.noise.split(rest.data(n, seed))
    u = Streams.of(seed, n).uniform("kinds", (4,), dtype=torch.float64)
    index = (u[..., None] > toy.log_kinds().exp().cumsum(0)[:-1]).sum(-1)
    kinds = torch.eye(toy.noise.part("kinds").noise.states, dtype=torch.float64)[index]
    found = bound(toy, toy.noise.join({**x, "kinds": kinds}), Streams.of(seed, n), readings=DENSITIES)
    alone = bound(rest, rest.noise.join(x), Streams.of(seed, n), readings=DENSITIES)
    assert found.dims == alone.dims + 4
    each = found.total - alone.total + (kinds[..., :3] * toy.log_kinds()).sum((1, 2))
    # The exact denoiser of independent positions: every term is an expectation that one draw estimates without bias.
    assert abs(float(each.mean())) < 5 * float(each.std()) / math.sqrt(n) + 1e-6


def test_strata_have_the_expectation_of_the_whole_sum(seed):
    """20 calls in place of 61, over 400 molecules: within five standard errors."""
    n = 400
    toy = Molecule(product(kinds=False, steps=60, gap=1e-3))
    x0 = toy.data(n, seed)
    every, some = (bound(toy, x0, Streams.of(seed, n), readings=DENSITIES, calls=calls) for calls in (None, 20))
    assert not some.exact and some.terms.shape[1] == 20
    gaps = some.total - every.total
    assert abs(float(gaps.mean())) < 5 * float(gaps.std()) / math.sqrt(n)


class Half:
    """Says that half of what is there is data, at every time."""

    def __init__(self, noise):
        self.noise = noise

    def predict(self, x_t, t):
        return Prediction(0.5 * x_t * torch.ones_like(t).view(-1, *[1] * (x_t.ndim - 1)))


def test_bound_of_one_centred_part_is_the_common_bound():
    """models.bound knows the subspace: the same numbers as the sum of several parts with one part."""
    noise = Centred(Schedule("cosine"), 20)

    x0 = noise.drawn("x", torch.zeros(3, 4, 3, dtype=torch.float64), Streams.of(0, 3))
    one = plain.bound(Half(noise), x0, Streams.of(0, 3))
    whole = Product((Part("xyz", (4, 3), noise),))
    rng = Streams.of(0, 3)
    other = bound(Half(whole), x0.flatten(1), rng, readings={"xyz": Reading()})
    assert torch.allclose(one.far, other.far, rtol=0, atol=1e-12)
    now = noise.abar(1.0, x0)
    wanted = 0.5 * (now * x0.square().sum((1, 2)) - 9 * (now + torch.log(1 - now)))
    assert torch.allclose(one.far, wanted, rtol=0, atol=1e-12)
    assert other.dims == 9


def test_mass_of_a_bin_is_the_integral():
    """The log of a difference of distribution functions, by quadrature, and far in the tail."""
    gap, std = torch.tensor([[0.0, 0.3, -0.7, 1.2]], dtype=torch.float64), torch.tensor([[0.4]], dtype=torch.float64)
    u = torch.linspace(-0.5, 0.5, 200_001, dtype=torch.float64)
    density = torch.exp(-0.5 * ((gap[..., None] + u) / std[..., None]) ** 2) / (std[..., None] * math.sqrt(2 * math.pi))
    found = log_normal_mass(gap, std.log(), 0.5)
    assert torch.allclose(found.exp(), torch.trapezoid(density, u, dim=-1), rtol=0, atol=1e-9)
    far = log_normal_mass(torch.tensor([[40.0]], dtype=torch.float64), torch.tensor([[0.0]], dtype=torch.float64), 0.5)
    # At 39.5 standard deviations: log phi(39.5) - log 39.5, to first order.
    assert float(far) == pytest.approx(-0.5 * 39.5**2 - 0.5 * math.log(2 * math.pi) - math.log(39.5), abs=1e-3)


@dataclass(frozen=True)
class Turned(Centred):
    """Noise that is drawn in another frame and another order of the points."""

    turn: torch.Tensor | None = None
    order: torch.Tensor | None = None

    def drawn(self, purpose, like, rng):
        found = super().drawn(purpose, like, rng)
        return found[:, self.order] @ self.turn.T


@dataclass(frozen=True)
class Ordered(Gaussian):
    """Noise whose rows are drawn in another order."""

    order: torch.Tensor | None = None

    def drawn(self, purpose, like, rng):
        return super().drawn(purpose, like, rng)[:, self.order]


class Net:
    """A network of EDM as a denoiser: noise of the coordinates from its move, rows from its features."""

    def __init__(self, noise, net):
        self.noise, self.net = noise, net

    def predict(self, x_t, t):
        at = self.noise.split(x_t)
        h = torch.cat([at["kinds"], at["numbers"], t[:, None, None].expand(-1, at["kinds"].shape[1], 1)], -1)
        out, move = self.net(h, at["xyz"])
        eps = self.noise.join({"xyz": move, "kinds": out[..., :3], "numbers": out[..., 3:]})
        now = self.noise.parts[0].noise.abar(t, x_t)
        return Prediction((x_t - (1 - now).sqrt() * eps) / now.sqrt())


@pytest.mark.parametrize("improper", [False, True])
def test_bound_does_not_change_with_the_frame(improper, seed):
    """Turned, reflected, moved and re-ordered molecules, with noise drawn likewise: 1e-10 in float64."""
    n, b, curve, steps = 6, 4, Schedule("polynomial", rest=1e-5, gap=1e-5), 12
    rng = Streams.of(seed, b)
    with initialised(2):
        net = EGNN(EGNNSettings(features=5, out=4, width=12, layers=2)).double()
    readings = {"xyz": Reading(), "kinds": Reading("one-hot", 0.25), "numbers": Reading("integer", 0.1)}
    kinds = torch.eye(3, dtype=torch.float64)[rng.integers("kinds", 3, (n,))] * 0.25
    numbers = 0.1 * torch.tensor([1.0, 6.0, 8.0], dtype=torch.float64)[kinds.argmax(-1)][..., None]
    xyz = rng.normal("xyz", (n, 3), dtype=torch.float64)
    order = torch.argsort(rng.uniform("order", (n,))[0])
    turn = rotation(rng.normal("turn", (4,), dtype=torch.float64)[0], improper=improper)

    def total(x, k, z, coordinates, rows):
        parts = Part("xyz", (n, 3), coordinates), Part("kinds", (n, 3), rows), Part("numbers", (n, 1), rows)
        noise = Product(parts)
        return bound(Net(noise, net), noise.join({"xyz": x, "kinds": k, "numbers": z}), rng, readings=readings).total

    one = total(xyz, kinds, numbers, Centred(curve, steps), Gaussian(curve, steps))
    there = xyz[:, order] @ turn.T + torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    turned = Turned(curve, steps, turn=turn, order=order)
    other = total(there, kinds[:, order], numbers[:, order], turned, Ordered(curve, steps, order=order))
    assert bool(torch.isfinite(one).all())
    # Relative: L_0 of an untrained net at sigma_0 = 0.003 is of order 1e5 nats.
    assert float(((one - other) / one).abs().max()) < 1e-10


SETTINGS = EDMSettings(
    kinds=((1, 0, 0), (6, 0, 0), (8, 0, 0)),
    bonds=(),
    hydrogens="explicit",
    unit=1.0,
    scale=0.25,
    numbers=0.1,
    schedule="polynomial",
    gap=1e-5,
    steps=6,
    target="eps",
    self_conditioning=False,
    net="egnn",
    width=8,
    layers=1,
    largest=5,
)


def molecules(seed, unit=1.0):
    """Water-like and methane-like scribbles, padded to five atoms."""
    b, n = 6, 5
    mask = torch.ones(b, n, dtype=torch.bool)
    mask[::2, 3:] = False
    rng = Streams.of(seed, b)
    z = torch.tensor([1, 6, 8])[rng.integers("z", 3, (n,))] * mask
    none = torch.zeros(b, n, n, dtype=torch.long)
    fields = {
        "xyz": unit * rng.normal("xyz", (n, 3)) * mask[..., None],
        "z": z,
        "charge": torch.zeros_like(z),
        "hydrogens": torch.zeros_like(z),
        "bond": none,
        "aromatic": none.bool(),
    }
    return Batch(fields, mask)


def test_molecules_of_several_sizes_are_the_molecules_one_by_one(seed):
    with initialised(0):
        model = EDM(SETTINGS)
    model.sizes.learn(torch.tensor([3, 3, 3, 5]), torch.zeros(4, 0))
    x, rng = molecules(seed), Streams.of(seed, 6)
    found = model.bound_of(x, rng)
    assert isinstance(model, Likelihood) and model.bound == "lower" and "angstrom" in model.likelihood_notes()[1]
    assert torch.allclose(model.log_prob(x, rng), -model.bound_of(x, rng, calls=6).total.float())
    assert found.exact and found.terms.shape == (6, 7)
    assert found.dims.tolist() == [6 + 3 * 4, 12 + 5 * 4] * 3
    assert torch.allclose(found.length, torch.tensor([-math.log(0.75), -math.log(0.25)] * 3).double(), atol=1e-6)
    for k in range(2):
        rows = torch.tensor([k])
        alone = model.bound_of(x.take(rows), rng.take(rows))
        # A net in float32, or bfloat16, sums in another order in a batch of another size.
        assert float(alone.total) == pytest.approx(float(found.total[k]), rel=0.05)


def test_densities_are_per_angstrom():
    """Molecules drawn twice as large in a model whose unit is twice as large: (n - 1) 3 log 2 nats more."""
    with initialised(0):
        one = EDM(SETTINGS)
        two = EDM(SETTINGS.model_copy(update={"unit": 2.0}))
    two.load_state_dict(one.state_dict())
    rng = Streams.of(0, 6)
    first, second = (m.bound_of(molecules(0, u), rng).total for m, u in ((one, 1.0), (two, 2.0)))
    wanted = torch.tensor([6.0, 12.0] * 3).double() * math.log(2)
    # Twice the coordinates over twice the unit are the same numbers, so that all else is the same to rounding.
    assert torch.allclose(second - first, wanted, rtol=0, atol=1e-6 * float(first.max()))


def test_what_has_no_bound_says_so():
    toy = Molecule(product(steps=5))
    with pytest.raises(InputError, match="none for charge, positions"):
        bound(Molecule(product(kinds=False)), torch.zeros(2, 20).double(), Streams.of(0, 2), readings={})
    with pytest.raises(CapabilityError, match="several parts"):
        bound(replace(toy, noise=Gaussian(Schedule(), 5)), toy.like(2), Streams.of(0, 2), readings=DENSITIES)
    with pytest.raises(InputError, match="6 and 5"), initialised(0):
        EDM(SETTINGS).bound_of(molecules(0), Streams.of(0, 5))
