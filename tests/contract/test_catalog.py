"""Every shipped model, and a small one of every variant, keeps the public contracts."""

import itertools

import pytest
import torch
from tests.chains import chains
from tests.contract.test_receptor_models import PANEL, SMALL, receptors
from tests.vectors import samples

import zsteer
from zsteer.core import catalog
from zsteer.core.artifact import read_artifact
from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief, Codec, Generative, Likelihood, Oracle, Trainable
from zsteer.core.rng import Streams
from zsteer.domains.molecules.data import SETS
from zsteer.models.dwae.dwae import DisentangledSettings, DisentangledWAE
from zsteer.predictors.sequence_validity import SequenceValidity

DECLARED = {
    "autoregressive": {"likelihood", "samples_do_not_depend_on_the_batch", "save_and_load", "no_global_rng"},
    "classifier": {"losses_are_per_sample", "padding_is_ignored", "save_and_load"},
    "ddpm": {"likelihood", "losses_are_per_sample", "samples_do_not_depend_on_the_batch", "save_and_load"},
    "diffae": {"code", "losses_are_per_sample", "samples_do_not_depend_on_the_batch", "proposals", "save_and_load"},
    "dwae": {"code", "samples_do_not_depend_on_the_batch", "save_and_load", "padding_is_ignored"},
    "edm": {"losses_are_per_sample", "padding_is_ignored", "samples_do_not_depend_on_the_batch", "save_and_load"},
    "factor-reader": {"losses_are_per_sample", "float64", "save_and_load"},
    "image-classifier": {"losses_are_per_sample", "float64", "save_and_load"},
    "noisy-classifier": {"losses_are_per_sample", "float64", "save_and_load"},
    "noisy-property": {"losses_are_per_sample", "float64", "padding_is_ignored", "save_and_load"},
    "sequence-validity": {"code", "losses_are_per_sample", "padding_is_ignored", "save_and_load"},
}
"""Kind of model -> contracts that it must declare, so that none is lost unnoticed."""

VECTORS = {"ddpm", "diffae", "factor-reader", "image-classifier", "noisy-classifier"}
"""Kinds that take images."""

FREE = {
    "MIT",
    "none needed: drawn by zsteer",
    SETS["qm9-gfn2"].licence,
    "computed; SMILES of ZINC-250k, free to use with attribution",
}
"""Licences of data that shipped models may learn from."""

NAMES = sorted(catalog.shipped())


def loaded(name):
    artifact = read_artifact(catalog.shipped()[name])
    return catalog.model_class(artifact.kind).from_artifact(artifact, where=name)


def example(model):
    """Samples of the kind that a model takes."""
    if model.kind in {"edm", "noisy-property"}:
        return chains(kinds=[kind for kind in model.settings.kinds if not kind[2]], names=model.settings.properties)
    if model.kind == "factor-reader":
        x = samples("unit", shape=model.settings.datum.shape)
        return x.with_fields(factors=Streams.of(0, len(x)).uniform("factors", (len(model.settings.factors),)))
    return samples("unit", shape=model.settings.datum.shape) if model.kind in VECTORS else receptors()


