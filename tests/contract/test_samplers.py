"""The matrix of samplers, guides and diffusion models (Gaussian, categorical, both in one): every pair of them, once.

Which solver is right is measured in tests/truth; here each pair of model, guide and solver runs.
"""

import itertools
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from tests.composite import Molecule, product
from tests.contract.test_diffusion_models import ddpm
from tests.contract.test_multinomial_models import model as multinomial_model
from tests.diffusion import model as mixture
from tests.states import Listed, data, noise
from tests.vectors import datum

from zsteer.core.protocols import Conditional, Denoiser
from zsteer.core.rng import Streams, initialised
from zsteer.errors import CapabilityError
from zsteer.noise.centred import Centred
from zsteer.noise.gaussian import Gaussian
from zsteer.noise.product import Product
from zsteer.predictors.noisy_classifier import NoisyClassifier, NoisyClassifierSettings
from zsteer.sample.auto import auto
from zsteer.sample.ddim import ddim
from zsteer.sample.invert import invert
from zsteer.sample.solvers import SOLVERS, walk
from zsteer.sample.times import times
from zsteer.steer.guide import ByClassifier, ByProperty, ClassifierFree, ToValue

NAMES = ("a", "b", "c")
STEPS = 3
ALONE = ("ancestral", "corrected")
"""Solvers that are walked again in a batch of another size: one that draws, and one with the longest memory."""


@dataclass(frozen=True)
class Row:
    """What the matrix needs of a model: denoisers of ``n`` samples, a start, a classifier and an energy."""

    conditional: object
    plain: object
    log_prob: object
    energy: object
    like: object

    def start(self, n, seed=0):
        rng = Streams.of(seed, n)
        return self.plain(n).noise.prior(self.like(n), rng), rng


def exact():
    toy = mixture()
    like = partial(torch.empty, dtype=torch.float64)
    return Row(
        lambda n: toy.denoiser({"class": 1}, n),
        lambda n: toy.denoiser(None, n),
        partial(toy.log_prob_of, 1),
        lambda x0: x0[:, 0],
        lambda n: like(n, 2),
    )


def images(**variant):
    model = ddpm("unit", classes=NAMES, **variant).eval()
    with initialised(1):
        settings = NoisyClassifierSettings(datum=datum("unit"), classes=NAMES, width=8)
        classifier = NoisyClassifier(settings).eval()
    assert isinstance(model, Conditional)
    return Row(
        lambda n: model.denoiser({"class": "b"}, n),
        lambda n: model.denoiser(None, n),
        lambda x, t: classifier.log_prob(torch.ones(len(x), dtype=torch.long))(x, t),
        lambda x0: x0.flatten(1).mean(1),
        lambda n: model.like(n, Streams.of(0, n)),
    )


def words(kernel):
    """The exact denoisers of two distributions over listed words; the classifier reads the first position."""
    own = noise(kernel)
    width = own.states
    return Row(
        lambda _: Listed(own, data(1)),
        lambda _: Listed(own, data(0)),
        lambda x, _: (x[:, 0] * torch.linspace(-1, 1, width, dtype=x.dtype)).sum(1),
        lambda x0: x0.softmax(-1)[:, :, 0].sum(1),
        lambda n: torch.nn.functional.one_hot(torch.zeros(n, 2, dtype=torch.long), width).double(),
    )


def multinomial(variant):
    model = multinomial_model(variant).eval()
    pull = torch.linspace(-1, 1, model.noise.states)
    return Row(
        lambda n: model.denoiser({"class": "b"}, n),
        lambda n: model.denoiser(None, n),
        lambda x, _: (x * pull).sum((1, 2)),
        lambda x0: (x0.softmax(-1) * pull).sum((1, 2)),
        lambda n: model.like(n, Streams.of(0, n)),
    )


def molecules(kernel):
    """Centred coordinates, numbers and kinds in one state; the classifier and the energy read every part."""
    noise = product(kernel=kernel)
    width = noise.part("kinds").noise.states
    pull = torch.linspace(-1, 1, noise.size, dtype=torch.float64)

    def energy(x0):
        parts = noise.split(x0)
        long = parts["positions"].square().sum((1, 2)) / 10 + parts["positions"][:, 0, 0]
        return long + parts["charge"].mean((1, 2)) + parts["kinds"].softmax(-1)[..., width - 2].sum(1)

    return Row(
        lambda _: Molecule(noise, 0.9, 0.1, 0.7),
        lambda _: Molecule(noise),
        lambda x, _: (x * pull).sum(1),
        energy,
        lambda n: Molecule(noise).like(n),
    )


