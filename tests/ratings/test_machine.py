"""The machine for ratings against enumeration: conditionals, joint fill-ins, the closed negative phase."""

import itertools

import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.models.ratings import bernoulli as binary
from zsteer.models.ratings import gaussian
from zsteer.models.ratings.fill import exact
from zsteer.models.ratings.rating_rbm import RatingRBM, RatingSettings
from zsteer.models.ratings.settings import Rated

K, ITEMS = 3, 6
KINDS = {"gaussian": {}, "bernoulli": {"hidden": "bernoulli", "negative": "chain"}}


def machine(seed, spread=0.5, **variant):
    settings = RatingSettings(
        items=ITEMS, levels=("1", "2", "3"), values=(1.0, 2.0, 3.0), factors=2, usage=0.4, **variant
    )
    model = RatingRBM(settings).double()
    for name, parameter in model.named_parameters():
        noise = Streams.of(seed, 1).normal(name, (parameter.numel(),), dtype=torch.float64)[0]
        if name != "tilt":
            parameter.data = (spread * noise).reshape(parameter.shape)
    model.frequency.copy_(torch.tensor([0.2, 0.5, 0.3]))
    return model


def user(items, levels):
    return Batch(
        {"items": torch.tensor([items]), "levels": torch.tensor([levels])},
        mask=torch.ones(1, len(items), dtype=torch.bool),
    )