COSTLY = ("faces-diffae", "fashion-ddpm", "qm9-edm", "zinc-edm")
"""Models whose contracts take ten seconds to a minute; small ones of their kind are asked beside them."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in COSTLY else ()) for name in NAMES]
)
def shipped(request):
    return loaded(request.param)


def test_the_parts_of_the_job_are_shipped():
    assert {"tcr-editor", "tcr-judge", "tcr-lm", "tcr-oracle", "tcr-validity"} <= set(NAMES)


def test_a_shipped_model_keeps_the_contracts(shipped):
    if shipped.kind == "sequence-judge":
        pytest.skip("the judge is an oracle only; test_the_judge_is_an_oracle asks it")
    x = example(shipped)
    verdicts = {v.name: v.state for v in zsteer.check(shipped, x)}
    assert "failed" not in verdicts.values()
    assert {name for name, state in verdicts.items() if state == "ok"} >= DECLARED[shipped.kind]
    assert isinstance(shipped, Trainable | Generative | Likelihood | Codec)


def test_a_shipped_model_stored_again_is_the_same(shipped, tmp_path):
    shipped.save_pretrained(tmp_path / "again")
    again = type(shipped).from_pretrained(tmp_path / "again")
    assert again.settings == shipped.settings
    assert again.texts() == shipped.texts()
    assert again.origin == shipped.origin
    before, after = shipped.tensors(), again.tensors()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) or bool(before[name].isnan().any()) for name in before)


def test_a_shipped_card_says_what_the_model_is(shipped):
    assert shipped.origin.command.startswith("zsteer train ")
    assert shipped.origin.data.get("subset") == "permissive" or shipped.origin.data["licence"] in FREE
    assert shipped.origin.data["licence"] and shipped.origin.data["sha256"]
    assert shipped.origin.limits
    assert shipped.origin.metrics


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_folder_has_a_filled_in_card(name):
    card = (catalog.shipped()[name] / "README.md").read_text(encoding="utf-8")
    assert f"# {name}" in card or f"# {loaded(name).origin.recipe['name']}" in card
    assert "More Information Needed" not in card
    for part in ("## Data", "## Metrics", "zsteer train", "licence"):
        assert part in card


def keeps_the_oracle_protocol(oracle, x):
    assert isinstance(oracle, Oracle)
    belief = oracle(x)
    assert isinstance(belief, Belief)
    assert belief.mean.shape == belief.std.shape == (len(x),)
    assert bool(torch.isfinite(belief.mean).all()) and bool((belief.std >= 0).all())
    # One row alone, in another order, and again: float32 sums in another order differ by about 1e-6.
    alone = oracle(x.take(slice(3, 4))).mean
    assert torch.allclose(belief.mean[3:4], alone, atol=1e-5)
    turned = oracle(x.take(torch.arange(len(x) - 1, -1, -1))).mean
    assert torch.allclose(belief.mean.flip(0), turned, atol=1e-5)
    assert torch.equal(oracle(x).mean, belief.mean)


def test_the_judge_is_an_oracle():
    judge, x = loaded("tcr-judge"), receptors()
    before = torch.random.get_rng_state()
    for peptide in list(judge.settings.peptides)[:4]:
        keeps_the_oracle_protocol(judge.oracle(peptide), x)
        assert judge.oracle(peptide).threshold == judge.card(peptide).threshold
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_design_oracle_is_an_oracle():
    oracle = loaded("tcr-oracle")
    for peptide in ("YLQPRTFLL", "GILGFVFTL"):
        keeps_the_oracle_protocol(oracle.binds(peptide), receptors())


def test_the_judge_and_the_design_oracle_share_no_class_and_no_split():
    judge, oracle = loaded("tcr-judge"), loaded("tcr-oracle")
    assert type(judge) is not type(oracle)
    assert set(judge.cards) <= set(oracle.cards)


VARIANTS = list(itertools.product(("joint", "marginal", "gan"), ("none", "reversal", "hsic", "both"), (False, True)))


@pytest.mark.parametrize(("regulariser", "removal", "variational"), VARIANTS)
def test_every_variant_of_the_disentangled_model_keeps_the_contracts(regulariser, removal, variational):
    settings = DisentangledSettings(
        panel=PANEL, **SMALL, regulariser=regulariser, removal=removal, variational=variational
    )
    verdicts = {v.name: v.state for v in zsteer.check(DisentangledWAE(settings).eval(), receptors())}
    assert "failed" not in verdicts.values()
    assert {name for name, state in verdicts.items() if state == "ok"} >= DECLARED["dwae"]


def test_a_fresh_validity_model_keeps_the_contracts():
    x = receptors()
    plain = Batch({"tokens": x["tokens"]}, mask=x.mask)
    verdicts = {v.name: v.state for v in zsteer.check(SequenceValidity(SequenceValidity.Settings(hidden=16)), plain)}
    assert "failed" not in verdicts.values()
