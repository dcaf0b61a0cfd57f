"""The judge and its parts: known answers, honest cards, nothing of the training sequences in what is stored."""

import json
import time

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tests.receptors import sequences, world

from zsteer.core.artifact import read_artifact, write_artifact
from zsteer.core.batch import Batch
from zsteer.core.protocols import Oracle
from zsteer.core.rng import Streams
from zsteer.domains.sequences import oracles
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import ArtifactError, InputError, RefusedError
from zsteer.maths import ranks
from zsteer.predictors.binding_judge import SequenceJudge

SPACE = SequenceSpace()


@pytest.fixture(scope="module")
def data():
    return world(background=6000)


@pytest.fixture(scope="module")
def judge(data):
    settings = SequenceJudge.Settings(peptides=("YLQPRTFLL", "KRWIILGLNK"), trees=40, dims=32)
    return SequenceJudge.fitted(settings, data, Streams.of(0, 1))


def test_the_judge_knows_a_motif_and_admits_what_it_does_not_know(judge):
    known, unknown = judge.card("YLQPRTFLL"), judge.card("KRWIILGLNK")
    assert known.area > 0.95
    assert known.real_pass > 0.7
    # Binders without a motif are told from those with one, but not from background.
    assert unknown.area < 0.75
    assert unknown.real_pass < 0.1
    assert judge.require("YLQPRTFLL") == known
    with pytest.raises(RefusedError, match=r"0\.75"):
        judge.require("KRWIILGLNK")
    assert judge.require("KRWIILGLNK", force=True) == unknown
    with pytest.raises(InputError, match="did you mean 'YLQPRTFLL'"):
        judge.card("YLQPRTFL")


def test_one_in_a_hundred_background_receptors_passes(judge, data):
    test = data.background_tokens[torch.from_numpy(data.background_rows("test"))].long()
    oracle = judge.oracle("YLQPRTFLL")
    assert isinstance(oracle, Oracle)
    belief = oracle(Batch({"tokens": test}, test < 20))
    # At most one receptor more or less than 1 %.
    assert abs(float((belief.mean >= oracle.threshold).float().sum()) - 0.01 * len(test)) <= 1
    assert (belief.std >= 0).all()


def test_a_motif_raises_the_score_of_unseen_receptors(judge):
    rng = Streams.of(99, 100)
    with_motif = SPACE.encode(sequences(100, "WHK", rng.child("new")))
    without = SPACE.encode(sequences(100, "", rng.child("new")))
    scores = [judge.scores(x, ["YLQPRTFLL"])[:, 0] for x in (with_motif, without)]
    assert ranks.area_under_curve(*scores) > 0.95


def test_a_stored_judge_is_the_same_judge(judge, tmp_path):
    write_artifact(tmp_path / "judge", judge.artifact())
    again = SequenceJudge.from_artifact(read_artifact(tmp_path / "judge"))
    x = SPACE.encode(sequences(50, "WHK", Streams.of(5, 50)))
    assert torch.equal(judge.scores(x), again.scores(x))
    assert again.cards == judge.cards


def test_no_sequence_is_stored(judge, data):
    written = "\n".join(judge.texts().values()) + json.dumps(judge.settings.model_dump(mode="json"))
    assert not [cdr3 for cdr3 in data.cdr3.tolist() if cdr3 in written]
    sizes = {name: tuple(value.shape) for name, value in judge.tensors().items()}
    assert sizes["binders-YLQPRTFLL"][1] == 32  # descriptors, far fewer numbers than a sequence has in one-hot form
    assert not [name for name, value in judge.tensors().items() if value.dtype in {torch.int64, torch.uint8}]


def test_a_judge_with_a_part_missing_is_named(judge):
    tensors, texts = judge.tensors(), judge.texts()
    fresh = SequenceJudge(judge.settings)
    with pytest.raises(ArtifactError, match="tails-YLQPRTFLL"):
        fresh.restore({name: value for name, value in tensors.items() if name != "tails-YLQPRTFLL"}, texts)
    with pytest.raises(ArtifactError, match="cards"):
        fresh.restore(tensors, texts | {"cards.json": "[]"})


def test_too_few_binders_are_refused():
    with pytest.raises(InputError, match="at least 20 binders"):
        SequenceJudge.fitted(
            SequenceJudge.Settings(peptides=("YLQPRTFLL",)), world(binders=40, background=500), Streams.of(0, 1)
        )