MODELS = {
    "mixture": exact,
    "ddpm eps": images,
    "ddpm v, learned variance": partial(images, target="v", variance="learned"),
    "words, uniform": partial(words, "uniform"),
    "words, absorbing": partial(words, "absorbing"),
    "multinomial, sequences": partial(multinomial, "sequences, classes"),
    "multinomial, pictures": partial(multinomial, "pictures, uniform"),
    "molecules, uniform": partial(molecules, "uniform"),
    "molecules, absorbing": partial(molecules, "absorbing"),
}
GUIDES = {
    "none": lambda row, n: row.conditional(n),
    "classifier-free": lambda row, n: ClassifierFree(row.conditional(n), row.plain(n), 2.0, (0.1, 0.9)),
    "classifier, mean": lambda row, n: ByClassifier(row.plain(n), row.log_prob, 0.5, "mean"),
    "classifier, score": lambda row, n: ByClassifier(row.plain(n), row.log_prob, 0.5, "score"),
    "property through x_t": lambda row, n: ByProperty(row.plain(n), row.energy, 0.5),
    "property at x_0": lambda row, n: ByProperty(row.plain(n), row.energy, 0.5, "x_0"),
    "value": lambda row, n: ToValue(row.plain(n), row.energy, 0.5, 0.3),
    "all three": lambda row, n: ByProperty(
        ByClassifier(ClassifierFree(row.conditional(n), row.plain(n), 1.5), row.log_prob, 0.3, "score"), row.energy, 0.3
    ),
}


def noises(noise):
    """Noise of each part by name."""
    return {part.name: part.noise for part in noise.parts} if isinstance(noise, Product) else {"all": noise}


def pieces(noise, x):
    """The parts of a state by name."""
    return noise.split(x) if isinstance(noise, Product) else {"all": x}


SLOW = {"ddpm v, learned variance", "multinomial, pictures"}
"""Further nets of kinds that are in the quick part already."""


def slow(name):
    return pytest.mark.slow if name in SLOW else ()


@pytest.fixture(scope="module", params=[pytest.param(name, marks=slow(name)) for name in MODELS])
def row(request):
    return MODELS[request.param]()


def pairs():
    """Triples in which every pair occurs: those whose places in the three lists sum to a multiple of the shortest."""
    lists = [list(MODELS), list(GUIDES), list(SOLVERS)]
    least = min(map(len, lists))
    return [
        pytest.param(*(names[k] for names, k in zip(lists, places, strict=True)), marks=slow(lists[0][places[0]]))
        for places in itertools.product(*(range(len(names)) for names in lists))
        if sum(places) % least == 0
    ]


def test_every_pair_of_model_guide_and_solver_is_among_the_cases():
    cases = [case.values for case in pairs()]
    for first, second in ((MODELS, GUIDES), (MODELS, SOLVERS), (GUIDES, SOLVERS)):
        for pair in itertools.product(first, second):
            assert any(set(pair) <= set(case) for case in cases), pair


@pytest.mark.parametrize(("row", "guide", "solver"), pairs(), indirect=["row"])
def test_every_sampler_takes_every_guide_on_every_model(row, guide, solver):
    """Runs, stays finite, repeats itself, touches no global state; sample i depends on stream i alone."""
    n = 4
    x, rng = row.start(n)
    guided = GUIDES[guide](row, n)
    assert isinstance(guided, Denoiser)
    own = noises(guided.noise)
    gaussian = any(isinstance(one, Gaussian) for one in own.values())
    if guide == "classifier, mean" and gaussian and not SOLVERS[solver].stochastic:
        with pytest.raises(CapabilityError, match="mode=score"):
            walk(guided, x, rng, solver=solver, steps=STEPS)
        return
    before = torch.random.get_rng_state()
    found = walk(guided, x, rng, solver=solver, steps=STEPS)
    assert found.shape == x.shape and found.dtype == x.dtype and not found.requires_grad
    assert bool(torch.isfinite(found).all())
    before_it = pieces(guided.noise, x)
    for name, part in pieces(guided.noise, found).items():
        if isinstance(own[name], Centred):
            assert float(part.mean(1).abs().max()) < 1e-12
        elif not isinstance(own[name], Gaussian):
            # One category at each position, none on padding.
            assert torch.equal(part.sum(-1), before_it[name].sum(-1))
    assert torch.equal(before, torch.random.get_rng_state())
    if solver not in ALONE:
        return
    part = slice(1, 3)
    again = walk(GUIDES[guide](row, 2), x[part], rng.take(part), solver=solver, steps=STEPS)
    # A net sums in another order in a batch of another size: float32 rounding over a few steps.
    assert torch.allclose(again, found[part], rtol=0, atol=1e-12 if x.dtype == torch.float64 else 2e-4)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_takes_any_share_of_chance(row, eta):
    x, rng = row.start(4)
    found = walk(row.plain(4), x, rng, solver="ddim", steps=STEPS, eta=eta)
    assert bool(torch.isfinite(found).all())


def test_automatic_steps_and_inversion_on_every_model(row):
    """Inversion is for Gaussian noise; categorical noise says so in one line."""
    x, rng = row.start(4)
    denoiser = row.plain(4)
    chosen = auto(denoiser, x, rng, tolerance=0.5, reference=8, candidates=(2, 4))
    assert chosen.steps in {2, 4, 8} and chosen.error <= 0.5
    x0 = walk(denoiser, x, rng, steps=STEPS)
    if not isinstance(denoiser.noise, Gaussian):
        with pytest.raises(CapabilityError, match="Gaussian"):
            invert(denoiser, x0, steps=2)
        return
    found = invert(denoiser, x0, steps=STEPS, refine=2)
    assert found.x.shape == x0.shape and bool(torch.isfinite(found.x).all()) and found.calls == 2 * STEPS
    assert found.times == times(denoiser.noise, STEPS, "log_snr")
    with torch.no_grad():
        assert bool(torch.isfinite(ddim(denoiser, found.x, found.times, rng)).all())
