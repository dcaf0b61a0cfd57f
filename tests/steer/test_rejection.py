"""Samples drawn more than once: what is kept is valid where any was, and the nearest of those."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.chains import CONDITIONS, small

from zsteer.core.batch import Batch
from zsteer.core.goal import Goal
from zsteer.core.objective import Objective, Target
from zsteer.core.property import Property
from zsteer.core.rng import Streams
from zsteer.domains.molecules.chemistry import parse_smiles
from zsteer.domains.molecules.descriptors import graph_values
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.kits import front
from zsteer.kits.base import Subject
from zsteer.kits.molecules.kit import generated
from zsteer.models.edm.states import sizes_of
from zsteer.predictors.noisy_property import NoisyProperty
from zsteer.steer.options import DrawOptions
from zsteer.steer.rejection import draw_valid

MOST = 8


def alkanes(rows, rng, *, broken=0.0):
    """A chain of carbon for each stream, of a length that its stream draws; some lack a bond."""
    del rows
    size = 2 + rng.integers("length", MOST - 1)
    cut = rng.uniform("cut") < broken
    mask = torch.arange(MOST) < size[:, None]
    bond = torch.zeros(len(rng), MOST, MOST, dtype=torch.long)
    for i in range(MOST - 1):
        there = mask[:, i + 1] & ~(cut & (i == 0))
        bond[:, i, i + 1] = bond[:, i + 1, i] = there.long()
    none = torch.zeros(len(rng), MOST, dtype=torch.long)
    fields = {
        "xyz": torch.arange(MOST, dtype=torch.float32)[:, None].expand(len(rng), MOST, 3) * mask[..., None],
        "z": 6 * mask.long(),
        "charge": none,
        "hydrogens": none,
        "bond": bond,
        "aromatic": bond > 1,
    }
    return Batch(fields, mask), {}


def gap(batch, rows):
    """How many atoms each is away from five."""
    del rows
    return (sizes(batch) - 5.0).abs()


def sizes(batch):
    assert batch.mask is not None
    return batch.mask.sum(1).double()


def problems(batch):
    return generated(batch).problems


def drawn(draw, rng, *, best_of=1, max_retries=0, distance=None):
    options = DrawOptions(best_of=best_of, max_retries=max_retries)
    return draw_valid(draw, rng, options=options, problems=problems, distance=distance)


def test_the_best_of_more_changes_a_sample_only_for_a_nearer_one(seed):
    rng = Streams.of(seed, 40)
    found = [sizes(drawn(alkanes, rng, best_of=k, distance=gap).batch) for k in (1, 2, 4, 8)]
    assert torch.equal(found[0], sizes(drawn(alkanes, rng).batch))
    for fewer, more in pairwise(found):
        near, nearer = (fewer - 5).abs(), (more - 5).abs()
        assert bool((nearer <= near).all())
        assert torch.equal(more[nearer == near], fewer[nearer == near])
    # Of eight of seven lengths, one in seven is five: nearly every row finds it.
    assert float((found[-1] - 5).abs().mean()) < 0.5 < float((found[0] - 5).abs().mean())


def test_what_is_not_valid_is_drawn_again_and_never_kept_before_what_is(seed):
    rng = Streams.of(seed, 60)

    def draw(rows, streams):
        return alkanes(rows, streams, broken=0.5)

    once, again = drawn(draw, rng), drawn(draw, rng, max_retries=11)
    bad = torch.tensor([bool(reason) for reason in once.problems])
    assert once.rounds == 1 and once.first == again.first == pytest.approx(1 - float(bad.double().mean()))
    assert 0.2 < once.first < 0.8
    assert sum(bool(reason) for reason in again.problems) <= 1
    assert torch.equal(sizes(again.batch)[~bad], sizes(once.batch)[~bad])
    assert list(again.problems) == list(problems(again.batch))
    nearest = drawn(draw, rng, best_of=12, distance=gap)
    assert sum(bool(reason) for reason in nearest.problems) <= 1


def test_a_row_depends_on_its_stream_alone(seed):
    many, few = (sizes(drawn(alkanes, Streams.of(seed, n), best_of=3, distance=gap).batch) for n in (9, 4))
    assert torch.equal(many[:4], few)


def test_every_measured_sample_is_counted_and_a_value_that_cannot_be_measured_is_the_last_choice():
    rng = Streams.of(0, 10)
    assert drawn(alkanes, rng, best_of=3, distance=gap).calls == 30
    assert drawn(alkanes, rng).calls == 0

    def some(batch, rows):
        return torch.where(sizes(batch) > 5, torch.nan, gap(batch, rows))

    found = sizes(drawn(alkanes, rng, best_of=12, distance=some).batch)
    assert bool((found <= 5).all())
    with pytest.raises(InputError, match="--best-of"):
        drawn(alkanes, rng, best_of=2)


def subject():
    return Subject(small(**CONDITIONS), None, torch.device("cpu"))


def test_distances_are_those_of_the_definitions():
    """Best of several by a property: the gap of the objective is that of RDKit's value."""
    one, kit = subject(), front.kit_of("molecules")
    batch, _ = alkanes(None, Streams.of(3, 6))
    objective = Objective((Target(kit.properties(one)["logp"], 1.0, 1.0),), lambda x: kit.things(one, x))
    score = objective.score(objective.values(batch))
    smiles = generated(batch).molecules.smiles
    assert smiles is not None
    spread = kit.properties(one)["logp"].spread
    for i, word in enumerate(smiles.tolist()):
        assert float(score[i]) == pytest.approx(-abs(graph_values(parse_smiles(word))["logp"] - 1.0) / spread)


def test_a_guide_measures_every_size_as_alone():
    settings = small(**CONDITIONS).settings.model_copy(update={"self_conditioning": False, "largest": MOST})
    judge = NoisyProperty(settings).eval()
    batch, _ = alkanes(None, Streams.of(3, 6))
    found = judge.values(batch, "mu")
    for size, own in sizes_of(batch):
        # Batches of other sizes sum float32 in another order.
        assert torch.allclose(found[own], judge.values(batch.take(own), "mu"), rtol=1e-4), size
    assert len(set(found.tolist())) > 1


def test_the_best_of_several_needs_a_value_to_be_near_to():
    with pytest.raises(InputError, match="--best-of"):
        front.sample(subject(), 2, given={}, options={"steps": 2, "best_of": 3}, seed=0)
    with pytest.raises(SettingsError, match="best_of"):
        front.sample(subject(), 2, given={}, options={"steps": 2, "best_of": 0}, seed=0)
    options = {"steps": 2, "best_of": 2, "max_retries": 0}
    made = front.sample(subject(), 3, given={"logp": 0.5}, options=options, seed=0)
    assert len(made) == 3
    assert str(made.facts["best_of"]).startswith("2")


def test_the_best_of_several_in_a_steer_is_counted():
    goal = Goal(toward={"asphericity": 0.3}, given={"atoms": 5})
    options = {"steps": 2, "best_of": 4, "max_retries": 0}
    found = front.steer(subject(), None, front.Request(goal, by="guide", number=4, options=options))
    assert found.facts["oracle_calls"] == 16
    assert len(found) == 4
    with pytest.raises(CapabilityError, match="size"):
        # A property of one's own has no gradient: nothing pulls at it.
        own = {"size": Property("size", lambda graphs: np.zeros(len(graphs.mols)))}
        one = Subject(small(**CONDITIONS), None, torch.device("cpu"), own)
        front.steer(one, None, front.Request(Goal(toward={"size": 5}), by="guide"))
