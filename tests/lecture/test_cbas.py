"""CbAS: the target, its projection, the weights, the threshold and the loop, against spaces that are listed whole."""

import math

import pytest
import torch

from zsteer.core.alphabet import DNA
from zsteer.core.batch import Batch
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.rng import Streams
from zsteer.errors import InputError
from zsteer.maths import adaptive
from zsteer.models.markov import Markov, MarkovSettings, everything
from zsteer.steer.refit.method import Refit
from zsteer.steer.refit.options import RefitOptions
from zsteer.steer.refit.pool import Pool
from zsteer.steer.refit.rules import RULES, conditioned

LENGTH = 4
TOKENS = everything(DNA, LENGTH)
WHOLE = DNA.batch(TOKENS)


def place(tokens):
    return (tokens * 4 ** torch.arange(LENGTH - 1, -1, -1)).sum(1)


def chain(seed, pseudo=1e-9, length=LENGTH):
    rng, made = Streams.of(seed, 1), Markov(MarkovSettings(letters="ACGT", length=length, pseudo=pseudo))
    made.first = torch.log_softmax(rng.normal("first", (4,))[0].double(), 0)
    made.step = torch.log_softmax(rng.normal("step", (length - 1, 4, 4))[0].double(), -1)
    return made


def wanted(share=0.9):
    """A drawn landscape of every sequence and the goal that a tenth of them reaches."""
    values = Streams.of(5, 1).normal("landscape", (len(TOKENS),))[0].double()
    goal = float(torch.quantile(values, share))
    quantity = Property("y", lambda x: values[place(x["tokens"])].numpy())
    return values, goal, Objective((Target(quantity, low=goal),), lambda x: x)


@pytest.mark.lecture("cbas.conditional")
def test_the_target_is_bayes_rule(measured):
    values, goal, _ = wanted()
    p, inside = chain(0).log_prob(WHOLE).exp(), (values >= goal).double()
    expected = p * inside / (p * inside).sum()
    found = adaptive.conditional(p.log(), inside.log()).exp()
    measured(float((found - expected).abs().max()), "max abs difference from Bayes' rule, 256 sequences")
    torch.testing.assert_close(found, expected)
    with pytest.raises(InputError, match="nothing"):
        adaptive.conditional(p.log(), torch.full_like(p, -torch.inf))


@pytest.mark.lecture("cbas.projection")
def test_the_projection_is_the_weighted_fit(measured):
    values, goal, _ = wanted()
    target = adaptive.conditional(chain(0).log_prob(WHOLE), torch.where(values >= goal, 0.0, -torch.inf).double())
    best = chain(1).refit(WHOLE, 1e3 * target.exp(), Streams.of(0, 1))
    least = float(adaptive.forward_divergence(target, best.log_prob(WHOLE)))
    # Every other chain is farther: drawn ones, and small changes of the best.
    gaps = []
    for seed in range(20):
        other = chain(1)
        other.first = torch.log_softmax(best.first + 0.05 * Streams.of(seed, 1).normal("f", (4,))[0].double(), 0)
        other.step = torch.log_softmax(best.step + 0.05 * Streams.of(seed, 1).normal("s", (3, 4, 4))[0].double(), -1)
        gaps.append(float(adaptive.forward_divergence(target, other.log_prob(WHOLE))) - least)
    measured(min(gaps), "least gain of 20 changed chains over the fitted one [nats], above 0")
    assert min(gaps) > 0
    assert float(adaptive.forward_divergence(target, target)) == pytest.approx(0, abs=1e-12)


@pytest.mark.lecture("cbas.cross_entropy", "cbas.objective.normalised", "cbas.objective")
def test_the_cross_entropy_differs_from_the_divergence_by_the_entropy(measured):
    values, goal, _ = wanted()
    prior = chain(0).log_prob(WHOLE)
    inside = torch.where(values >= goal, 0.0, -torch.inf).double()
    target = adaptive.conditional(prior, inside)
    entropy = -(target.exp() * target).nan_to_num().sum()
    worst = 0.0
    for seed in range(1, 6):
        q = chain(seed).log_prob(WHOLE)
        found = adaptive.cross_entropy(prior + inside, q)
        worst = max(worst, abs(float(found - entropy - adaptive.forward_divergence(target, q))))
        # (4) is (5) over P(S), which is the total of the weights.
        five = -(prior.exp() * inside.exp() * q).sum()
        assert float(five / (prior + inside).exp().sum()) == pytest.approx(float(found))
    for lecture_id in ("cbas.cross_entropy", "cbas.objective.normalised", "cbas.objective"):
        measured(worst, "max abs difference of (3) from divergence plus entropy [nats]", of=lecture_id)
    assert worst < 1e-10


@pytest.mark.lecture("cbas.importance", "cbas.weights")
def test_weights_make_draws_of_another_model_speak_for_the_prior(measured):
    values, goal, _ = wanted()
    prior, proposal = chain(0), chain(1)
    inside = torch.where(values >= goal, 0.0, -torch.inf).double()
    truth = float(-(prior.log_prob(WHOLE).exp() * inside.exp() * chain(2).log_prob(WHOLE)).sum())
    n = 40_000
    drawn = proposal.sample(n, rng=Streams.of(3, n))
    log_w = adaptive.log_weight(prior.log_prob(drawn), proposal.log_prob(drawn), inside[place(drawn["tokens"])])
    terms = -log_w.exp() * chain(2).log_prob(drawn)
    error = float((terms.mean() - truth) / (terms.std() / math.sqrt(n)))
    for lecture_id in ("cbas.importance", "cbas.weights"):
        measured(abs(error), "deviation of the weighted mean of 40,000 draws, in standard errors", of=lecture_id)
    assert abs(error) < 4
    plain = adaptive.log_weight(prior.log_prob(drawn), torch.zeros(n), inside[place(drawn["tokens"])])
    assert abs(float((-plain.exp() * chain(2).log_prob(drawn)).mean()) - truth) > 0.1 * truth


