"""The fresh probe and balanced sampling against what is known."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.sequences.epitopes import related
from zsteer.domains.sequences.panel import Panel, binding_loss, negative_weights, rates_of, rivals
from zsteer.errors import InputError
from zsteer.evaluate.disentangle import ProbeSettings, area_under_curve, fresh_probe
from zsteer.train.source import Shuffled
from zsteer.train.weighted import Balanced, Joined


def test_the_area_agrees_with_scikit_learn_with_ties():
    rng = Streams.of(0, 1)
    score = rng.integers("score", 7, (200,))[0].float()
    label = rng.uniform("label", (200,))[0] < 0.3
    expected = roc_auc_score(label.numpy(), score.numpy())
    assert area_under_curve(score[label], score[~label]) == pytest.approx(expected, abs=1e-12)


def _codes(seed, n, shift):
    rng = Streams.of(seed, n)
    label = rng.uniform("label") < 0.4
    return rng.normal("z", (3,)) + shift * label[:, None] * torch.tensor([1.0, 0.0, 0.0]), label


def test_the_probe_reaches_the_best_area_of_two_normals(seed):
    """Truth: two unit normals 1.5 apart have the area Phi(1.5 / sqrt 2) = 0.8556; standard error 0.008 at n = 2,000."""
    area = fresh_probe(_codes(seed, 4000, 1.5), _codes(seed + 100, 2000, 1.5))
    assert abs(area - 0.8556) < 0.035


def test_the_probe_finds_nothing_where_nothing_is(seed):
    """The area of a blind reader is 0.5 with a standard error of 0.013 at n = 2,000; four of them are allowed."""
    assert abs(fresh_probe(_codes(seed, 4000, 0.0), _codes(seed + 100, 2000, 0.0)) - 0.5) < 0.052


def test_only_a_probe_with_a_hidden_layer_reads_a_label_in_the_radius():
    rng = Streams.of(1, 3000)
    z = rng.normal("z", (2,))
    label = z.norm(dim=1) > 1.4
    learn, judge = (z[:2000], label[:2000]), (z[2000:], label[2000:])
    assert fresh_probe(learn, judge) > 0.95
    assert fresh_probe(learn, judge, ProbeSettings(hidden=0)) < 0.6


def test_one_class_alone_is_refused():
    with pytest.raises(InputError, match="positives and negatives"):
        fresh_probe((torch.zeros(4, 2), torch.zeros(4, dtype=torch.bool)), (torch.zeros(4, 2), torch.ones(4) > 0))


def _table(counts):
    peptide = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return Batch({"peptide": peptide, "row": torch.arange(len(peptide))})


def test_balanced_batches_have_the_rates_that_are_said():
    table = _table([400, 100, 4])
    source = Balanced(table, "peptide", 64, power=0.5, group=4)
    seen = torch.cat([source.batch(i, Streams.of(3, 1, start=i))["peptide"] for i in range(300)])
    share = torch.bincount(seen, minlength=3) / len(seen)
    # 4,800 groups: four standard errors are at most 0.03.
    assert torch.allclose(share, rates_of(table, 3, 0.5), atol=0.03)
    groups = source.batch(0, Streams.of(3, 1))["peptide"].reshape(-1, 4)
    assert bool((groups == groups[:, :1]).all())


def test_joined_sources_are_mixed_and_repeatable():
    parts = [Shuffled(_table([30]), 6), Balanced(_table([5, 5]), "peptide", 4)]
    joined = Joined(parts)
    first, again = (joined.batch(7, Streams.of(3, 1, start=7)) for _ in range(2))
    assert len(first) == 10
    assert torch.equal(first["row"], again["row"])
    assert not torch.equal(first["row"], joined.batch(8, Streams.of(3, 1, start=8))["row"])


def test_an_empty_table_or_a_broken_group_is_refused():
    with pytest.raises(InputError, match="no rows"):
        Balanced(_table([1]).take(slice(0, 0)), "peptide", 4)
    with pytest.raises(InputError, match="multiple of group=3, got 4"):
        Balanced(_table([5]), "peptide", 4, group=3)


def test_negatives_weigh_as_much_as_positives():
    panel = Panel(peptides=("AAAAAAAAA", "CCCCCCCCC", "DDDDDDDDD", "EEEEEEEEE"), hosts=("human",) * 3 + ("mouse",))
    rates = torch.tensor([0.2, 0.2, 0.1, 0.1])
    swap, against = negative_weights(rivals(panel), rates, 0.4)
    mass = (rates[:, None] * swap).sum(0)
    assert torch.allclose(mass[:3], rates[:3] / 2)
    assert torch.allclose(0.4 * against, rates / 2)
    assert float(swap[3, :3].abs().sum() + swap[:3, 3].abs().sum()) == 0.0


def test_overlapping_peptides_are_no_rivals():
    assert related("RFYKTLRAEQASQ", "FRDYVDRFYKTLRAEQASQE")
    assert related("ELAGIGILTV", "EAAGIGILTV")
    assert not related("GILGFVFTL", "YLQPRTFLL")


def test_an_explicit_negative_counts_for_its_own_peptide_only():
    logits = torch.zeros(1, 2, requires_grad=True)
    weights = negative_weights(torch.ones(2, 2).bool(), torch.tensor([0.3, 0.3]), 0.4)
    binding_loss(logits, torch.tensor([1]), torch.tensor([0]), weights).sum().backward()
    assert float(logits.grad[0, 0]) == 0.0
    assert float(logits.grad[0, 1]) > 0.0
