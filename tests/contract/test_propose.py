"""What models propose around given samples: each row by its own stream, little at a small strength, much at 1."""

import pytest
import torch
from tests.chains import chains, small
from tests.contract.test_diffusion_models import ddpm
from tests.contract.test_multinomial_models import model as multinomial
from tests.contract.test_receptor_models import PANEL, receptors
from tests.vectors import samples

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.protocols import Proposes
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.models.autoregressive import Autoregressive, AutoregressiveSettings
from zsteer.steer.search.method import Search
from zsteer.steer.search.options import SearchOptions

NAMES = ("a", "b", "c")
MOLECULES = (4, 5, 5, 1, 4, 6)


def language(**settings):
    return Autoregressive(AutoregressiveSettings(hidden=12, embed=6, condition=4, **settings)).eval()


CASES = {
    "images": lambda: (ddpm(), samples("unit"), "x"),
    "images with classes": lambda: (ddpm(classes=NAMES, drop=0.0), samples("unit"), "x"),
    "rows": lambda: (ddpm("real", net="mlp"), samples("real"), "x"),
    "sequences, uniform": lambda: (multinomial("sequences, uniform"), receptors(), "tokens"),
    "sequences, absorbing": lambda: (multinomial("sequences, absorbing", steps=20), receptors(), "tokens"),
    "levels with classes": lambda: (multinomial("pictures, uniform"), samples("levels", levels=3), "x"),
    "language": lambda: (language(), receptors(), "tokens"),
    "language with a peptide": lambda: (language(panel=PANEL), receptors(), "tokens"),
    "molecules": lambda: (small(), chains(MOLECULES), "xyz"),
    "molecules, categorical": lambda: (small(features="categorical"), chains(MOLECULES), "xyz"),
}


def centred(x, name):
    """A field to compare; molecules about their centres."""
    value = x[name].float()
    if name != "xyz":
        return value
    shown = x.mask[..., None].float()
    return (value - (value * shown).sum(1, keepdim=True) / shown.sum(1, keepdim=True)) * shown


@pytest.mark.parametrize("name", list(CASES))
def test_a_row_depends_on_its_stream_alone_and_strength_is_how_much_changes(name):
    model, x, field = CASES[name]()
    assert isinstance(model, Proposes)
    rng = Streams.of(3, len(x))
    far, near = (model.propose(x, strength, rng) for strength in (1.0, 0.05))
    for made in (far, near):
        assert made[field].shape == x[field].shape
        assert made.mask is None or torch.equal(made.mask, x.mask)
    rows = torch.tensor([4, 1])
    alone = model.propose(x.take(rows), 1.0, rng.take(rows))
    assert torch.allclose(alone[field].float(), far[field][rows].float(), atol=1e-4)
    start = centred(x, field)
    moved = [(centred(made, field) - start).abs() for made in (near, far)]
    if field == "tokens":
        moved = [(each > 0).float() for each in moved]
    assert float(moved[0].mean()) < float(moved[1].mean())
    with pytest.raises(InputError, match="strength"):
        model.propose(x, 0.0, rng)


@pytest.mark.parametrize("strength", [0.01, 0.3, 1.0])
def test_a_language_model_redraws_a_share_and_never_the_ends(strength):
    x = receptors()
    made = language().propose(x, strength, Streams.of(0, len(x)))
    changed = made["tokens"] != x["tokens"]
    length = x.mask.sum(1)
    assert not changed[:, 0].any()
    assert not changed.gather(1, (length - 1)[:, None]).any()
    assert bool((changed.sum(1) <= (strength * (length - 2)).ceil().clamp(min=1)).all())
    assert changed.any()


def test_a_redrawn_residue_follows_the_probability_given_the_others():
    """One free place: frequencies against p(whole sequence), normalised over the letters."""
    model, n = language(), 4000
    tokens = torch.full((1, 30), 22)
    tokens[0, :3] = torch.tensor([1, 0, 4])
    x = Batch({"tokens": tokens.expand(n, -1)}, mask=(tokens < 20).expand(n, -1))
    made = model.propose(x, 1.0, Streams.of(0, n))["tokens"][:, 1]
    every = tokens.repeat(20, 1)
    every[:, 1] = torch.arange(20)
    log_p = model.log_prob(Batch({"tokens": every}, mask=every < 20), Streams.of(0, 20))
    share = torch.bincount(made, minlength=20) / n
    assert (share - log_p.softmax(0)).abs().max() < 4 * (0.25 / n) ** 0.5


@pytest.mark.parametrize("name", ["images", "molecules", "language"])
def test_a_search_runs_on_what_a_model_proposes(name):
    model, x, field = CASES[name]()
    x = x.take(slice(0, 3))
    total = Property("total", lambda things: centred(things, field).abs().flatten(1).sum(1))
    objective = Objective((Target(total, sign=1),), lambda things: things)
    search = Search(SearchOptions(rounds=2, proposals=4, proposal_strength=0.5))
    trail = search.run(model, x, objective, Constraint(), Budget(calls=9), Streams.of(0, 3))
    before = centred(x, field).abs().flatten(1).sum(1).double()
    assert bool((trail.scores["total"] >= before - 1e-5).all())
    assert bool((trail.scores["total"] > before + 1e-5).any())
    assert trail.calls <= 27
