"""The beam against enumeration: whatever lies within the budget, and nothing else."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zsteer.core.alphabet import Alphabet
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError, SettingsError
from zsteer.nets.recurrent import ConditionalDecoder
from zsteer.sample.beam import BeamSettings, edit_beam
from zsteer.sample.sequences import Guided, draw

LETTERS = 3
TINY = Alphabet("ABC", "tiny")
LONGEST = 7


def decoder(seed=0, **sizes):
    with initialised(seed):
        return ConditionalDecoder(condition=2, hidden=8, embed=4, residues=LETTERS, length=7, dropout=0.0, **sizes)


def batch(rows):
    tokens = torch.full((len(rows), LONGEST), TINY.pad)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row)
    return Batch({"tokens": tokens}, mask=tokens < LETTERS)


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
        row = new
    return row[-1]


def within(template, edits, start, end, indel):
    """All sequences within the budget: at most one change of length, ends kept."""
    n = len(template)
    found = set()
    for m in range(n - 1, n + 2) if indel else (n,):
        if m < start + end or m > LONGEST:
            continue
        for x in product(range(LETTERS), repeat=m):
            ends = x[:start] == template[:start] and x[m - end :] == template[n - end :]
            near = levenshtein(x, template) if m != n else sum(a != b for a, b in zip(x, template, strict=True))
            if ends and near <= edits:
                found.add(x)
    return found


def unpad(row):
    return tuple(int(k) for k in row if k < LETTERS)


@given(
    template=st.lists(st.integers(0, LETTERS - 1), min_size=3, max_size=5),
    edits=st.integers(0, 2),
    start=st.integers(0, 1),
    end=st.integers(0, 2),
    indel=st.booleans(),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_a_wide_beam_finds_exactly_what_enumeration_finds(template, edits, start, end, indel, seed):
    template = tuple(template)
    net = decoder(seed)
    condition = torch.tensor([[0.5, -1.0]])
    chosen = BeamSettings(edits=edits, width=300, keep_start=start, keep_end=end, indel=indel, alphabet=TINY)
    found = edit_beam(net.steps(condition), batch([template]), chosen)
    rows = [unpad(row) for row in found.tokens[0][found.exists[0]]]
    expected = within(template, edits, start, end, indel)
    assert len(rows) == len(set(rows))
    assert set(rows) == expected
    x = batch(rows)
    exact = net(x["tokens"], x.mask, condition.expand(len(rows), 2)).sum(1)
    assert torch.allclose(found.scores[0][found.exists[0]], exact, atol=1e-4)  # float32 sums of 8 log-probabilities
    assert bool((found.scores[0].diff() <= 0).all())


@given(rows=st.lists(st.lists(st.integers(0, LETTERS - 1), min_size=2, max_size=7), min_size=2, max_size=5))
@settings(max_examples=20, deadline=None)
def test_templates_of_mixed_length_are_searched_as_if_alone(rows):
    net = decoder(1, cell="lstm", layers=2)
    condition = torch.linspace(-1, 1, 2 * len(rows)).reshape(-1, 2)
    chosen = BeamSettings(edits=2, width=3, keep_start=1, keep_end=1, alphabet=TINY)
    together = edit_beam(net.steps(condition), batch(rows), chosen)
    for i, row in enumerate(rows):
        alone = edit_beam(net.steps(condition[i : i + 1]), batch([row]), chosen)
        # A batch sums in another order than a single row, so scores agree to rounding and near-ties may swap.
        assert torch.allclose(alone.scores[0], together.scores[i], atol=1e-4)


def test_steps_give_the_probabilities_of_the_whole_sequence():
    for sizes in ({}, {"layers": 2}, {"cell": "lstm"}, {"cell": "lstm", "layers": 2}):
        net = decoder(3, **sizes)
        x = batch([(0, 1, 2, 2), (1, 0)])
        condition = torch.tensor([[0.3, 0.1], [-1.0, 2.0]])
        whole = net(x["tokens"], x.mask, condition)
        steps = net.steps(condition)
        scores, state = steps.begin()
        for place in range(2):
            assert torch.allclose(scores.gather(1, x["tokens"][:, place : place + 1])[:, 0], whole[:, place], atol=1e-6)
            scores, state = steps.advance(state, x["tokens"][:, place])
        assert torch.allclose(scores[1, TINY.end], whole[1, 2], atol=1e-6)
        assert bool((whole[1, 3:] == 0).all())


@torch.no_grad()
def test_probabilities_of_all_sequences_sum_to_one():
    """Truth: with sequences of at most 5 residues, what is missing is the mass of longer ones."""
    net = decoder(4)
    rows = [row for n in range(1, 6) for row in product(range(LETTERS), repeat=n)]
    x = batch(rows)
    condition = torch.zeros(len(rows), 2)
    total = net(x["tokens"], x.mask, condition).sum(1).double().exp().sum()
    first, state = net.steps(torch.zeros(1, 2)).begin()
    empty = first[0, TINY.end].double().exp()
    longer = torch.zeros((), dtype=torch.float64)
    five = [row for row in rows if len(row) == 5]
    x5 = batch(five)
    log_p = net(x5["tokens"], x5.mask, torch.zeros(len(five), 2))
    stop = log_p[:, 5].double().exp()
    longer = (log_p[:, :5].sum(1).double().exp() * (1 - stop)).sum()
    assert abs(float(total + empty + longer) - 1) < 1e-5
    del state


def test_guidance_interpolates_between_the_two_decoders():
    net = decoder(5)
    null, conditional = net.steps(torch.zeros(2, 2)), net.steps(torch.ones(2, 2))
    a, b = null.begin()[0], conditional.begin()[0]
    assert Guided.of(null, conditional, 0.0) is null
    assert Guided.of(null, conditional, 1.0) is conditional
    scores, state = Guided.of(null, conditional, 3.0).begin()
    real = a > -1e8
    assert torch.allclose(scores[real], (a + 3 * (b - a))[real], atol=1e-5)
    assert bool((scores[~real] < -1e8).all())
    assert len(state) == 2 * len(null.begin()[1])


def test_draws_depend_on_the_sample_alone_and_temperature_zero_is_greedy():
    net = decoder(6)
    steps = net.steps(torch.zeros(8, 2))
    rng = Streams.of(3, 8)
    whole = draw(steps, rng, alphabet=TINY, longest=LONGEST, shortest=2)
    part = draw(net.steps(torch.zeros(3, 2)), rng.take(slice(2, 5)), alphabet=TINY, longest=LONGEST, shortest=2)
    assert torch.equal(whole["tokens"][2:5], part["tokens"])
    assert int(whole.mask.sum(1).min()) >= 2
    greedy = draw(steps, rng, temperature=0.0, alphabet=TINY, longest=LONGEST, shortest=2)
    assert len({tuple(row) for row in greedy["tokens"].tolist()}) == 1


def test_draws_follow_the_probabilities():
    """Frequencies of first residues against the decoder's own probabilities; 4 standard errors of 4,000 draws."""
    net = decoder(7)
    n = 4000
    x = draw(net.steps(torch.zeros(n, 2)), Streams.of(9, n), alphabet=TINY, longest=LONGEST, shortest=1)
    p = net.steps(torch.zeros(1, 2)).begin()[0][0, :LETTERS].exp()
    p = p / p.sum()
    share = torch.bincount(x["tokens"][:, 0], minlength=LETTERS)[:LETTERS] / n
    assert bool(((share - p).abs() < 4 * (p * (1 - p) / n).sqrt()).all())


def test_wrong_settings_are_named():
    with pytest.raises(SettingsError, match="edits >= 0, got -1"):
        BeamSettings(edits=-1)
    with pytest.raises(InputError, match="one row of the decoder for each template, got 2 and 1"):
        edit_beam(decoder().steps(torch.zeros(2, 2)), batch([(0, 1, 2)]), BeamSettings(alphabet=TINY))
