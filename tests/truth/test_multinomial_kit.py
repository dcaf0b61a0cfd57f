"""What surrounds multinomial diffusion: cuts of pictures, Markov chains, properties of sequences, and the kits."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from tests.contract.test_multinomial_models import model

from zsteer.bench.multinomial.markov import markov_chain
from zsteer.core.batch import Batch
from zsteer.core.goal import Budget, Goal
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec
from zsteer.domains.images.segments import Cut
from zsteer.domains.sequences import files
from zsteer.domains.sequences.measures import charge, hydropathy
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import CapabilityError, InputError, SettingsError
from zsteer.kits import front
from zsteer.kits.base import Subject
from zsteer.kits.images.kit import ImageKit
from zsteer.kits.sequences.kit import SequenceKit

CPU = torch.device("cpu")


def one_hot(sequences):
    x = SequenceSpace().encode(sequences)
    return torch.nn.functional.one_hot(x["tokens"].clamp(max=19), 20).double() * x.mask[..., None]


def test_properties_on_sequences_worked_by_hand():
    p = one_hot(["KRDEK", "AAAAAAA"])
    assert charge(p).tolist() == [1.0, 0.0]
    assert hydropathy(p).tolist() == pytest.approx([(-3.9 - 4.5 - 3.5 - 3.5 - 3.9) / 5, 1.8])
    # Expected residues count by their share, and padding counts nothing.
    half = 0.5 * one_hot(["KKKKK"]) + 0.5 * one_hot(["AAAAA"])
    assert float(charge(half)) == 2.5


def test_a_cut_finds_the_greys_and_paints_them_back():
    greys = torch.tensor([0.0, 0.2, 0.6, 1.0])
    rng = Streams.of(0, 5)
    level = rng.integers("level", 4, (1, 6, 8))
    noisy = (greys[level] + 0.02 * (rng.uniform("noise", (1, 6, 8)) - 0.5)).clamp(0, 1)
    cut = Cut.learn(noisy, 4)
    assert cut.greys == pytest.approx(greys.tolist(), abs=0.02)
    assert cut.shape == (1, 6, 8)
    found = cut.cut(Batch({"x": noisy, "y": torch.arange(5)}))
    assert torch.equal(found["x"].long(), level) and torch.equal(found["y"], torch.arange(5))
    assert torch.equal(cut.cut(cut.paint(found))["x"], found["x"])
    assert Cut.of(cut.settings()) == cut
    assert Cut.learn(noisy, 2, shrink=2).shape == (1, 3, 4)
    with pytest.raises(InputError, match="no colour"):
        Cut.learn(torch.zeros(2, 3, 4, 4), 2)
    with pytest.raises(InputError, match="at least 3 greys"):
        Cut.learn(torch.zeros(2, 1, 4, 4), 3)
    with pytest.raises(InputError, match="pictures that shrink to"):
        cut.cut(Batch({"x": torch.zeros(2, 1, 4, 4)}))


def words(seed, n, width=12):
    """Sequences over 2 symbols: the next is the same with 0.8; each place ends the sequence with 1/4."""
    rng = Streams.of(seed, n)
    length = 1 + (rng.uniform("stop", (width,), dtype=torch.float64) > 0.25).int().cumprod(1).sum(1).clamp(
        max=width - 1
    )
    turn = rng.uniform("turn", (width,)) > 0.8
    mask = torch.arange(width) < length[:, None]
    return Batch({"tokens": torch.where(mask, turn.int().cumsum(1) % 2, 22).long()}, mask=mask)


def test_a_markov_chain_learns_the_chain_that_made_the_data(seed):
    train, valid, test = (words(3 * seed + k, 4000) for k in range(3))
    plain, first, second = (markov_chain(train, valid, order, categories=2) for order in range(3))
    assert first.table.exp().sum(1).tolist() == pytest.approx([1.0] * 4)
    a, b, c = (-float(each.log_prob(test).mean()) for each in (plain, first, second))
    # One symbol of context is all there is; two only find what is chance.
    assert a - b > 0.3 and abs(b - c) < 0.02
    assert first.table[0, :2].exp().tolist() == pytest.approx([0.75 * 0.8, 0.75 * 0.2], abs=0.03)
    assert len(second.strengths) == 3


def test_a_markov_chain_is_a_distribution_over_sequences_of_all_lengths():
    """Sequences of at most 3 symbols, and what is left for the longer ones: it is the chance of no stop so far."""
    chain = markov_chain(words(0, 500), words(1, 500), 1, categories=2)
    total, going = 0.0, 0.0
    for n in (1, 2, 3):
        rows = torch.tensor(list(product(range(2), repeat=n)))
        mask = torch.ones_like(rows, dtype=torch.bool)
        p = chain.log_prob(Batch({"tokens": rows}, mask=mask)).exp()
        total += float(p.sum())
        stop = chain.table[rows[:, -1], 2].exp()
        going = float((p / stop * (1 - stop)).sum())
    empty = float(chain.table[3, 2].exp())  # the stop at once, which the data never have
    assert total + going + empty == pytest.approx(1)
    with pytest.raises(SettingsError, match="order 0"):
        markov_chain(words(0, 5), words(1, 5), 6)


def subject(variant, space, **datum):
    made = model(variant, datum=SampleSpec(**datum, values="levels", space=space))
    return Subject(made.eval(), None, CPU)


def receptors():
    """A model of sequences with classes, which has learned nothing."""
    return subject("sequences, classes", {"name": "sequences"}, shape=(30,), levels=20)


def drawn(of, n, seed=0, given=None, **options):
    return front.sample(of, n, given=given or {}, options={"max_retries": 0, **options}, seed=seed)


def steered(of, toward, *, start=None, keep=None, given=None, top=1, edits=None, seed=0, **options):
    request = front.Request(
        Goal(toward, given or {}, keep or {}),
        options.pop("by", None),
        options.pop("number", None),
        Budget(edits=edits, top=top),
        seed,
        {"max_retries": 0, **options},
    )
    return front.steer(of, start, request)


def test_sequences_are_sampled_written_and_read_back(tmp_path):
    of, kit = receptors(), SequenceKit()
    for given, options in (
        ({}, {}),
        ({"class": "b"}, {"scale": 2.0}),
        ({}, {"steps": 3, "solver": "ddim", "eta": "0.5"}),
        ({"length": "12"}, {}),
    ):
        found = drawn(of, 6, given=given, **options)
        assert len(found) == 6 and found.noun == "sequences"
    assert {len(text) for text in found.items} == {12}
    assert found.facts["steps"] == 6  # the chain's own
    for name in ("s.tsv", "s.fasta"):
        kit.write(tmp_path / name, found, overwrite=False)
        again = files.read(tmp_path / name, anchored=False)  # an untrained model knows no anchors
        assert torch.equal(again.batch["tokens"], found.batch["tokens"])
    # Sample 3 of a seed is the same among fewer.
    assert drawn(of, 4, given={"length": "12"}).items == found.items[:4]


def test_every_solver_walks_over_categories():
    of = receptors()
    for solver in ("ancestral", "ddim", "multistep2", "multistep3", "heun"):
        found = drawn(of, 3, seed=1, steps=4, solver=solver)
        assert bool((found.batch["tokens"][found.batch.mask] < 20).all())


def test_steering_moves_the_property_and_needs_no_training(seed):
    of = receptors()
    up, down = (steered(of, {"charge": wanted}, number=60, steps=6, tolerance=1.0, seed=seed) for wanted in (6, -6))
    a, b = (charge(one_hot(found.items)) for found in (up, down))
    # An untrained model's residues are about even: the charge of 17 has a deviation of 1.8, the mean of 60 of 0.24.
    assert float(a.mean()) > 1.5 and float(b.mean()) < -1.5
    assert up.facts["method"] == "guide"
    # What is told is measured on what came out.
    assert up.facts["charge"].startswith(f"{float(a.mean()):.4g}")
    assert [float(value) for value in up.columns["charge"]] == a.tolist()


def test_ranges_and_directions_pull_as_values_do(seed):
    of = receptors()
    least, most, high = (
        charge(one_hot(steered(of, {"charge": wanted}, number=40, steps=6, seed=seed, **options).items)).mean()
        for wanted, options in (("5..", {}), ("..-5", {}), ("up", {"strength": 5.0}))
    )
    assert float(least) > 1.5 and float(most) < -1.5 and float(high) > 1.5
    free = charge(one_hot(steered(of, {"charge": "-40..40"}, number=40, steps=6, seed=seed).items)).mean()
    assert abs(float(free)) < 1.2  # nothing to pull at: four deviations of the mean


def test_a_start_keeps_its_length_and_most_of_itself():
    start = SequenceKit().take(["CASSLGQAYEQYF", "CASSF"], receptors())
    found = steered(receptors(), {"hydropathy": 0.5}, start=start, top=2, steps=8, depth=0.05)
    assert [len(text) for text in found.items] == [13, 13, 5, 5]
    same = [sum(a == b for a, b in zip(text, "CASSLGQAYEQYF", strict=True)) for text in found.items[:2]]
    assert min(same) >= 9
    assert found.columns["template"] == ["CASSLGQAYEQYF"] * 2 + ["CASSF"] * 2


def test_a_change_counts_from_each_start(seed):
    """Two starts with charges 4 and 0 both gain 2, where without a pull both fall back to what the model makes."""
    start = SequenceKit().take(["CASSKKAYKKSAYEQF", "CASSAGAYGGSAYEQF"], receptors())
    gained = [
        charge(one_hot(found.items)).reshape(2, 40).mean(1) - charge(one_hot(start.items))
        for found in (
            steered(receptors(), {"charge+": 2}, start=start, top=40, steps=8, seed=seed, tolerance=1.0, **options)
            for options in ({}, {"strength": 0.0})
        )
    ]
    # Without a pull the first start loses 2; 0.7 is four deviations of the mean of 40, as wide as the tolerance.
    assert (gained[0] - 2).abs().max() < 0.7
    assert gained[1][0] < -1


def test_bad_requests_are_one_line_each(tmp_path):
    of, kit = receptors(), SequenceKit()
    for given, options, error, match in (
        ({}, {"steps": 0}, SettingsError, "steps"),
        ({}, {"step": 5}, SettingsError, "'steps'"),
        ({"steps": 5}, {}, SettingsError, "--steps"),
        ({"class": "boot"}, {}, InputError, "class"),
        ({"length": "long"}, {}, InputError, "length"),
        ({"length": "31"}, {}, InputError, "30"),
        ({"long": 3}, {}, InputError, "'length'"),
        ({"guide": "fashion-guide"}, {}, SettingsError, "zsteer steer"),
        ({}, {"scale": 2}, SettingsError, "scale"),
    ):
        with pytest.raises(error, match=match) as told:
            drawn(of, 2, given=given, **options)
        assert "\n" not in str(told.value)
    for toward, options, error, match in (
        ({"charg": 1}, {}, InputError, "'charge'"),
        ({"charge": "much"}, {}, InputError, "charge"),
        ({"charge": 1}, {"by": "guide", "keep": {"ends": 3}}, CapabilityError, "ends=3"),
        ({"charge": 1}, {"by": "guide", "edits": 2}, InputError, "--max-edits"),
        ({"class": "a"}, {"guide": "fashion-guide"}, InputError, "class"),
        ({"charge+": 1}, {"by": "guide"}, InputError, "--input"),
    ):
        with pytest.raises(error, match=match) as told:
            steered(of, toward, number=2, **options)
        assert "\n" not in str(told.value)
    (tmp_path / "bad.tsv").write_text("cdr3b\nCASSLGQF\nCAXSLGQF\n", encoding="utf-8")
    with pytest.raises(InputError, match="X"):
        kit.read(tmp_path / "bad.tsv", of)
    with pytest.raises(CapabilityError, match="multinomial"):
        front.about_subject(Subject(model("sequences, uniform"), None, CPU))


def test_cut_pictures_are_sampled_steered_written_and_read_back(tmp_path):
    cut, kit = Cut((0.0, 0.5, 1.0), 8, 8), ImageKit()
    of = subject("pictures, uniform", cut.settings(), shape=(1, 8, 8), levels=3)
    assert front.about_subject(of).domain == "images"
    found = front.sample(of, 4, given={"class": "b"}, options={"steps": 3}, seed=0)
    kit.write(tmp_path / "s.npz", found, overwrite=False)
    kit.write(tmp_path / "s.png", found, overwrite=False)
    with np.load(tmp_path / "s.npz") as file:
        assert set(np.unique(file["x"]).tolist()) <= {0, 127, 128, 255}
    assert torch.equal(kit.encode(kit.read(tmp_path / "s.npz", of), of)["x"], found.batch["x"])
    bright, dark = (steered(of, {"brightness": wanted}, tolerance=0.02) for wanted in (0.9, 0.1))
    # It moves by the pull, up for more and down for less; the column says what the pixels are.
    light, shade = (float(cut.paint(each.batch)["x"].mean()) for each in (bright, dark))
    assert light > shade + 0.2
    assert np.mean([float(value) for value in bright.columns["brightness"]]) == pytest.approx(light, abs=1e-3)


class Even(torch.nn.Module):
    """All residues alike."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, t, y):
        del t, y
        return x * self.weight


