"""The slide on collaborative filtering: every user is a data point of one machine, over what the user has rated."""

import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.maths.boltzmann import Couplings, contrast, free_energy, level_states, log_partition
from zsteer.models.ratings import bernoulli as binary
from zsteer.models.ratings.rating_rbm import RatingRBM, RatingSettings
from zsteer.models.ratings.settings import Rated

# The lecture's table, Dislike = 0 and Like = 1: (user, item) -> level.
TABLE = {
    0: {0: 1, 1: 0, 2: 1, 3: 1},
    1: {1: 1, 2: 0, 3: 0},
    2: {0: 1, 1: 1, 2: 0},
    3: {0: 0, 2: 1},
    4: {0: 1, 1: 1, 3: 0},
}


def lecture_batch():
    n = max(map(len, TABLE.values()))
    mask = torch.tensor([[k < len(row) for k in range(n)] for row in TABLE.values()])
    items, levels = (
        torch.tensor([[*part, *[0] * (n - len(row))] for row in TABLE.values() for part in [get(row)]])
        for get in (list, lambda row: list(row.values()))
    )
    return Batch({"items": items, "levels": levels}, mask=mask)


@pytest.mark.lecture("rbm.ratings")
def test_each_user_is_a_data_point_of_the_shared_machine(seed, measured):
    """Truth: with the rows of w and a of the rated items alone, the slide's machine has each user's free energy."""
    settings = RatingSettings(
        items=4,
        levels=("Dislike", "Like"),
        values=(0.0, 1.0),
        hidden="bernoulli",
        negative="chain",
        tie="free",
        factors=3,
        usage=0.0,
    )
    model = RatingRBM(settings).double()
    for name in ("w", "bias", "hidden_bias"):
        part = getattr(model, name)
        part.data = Streams.of(seed, 1).normal(name, (part.numel(),), dtype=torch.float64)[0].reshape(part.shape)
    model.tilt.data.fill_(-40.0)  # no tilt of users: the slide has none
    x = lecture_batch()
    rated = Rated.of(x, settings)
    with torch.no_grad():
        c, w = model.biases(rated.item), model.weights(rated.item)
        v = rated.chosen(2, c)
        field = binary.field(w, rated, v, model.implicit(rated) + model.hidden_bias)
        ours = -binary.minus_free_energy(c, field, rated, v)
        error = 0.0
        for user, row in TABLE.items():
            mine = rated.user == user
            p = Couplings(w[mine].flatten(0, 1), c[mine].flatten(), model.hidden_bias, "levels", "bernoulli", 2)
            error = max(error, abs(float(free_energy(v[mine].flatten(), p) - ours[user])))
            states = level_states(len(row), 2)
            assert float(torch.logsumexp(-free_energy(states, p), 0)) == pytest.approx(float(log_partition(p)))
    measured(error, "largest difference of a user's free energy from the slide's machine on the rated items, float64")
    assert error < 1e-12


@pytest.mark.lecture("rbm.ratings")
def test_users_share_the_weights():
    """The gradient of all users is the sum of each user's own, and an item that nobody of them rated gets none."""
    settings = RatingSettings(items=5, levels=("Dislike", "Like"), values=(0.0, 1.0), factors=2)
    model = RatingRBM(settings).double()
    x, rng = lecture_batch(), Streams.of(0, 5)
    model.prepare(x)

    def gradient(batch):
        model.zero_grad()
        sum(term.sum() for term in model.losses(batch, "machine", rng).values()).backward()
        return model.w.grad.clone()

    whole = gradient(x)
    parts = sum(gradient(x.take(slice(k, k + 1))) for k in range(5))
    assert torch.allclose(whole, parts, atol=1e-12)
    assert not bool(whole[4].any())
    assert contrast(torch.ones(1), torch.zeros(1)) == 1


@pytest.mark.parametrize("hidden", ["gaussian", "bernoulli"])
def test_a_step_of_the_model_makes_what_users_rated_likelier(hidden):
    """Truth: the biases' gradient is (share of the level under the machine) - (share in the ratings), as printed."""
    settings = RatingSettings(
        items=5,
        levels=("Dislike", "Like"),
        values=(0.0, 1.0),
        factors=2,
        hidden=hidden,
        negative="closed" if hidden == "gaussian" else "chain",
        usage=0.0,
        decay=0.0,
        bias_decay=0.0,
    )
    with initialised(0):
        model = RatingRBM(settings).double()
    copies = 80  # so that a chain's draws cancel
    x, rng = lecture_batch().take(torch.arange(5).repeat(copies)), Streams.of(0, 5 * copies)
    model.prepare(x)
    model.bias.data.zero_()
    model.w.data.zero_()
    model.zero_grad()
    model.losses(x, "machine", rng)["machine"].sum().backward()
    rated = {item: [row[item] for row in TABLE.values() if item in row] for item in range(4)}
    # Without weights each item is liked as often as all are, 9 of 15; the step goes to its own share.
    for item, levels in rated.items():
        likes = sum(levels) - len(levels) * 9 / 15
        slope = float(model.bias.grad[item])
        assert slope * likes < 0, (item, slope, likes)
