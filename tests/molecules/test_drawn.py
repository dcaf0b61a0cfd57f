"""Molecules drawn more than once: what is kept is valid where any was, and the nearest of those."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.chains import CONDITIONS, small

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.molecules.chemistry import parse_smiles
from zsteer.domains.molecules.descriptors import graph_values
from zsteer.errors import InputError
from zsteer.kits.molecules.candidates import by_definition, by_guide, drawn
from zsteer.kits.molecules.kit import MoleculeKit
from zsteer.models.edm.states import sizes_of
from zsteer.predictors.noisy_property import NoisyProperty

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


def gap(batch, molecules, rows):
    """How many atoms each is away from five."""
    del molecules, rows
    assert batch.mask is not None
    return np.abs(batch.mask.sum(1).numpy() - 5.0)


def test_more_candidates_change_a_molecule_only_for_a_nearer_one(seed):
    rng = Streams.of(seed, 40)
    sizes = [drawn(alkanes, rng, candidates=k, distance=gap).molecules.sizes for k in (1, 2, 4, 8)]
    assert np.array_equal(sizes[0], drawn(alkanes, rng).molecules.sizes)
    for fewer, more in pairwise(sizes):
        near, nearer = np.abs(fewer - 5), np.abs(more - 5)
        assert (nearer <= near).all()
        assert np.array_equal(more[nearer == near], fewer[nearer == near])
    # Of eight of seven lengths, one in seven is five: nearly every row finds it.
    assert np.abs(sizes[-1] - 5).mean() < 0.5 < np.abs(sizes[0] - 5).mean()


def test_what_is_not_valid_is_drawn_again_and_never_kept_before_what_is(seed):
    rng = Streams.of(seed, 60)

    def walk(rows, streams):
        return alkanes(rows, streams, broken=0.5)

    once, again = drawn(walk, rng), drawn(walk, rng, tries=12)
    bad = np.array([bool(reason) for reason in once.reasons])
    assert once.walks == 1 and once.first == again.first == 1 - bad.mean()
    assert 0.2 < once.first < 0.8
    assert sum(bool(reason) for reason in again.reasons) <= 1
    assert np.array_equal(again.molecules.sizes[~bad], once.molecules.sizes[~bad])
    nearest = drawn(walk, rng, candidates=12, distance=gap)
    assert sum(bool(reason) for reason in nearest.reasons) <= 1


def test_a_row_depends_on_its_stream_alone(seed):
    many = drawn(alkanes, Streams.of(seed, 9), candidates=3, distance=gap).molecules.sizes
    few = drawn(alkanes, Streams.of(seed, 4), candidates=3, distance=gap).molecules.sizes
    assert np.array_equal(many[:4], few)


def test_distances_are_those_of_definitions_and_of_the_guide():
    model = small(**CONDITIONS)
    rng = Streams.of(3, 6)
    batch, _ = alkanes(None, rng)
    made = drawn(alkanes, rng).molecules
    asked = {"logp": torch.tensor([1.0], dtype=torch.float64)}
    found = by_definition(model, asked)(batch, made, torch.arange(6))
    assert made.smiles is not None
    for i, word in enumerate(made.smiles.tolist()):
        assert found[i] == pytest.approx((graph_values(parse_smiles(word))["logp"] - 1.0) ** 2)
    with pytest.raises(InputError, match="add guide=MODEL"):
        by_definition(model, {"mu_debye": torch.tensor([1.0])})

    settings = model.settings.model_copy(update={"self_conditioning": False, "largest": MOST})
    judge = NoisyProperty(settings).eval()
    told = by_guide(judge, model, {"mu_debye": torch.full((6,), 2.5, dtype=torch.float64)})
    found = told(batch, made, torch.arange(6))
    for size, own in sizes_of(batch):
        alone = told(batch.take(own), made.take(own.numpy()), own)
        # Batches of other sizes sum float32 in another order.
        assert np.allclose(found[own.numpy()], alone, rtol=1e-4), size
    assert (found > 0).all()


def test_candidates_need_a_value_to_be_near_to():
    offered = MoleculeKit(small(**CONDITIONS), None, torch.device("cpu"))
    with pytest.raises(InputError, match="no value is asked for"):
        offered.sample(2, {"steps": "2", "candidates": "3"}, Streams.of(0, 2))
    with pytest.raises(InputError, match="at least 1"):
        offered.sample(2, {"steps": "2", "candidates": "0"}, Streams.of(0, 2))
    made = offered.sample(3, {"steps": "2", "candidates": "2", "tries": "1", "logp": "0.5"}, Streams.of(0, 3))
    assert len(made) == 3
    assert made.facts["candidates"] == "the nearest of 2 by the definitions"