@pytest.mark.lecture("cbas.threshold")
def test_the_threshold_is_the_percentile_and_never_falls(measured):
    scores = torch.arange(101, dtype=torch.float64)
    first = adaptive.percentile_level(scores, 0.9, -math.inf, math.inf)
    measured(abs(first - 90), "difference of the 90th percentile of 0 ... 100 from 90")
    assert first == pytest.approx(90)
    assert adaptive.percentile_level(scores - 50, 0.9, first, math.inf) == first
    assert adaptive.percentile_level(scores, 0.9, -math.inf, 42.0) == 42.0


@pytest.mark.lecture("cbas.loop")
def test_the_loop_ends_at_the_prior_given_the_goal(measured):
    values, goal, objective = wanted(0.95)
    prior = chain(0, pseudo=1.0)
    method = Refit(RefitOptions(generations=16, draws=40, effective=4, replay=0.5))
    assert method.fits(prior, objective, Constraint()) == ""
    found = method.search(prior, objective, Streams.of(0, 1))
    exact = adaptive.conditional(prior.log_prob(WHOLE), torch.where(values >= goal, 0.0, -torch.inf).double())
    weights = torch.softmax(conditioned(found.pool, 0.0), 0)
    held = torch.zeros(len(TOKENS), dtype=torch.float64)
    held.index_add_(0, place(found.pool.everything()["tokens"]), weights)
    distance = 0.5 * float((held - exact.exp()).abs().sum())
    measured(distance, "total variation of the weighted set from p(x | S), 16 rounds of at most 40 of 256 sequences")
    assert distance < 0.2
    before = float(adaptive.forward_divergence(exact, prior.log_prob(WHOLE)))
    assert float(adaptive.forward_divergence(exact, found.model.log_prob(WHOLE))) < 0.8 * before
    assert [row["level"] for row in found.history] == sorted(row["level"] for row in found.history)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_gives_weights_of_its_own_draws(rule):
    _, _, objective = wanted()
    prior = chain(0)
    pool = Pool(prior, objective)
    for seed in range(2):
        pool.add(prior.path(30, Streams.of(seed, 30)), prior)
    found = RULES[rule](pool, RefitOptions(draws=30), -math.inf, 0.0)
    there = found.log_weights > -torch.inf
    assert bool(there.any())
    last = torch.arange(60) >= 30
    if rule in {"textbook", "dbas", "cem", "rwr"}:
        assert not bool(there[~last].any())
    if rule != "rwr":
        assert bool((pool.levels()[there] >= found.level).all())


def test_textbook_weights_are_the_printed_ones():
    _, goal, objective = wanted()
    prior, present = chain(0), chain(1)
    pool = Pool(prior, objective)
    path = present.path(50, Streams.of(0, 50))
    pool.add(path, present)
    found = RULES["textbook"](pool, RefitOptions(draws=50), -math.inf, 0.0)
    reached = pool.levels()
    expected = (prior.log_prob(path) - present.log_prob(path)).where(reached >= found.level, -torch.inf)
    torch.testing.assert_close(found.log_weights, expected)
    assert found.level == pytest.approx(min(0.0, float(torch.quantile(reached, 0.9))))
    assert goal


def test_a_normal_belief_keeps_both_tails():
    mean, std = torch.tensor([0.0, 9.0, -9.0, 0.5]).double(), torch.tensor([1.0, 1.0, 1.0, 0.0]).double()
    found = adaptive.log_prob_within(mean, std, 0.0, 1.0)
    assert float(found[0].exp()) == pytest.approx(0.3413447, abs=1e-6)  # Phi(1) - Phi(0)
    # 8 standard errors above: Phi(-8) - Phi(-9); the same below, by 9 and 10.
    assert float(found[1]) == pytest.approx(-35.01344, abs=1e-3)
    assert -50 < float(found[2]) < -40
    assert float(found[3]) == 0.0


def test_mixture_weights_and_sized_levels():
    log_q = torch.tensor([[0.2, 0.8], [0.6, 0.4]]).double().log()
    found = adaptive.log_mixture(log_q, torch.tensor([3.0, 1.0]).double()).exp()
    torch.testing.assert_close(found, torch.tensor([0.3, 0.7]).double())
    scores = torch.arange(10).double()
    inside = torch.where(scores[None] >= scores[:, None], 0.0, -torch.inf).double()
    flat = torch.zeros(10, dtype=torch.float64)
    assert adaptive.sized_level(scores, inside, flat, least=3, before=-math.inf, goal=math.inf) == 7
    assert adaptive.sized_level(scores, inside, flat, least=3, before=8, goal=math.inf) == 8
    assert adaptive.sized_level(scores, inside, flat, least=3, before=-math.inf, goal=5) == 5


def test_a_chain_scores_and_keeps_what_it_draws():
    model = chain(0)
    n = 20_000
    drawn = model.sample(n, rng=Streams.of(0, n))
    counts = torch.bincount(place(drawn["tokens"]), minlength=256).double()
    expected = n * model.log_prob(WHOLE).exp()
    assert float(model.log_prob(WHOLE).exp().sum()) == pytest.approx(1)
    assert float(((counts - expected).square() / expected).sum()) < 255 + 5 * math.sqrt(2 * 255)
    fitted = model.refit(drawn, torch.ones(n), Streams.of(0, 1))
    torch.testing.assert_close(fitted.log_prob(WHOLE).exp(), model.log_prob(WHOLE).exp(), atol=3e-3, rtol=0)
    assert isinstance(drawn, Batch)
