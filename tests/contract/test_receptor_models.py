"""The receptor models keep the public contracts, in every variant, and do what their pages say."""

import pytest
import torch

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.sequences.panel import Panel
from zsteer.errors import CapabilityError, InputError
from zsteer.models.autoregressive import Autoregressive, AutoregressiveSettings
from zsteer.models.dwae.dwae import DisentangledSettings, DisentangledWAE
from zsteer.models.dwae.target import Aim
from zsteer.predictors.binding_classifier import Classifier, ClassifierSettings
from zsteer.sample.beam import BeamSettings

PANEL = Panel(peptides=("YLQPRTFLL", "GILGFVFTL", "NLVPMVATV"))
SMALL = {"functional": 6, "structural": 3, "channels": 8, "hidden": 12, "condition": 4}
VARIANTS = {
    "joint": {},
    "marginal, reversal": {"regulariser": "marginal", "removal": "reversal"},
    "gan, hsic": {"regulariser": "gan", "removal": "hsic"},
    "variational": {"variational": True, "removal": "none"},
    "paper": {"encoder": "transformer", "cell": "lstm", "layers": 2, "blosum": True},
}


def receptors(n=12):
    rng = Streams.of(0, n)
    length = 9 + rng.integers("length", 6)
    tokens = rng.integers("residue", 20, (30,))
    mask = torch.arange(30) < length[:, None]
    label = torch.arange(n) % 2
    peptide = torch.where(label == 1, torch.arange(n) // 2 % 3, -1)
    fields = {"tokens": torch.where(mask, tokens, 22), "peptide": peptide, "label": label}
    return Batch(fields, mask=mask)


def dwae(**variant):
    return DisentangledWAE(DisentangledSettings(panel=PANEL, **SMALL, **variant))


def kept(model):
    verdicts = {v.name: v.state for v in zsteer.check(model.eval(), receptors())}
    assert "failed" not in verdicts.values()
    return {name for name, state in verdicts.items() if state == "ok"}


def test_the_classifier_keeps_the_contracts():
    assert len(kept(Classifier(ClassifierSettings(panel=PANEL, channels=6, width=5)))) >= 8


@pytest.mark.parametrize("panel", [Panel(), PANEL])
def test_the_language_model_and_the_editor_keep_the_contracts(panel):
    names = kept(Autoregressive(AutoregressiveSettings(panel=panel, hidden=12, embed=6, condition=4)))
    assert {"likelihood", "samples_do_not_depend_on_the_batch"} <= names


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_the_disentangled_model_keeps_the_contracts(variant):
    assert {"code", "samples_do_not_depend_on_the_batch"} <= kept(dwae(**VARIANTS[variant]))


def test_an_unknown_peptide_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'YLQPRTFLL'"):
        Classifier(ClassifierSettings(panel=PANEL)).binds("YLQPRTFL")
    with pytest.raises(CapabilityError, match="knows no peptides"):
        Autoregressive(AutoregressiveSettings()).index("YLQPRTFLL")


def test_an_oracle_does_not_depend_on_the_batch():
    oracle, x = Classifier(ClassifierSettings(panel=PANEL)).eval().binds("GILGFVFTL"), receptors()
    # Float32 sums in another order; logits are of order 1.
    assert torch.allclose(oracle(x).mean[3:4], oracle(x.take(slice(3, 4))).mean, atol=1e-5)
    assert bool((oracle(x).std >= 0).all())


@pytest.fixture(scope="module")
def trained_by_nobody():
    model = dwae().eval()
    x = receptors()
    model.remember(x.take(x["label"] == 1), x.take(x["label"] == 0))
    return model


def test_a_gradient_move_gives_psi_the_wanted_logit(trained_by_nobody):
    from zsteer.models.dwae.target import functional_code

    model, x = trained_by_nobody, receptors()
    own = model.codes(x)[0]
    aim = Aim("GILGFVFTL", function="gradient", amount=5.0)
    moved = functional_code(model, own, aim, Streams.of(0, len(x)))
    assert torch.allclose(model.psi(moved)[:, 1], torch.full((len(x),), 5.0), atol=1e-4)


@pytest.mark.parametrize("function", ["mean", "best", "random", "null", "interpolated", "gradient"])
def test_every_source_of_z_f_edits_within_the_budget(trained_by_nobody, function):
    model, x = trained_by_nobody, receptors()
    aim = Aim("YLQPRTFLL", function=function)
    found = model.propose_edits(x, aim, Streams.of(1, len(x)), BeamSettings(edits=2, width=3))
    here = found.exists
    assert bool((found.edits[here] <= 2).all())
    assert torch.equal(found.tokens[:, :, :3][here], x["tokens"][:, None, :3].expand(-1, here.shape[1], -1)[here])
    whole = model.rewrite(x, aim, Streams.of(1, len(x)))
    assert len(whole) == len(x)


def test_interpolation_runs_from_the_template_to_the_mean(trained_by_nobody):
    from zsteer.models.dwae.target import functional_code

    model, x = trained_by_nobody, receptors()
    own, rng = model.codes(x)[0], Streams.of(0, len(x))
    start = functional_code(model, own, Aim("YLQPRTFLL", function="interpolated", amount=0.0), rng)
    end = functional_code(model, own, Aim("YLQPRTFLL", function="interpolated", amount=1.0), rng)
    assert torch.allclose(start, own)
    assert torch.allclose(end, functional_code(model, own, Aim("YLQPRTFLL"), rng), atol=1e-6)


def test_steering_by_examples_needs_no_peptide(trained_by_nobody):
    model, x = trained_by_nobody, receptors()
    found = model.propose_edits(x, Aim(like=x.take(slice(0, 3))), Streams.of(1, len(x)), BeamSettings(edits=1, width=2))
    scores = model.resembles(x.take(slice(0, 3)))(found.batch()).mean
    assert bool(torch.isfinite(scores).all())
    with pytest.raises(InputError, match="one goal"):
        Aim()
    with pytest.raises(InputError, match="need a peptide"):
        Aim(like=x, function="gradient")


def test_a_mean_over_mates_leaves_out_oneself_and_others(trained_by_nobody):
    from zsteer.models.dwae.dwae import _mates

    z = torch.eye(4)
    mate, has = _mates(z, torch.tensor([0, 0, 1, -1]), torch.ones(4, dtype=torch.bool))
    assert has.tolist() == [True, True, False, False]
    assert torch.equal(mate[:2], z[[1, 0]])