def minus_free_energy(model, x, items, states, *, normalised=False):
    """-F(v | S) of several states of the same items, about the point of what ``x`` has rated."""
    n = len(states)
    known = Rated.of(x, model.settings)
    point = gaussian.user_point(model.biases(known.item), model.shared(), known)
    place = torch.tensor(items).repeat(n)
    rated = Rated(torch.arange(n).repeat_interleave(len(items)), place, torch.tensor(states).flatten(), n)
    c = model.biases(place)
    v = rated.chosen(K, c)
    if model.settings.hidden == "gaussian":
        loads = gaussian.Loads(model.shared(), model.score(), model.w[place])
        asked = model.implicit(known).expand(n, -1)
        at = gaussian.posterior(c, loads, rated, asked, point=point.expand(n, -1), v=v)
        return at.minus_free_energy(normalised=normalised)
    c = (c + (point @ model.shared().T)).log_softmax(1)
    field = binary.field(model.weights(place), rated, v, (model.implicit(known) + model.hidden_bias).expand(n, -1))
    return binary.minus_free_energy(c, field, rated, v)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prediction_is_the_conditional_of_the_enumerated_machine(kind, seed):
    model = machine(seed, **KINDS[kind])
    with torch.no_grad():
        x = user([0, 3, 4], [2, 0, 1])
        said = model.predict(x, torch.tensor([0]), torch.tensor([5]))[0]
        joint = minus_free_energy(model, x, [0, 3, 4, 5], [[2, 0, 1, k] for k in range(K)])
        states, log_p = exact(model, x, torch.tensor([5]))
    assert states.flatten().tolist() == list(range(K))
    assert torch.allclose(said, log_p, atol=1e-10)
    # Float64; the two ways differ by rounding only.
    assert torch.allclose(said, joint.log_softmax(0), atol=1e-10)
    assert float(said.exp().sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_fill_ins_have_the_joint_distribution(kind, seed):
    model = machine(seed, **KINDS[kind])
    x = user([0, 3], [2, 0])
    n = 3000
    with torch.no_grad():
        states = [list(pair) for pair in itertools.product(range(K), repeat=2)]
        joint = minus_free_energy(model, x, [0, 3, 1, 5], [[2, 0, *pair] for pair in states]).softmax(0)
        assert torch.allclose(exact(model, x, torch.tensor([1, 5]))[1].exp(), joint, atol=1e-10)
        drawn = model.fill(x.take(torch.zeros(n, dtype=torch.long)), torch.tensor([[1, 5]] * n), Streams.of(seed, n))
    found = torch.bincount(drawn[:, 0] * K + drawn[:, 1], minlength=K * K) / n
    # Independent chains of 50 sweeps over 2 blanks: binomial noise alone; 5 sigma for 9 cells x 42 tests.
    assert bool(((found - joint).abs() < 5 * (joint * (1 - joint) / n).sqrt()).all())


def test_the_closed_negative_phase_is_right_to_second_order(seed):
    """Truth: the sum of exp(-F) over all states is 1 but for terms of third order and beyond in the weights."""
    gaps = []
    for spread in (0.2, 0.1):
        model = machine(seed, spread=spread)
        model.tilt.data.fill_(-30.0)
        model.settings = model.settings.model_copy(update={"usage": 0.0})
        with torch.no_grad():
            states = [list(v) for v in itertools.product(range(K), repeat=4)]
            values = minus_free_energy(model, model.nobody(), [0, 1, 2, 4], states, normalised=True)
        gaps.append(abs(float(torch.logsumexp(values, 0))))
    assert gaps[0] < 0.05
    # Halving the weights divides terms of the third order by 8 and of the fourth by 16; the biases change as well,
    # so a factor 4 is asked for (or both are below rounding in effect).
    assert gaps[1] < max(gaps[0] / 4, 1e-5)


def test_a_new_user_is_told_the_item_frequencies():
    model = machine(0, spread=1e-6)
    model.base.data.copy_(model.frequency.log())
    said = model.predict(model.nobody(), torch.tensor([0]), torch.tensor([2]))[0].exp()
    # The shared units are spread over users, which widens the middle of the scale by a little: 0.4^2 and 0.5^2.
    assert torch.allclose(said, model.frequency, atol=0.05)


def test_a_user_is_folded_in_like_a_known_one(seed):
    model = machine(seed)
    both = Batch.cat([user([0, 3, 4], [2, 0, 1]), user([1, 2, 5], [0, 0, 2])])
    together = model.predict(both, torch.tensor([1, 0]), torch.tensor([3, 1]))
    alone = model.predict(both.take(slice(1, 2)), torch.tensor([0]), torch.tensor([3]))
    assert torch.allclose(together[:1], alone, atol=1e-10)


def test_more_ratings_move_a_belief_but_do_not_blow_it_up():
    """With a conditional precision the mean of a hidden unit stays of order 1 however many ratings agree."""
    settings = RatingSettings(items=2000, levels=("1", "2"), values=(0.0, 1.0), factors=1, usage=0.0)
    model = RatingRBM(settings)
    model.w.data.fill_(0.5)
    sizes = []
    for n in (10, 100, 2000):
        x = user(list(range(n)), [k % 4 != 0 for k in range(n)])
        rated = Rated.of(x.with_fields(levels=x["levels"].long()), settings)
        c, loads = model.biases(rated.item), gaussian.Loads(model.shared(), model.score(), model.w[rated.item])
        point = torch.zeros(1, 1)
        v = rated.chosen(2, c)
        at = gaussian.posterior(c, loads, rated, model.implicit(rated), point=point, v=v)
        sizes.append(float(at.mean().detach().norm()))
    assert max(sizes) < 3.0


def test_no_chain_and_no_kept_user_are_answered_plainly():
    model = machine(0)
    model.users = ("Ann", "Bob")
    with pytest.raises(InputError, match="'Ann'"):
        model.known("Anne")
    with pytest.raises(InputError, match="'items'"):
        model.sample(1, given={"item": "x"}, rng=Streams.of(0, 1))


def test_too_many_states_are_not_enumerated():
    settings = RatingSettings(items=20, levels=("1", "2", "3"), values=(1.0, 2.0, 3.0))
    model = RatingRBM(settings)
    with pytest.raises(InputError, match="at most 65536 states"):
        exact(model, model.nobody(), torch.arange(11))