def test_bits_of_independent_residues_count_their_length():
    """The figure of the card: even residues and one length cost log2(20) each, and nothing for the length."""
    from zsteer.recipes.multinomial.build import measured

    made = model("sequences, uniform", steps=20)
    made.begin(
        Batch({"tokens": torch.zeros(9999, 30, dtype=torch.long)}, mask=(torch.arange(30) < 10).expand(9999, 30))
    )
    made.net = Even()
    rng = Streams.of(0, 200)
    x = Batch({"tokens": rng.integers("x", 20, (30,))}, mask=(torch.arange(30) < 10).expand(200, 30))
    told = measured(made, x, 0)
    # The bound of the exact denoiser is tight; its noise is that of x_t.
    assert abs(told["bits_a_residue"] - math.log2(20)) < 4 * told["bits_a_residue_se"] + 0.003
    assert told["calls"] == 20 and told["test_samples"] == 200


def test_the_likelihood_protocol_counts_residues_and_length(tmp_path):
    from zsteer.kits.images.likelihood import likelihood
    from zsteer.kits.protocols import EvaluationRequest

    receptors().model.save_pretrained(tmp_path / "model")
    protocol = likelihood(tmp_path / "model")
    x = SequenceSpace().encode(["CASSLGQAYEQYF", "CASSF", "CASSPGTGGNEQFF"])
    table, terms = protocol.evaluate(x, EvaluationRequest()).tables
    (_, nats, _, bits), parts = table.rows[0], {row[0]: row[1] for row in terms.rows}
    assert bits == pytest.approx(-nats * 3 / (13 + 5 + 14) / math.log(2))
    assert sum(parts.values()) == pytest.approx(bits)
    assert parts["length"] > 0
    files.write(tmp_path / "x.tsv", ["CASSLGQAYEQYF", "CASSLGQF"])
    with pytest.warns(UserWarning, match="classes are not used: the file has none"):
        assert len(protocol.read(tmp_path / "x.tsv", skip_invalid=False)) == 2


@pytest.mark.slow
def test_a_quick_benchmark_has_every_table(data_folder):
    from zsteer.bench.multinomial import tables

    made = tables(data=data_folder, quick=True, watch=lambda _: None)
    assert len(made) == 6
    bits = {str(row[0]): float(row[1]) for row in made[0].rows}
    assert bits["Markov, order 2"] < bits["Markov, order 1"] < bits["Markov, order 0"] < 4.33
    assert all(1.5 < value < 4.33 for name, value in bits.items() if "diffusion" in name)
    pixels = {str(row[0]): float(row[1]) for row in made[4].rows}
    assert pixels["each pixel given four before it"] < pixels["each pixel by itself"] < 2