def test_a_batch_is_scored_as_its_rows_are(judge):
    x = SPACE.encode(sequences(30, "WHK", Streams.of(8, 30)))
    whole = judge.scores(x)
    single = torch.cat([judge.scores(x.take(slice(i, i + 1))) for i in range(len(x))])
    # Float32 sums in another order.
    assert torch.allclose(whole, single, atol=1e-4)
    assert judge.scores(x.take(slice(0, 0))).shape == (0, 2)


@pytest.mark.slow
def test_the_judge_scores_two_thousand_sequences_a_second(judge):
    x = SPACE.encode(sequences(2000, "", Streams.of(3, 2000)))
    oracle = judge.oracle("YLQPRTFLL")
    oracle(x.take(slice(0, 10)))
    began = time.perf_counter()
    oracle(x)
    assert time.perf_counter() - began < 1.0


def test_kmers_are_those_of_the_core():
    row = oracles.kmer_features(SPACE.encode(["CASSWHKGEQYF"])["tokens"])
    assert row.shape == (1, oracles.KMER_FEATURES)
    # 12 places from the left, 12 from the right, the length, and of the core SWHKGE: 6 single, 5 pairs, 4 pairs and
    # 4 triples over two steps, 3 pairs over three.
    assert row.nnz == 12 + 12 + 1 + 6 + 5 + 4 + 4 + 3
    assert set(row.data) == {1.0}
    other = oracles.kmer_features(SPACE.encode(["CASSWHKGEQWF"])["tokens"])
    # One residue at the end differs: a place from the left and one from the right, and no k-mer.
    assert abs(row - other).nnz == 4


def test_logistic_regression_agrees_with_scikit_learn():
    x = oracles.kmer_features(
        SPACE.encode(sequences(150, "WHK", Streams.of(1, 150)) + sequences(150, "", Streams.of(2, 150)))["tokens"]
    )
    y = np.repeat([1.0, 0.0], [150, x.shape[0] - 150])
    weight, bias = oracles.fit_logistic(sparse.csr_matrix(x), y, ridge=2.0)
    peer = LogisticRegression(C=0.5, class_weight="balanced", max_iter=5000, tol=1e-8).fit(x, y)
    # Both stop when the gradient is small; the minimum is unique.
    assert np.allclose(x @ weight + bias, peer.decision_function(x), atol=5e-2)


def test_area_under_the_curve_agrees_with_scikit_learn(seed):
    rng = Streams.of(seed, 80)
    positive, negative = (rng.normal(name).mul(3).round() for name in ("a", "b"))
    exact = roc_auc_score([1] * 80 + [0] * 80, torch.cat([positive, negative]))
    assert ranks.area_under_curve(positive, negative) == pytest.approx(exact, abs=1e-12)
    assert ranks.area_error(0.9, 50, 100) > ranks.area_error(0.9, 500, 1000)
    with pytest.raises(InputError):
        ranks.area_under_curve(positive, negative[:0])


def test_tails_are_shares_of_the_background():
    background = torch.linspace(0.0, 1.0, 100001)
    table = oracles.tail_table(background)
    # A share of 10^-t of the uniform scores lies above 1 - 10^-t; the table is linear between steps of 1/16.
    for t in (0.5, 1.0, 2.0, 3.0):
        found = oracles.tail(torch.tensor([1 - 10**-t]), table)
        assert found.item() == pytest.approx(t, abs=0.01)
    above = oracles.tail(torch.tensor([1.0, 1.1, 99.0]), table)
    assert above[0] <= above[1] <= above[2] == 6.0
    with pytest.raises(InputError):
        oracles.tail_table(background[:10])


def test_similar_cores_have_similar_descriptors():
    project = oracles.projection(64)
    items = ["CASSLGWHKEQYF", "CASSLGWHREQYF", "CASSPDDDEEQYF"]
    z = oracles.descriptors(SPACE.encode(items)["tokens"], torch.zeros(64), project)
    assert torch.allclose(z.norm(dim=1), torch.ones(3))
    assert z[0] @ z[1] > z[0] @ z[2]
    # The first three and last two residues are not looked at.
    same = oracles.descriptors(SPACE.encode(["CWWSLGWHKEQWW"])["tokens"], torch.zeros(64), project)
    assert torch.allclose(same[0], z[0])
