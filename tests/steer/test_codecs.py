"""Every codec of the tree can be edited, and proposes: the protocols, the RBM's code, and what strength means."""

import pytest
import torch

from zsteer.core.batch import Batch
from zsteer.core.goal import Budget
from zsteer.core.objective import Constraint, Objective, Target
from zsteer.core.property import Property
from zsteer.core.protocols import Codec, Proposes
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import InputError
from zsteer.models.autoencoder.vae import VAE, VAESettings
from zsteer.models.autoencoder.wae import WAE, WAESettings
from zsteer.models.rbm.rbm import RBM, RbmSettings
from zsteer.steer.latent import LatentEdit
from zsteer.steer.latent_options import LatentOptions

D = 9
FEW = LatentOptions(head_samples=300, draws=20, force=True)
TOTAL = Property("total", lambda x: x.double().sum(1).numpy(), tolerance=0.1)


def rows(values, n=24):
    rng = Streams.of(3, n)
    x = {"real": rng.normal, "unit": rng.uniform}.get(values, lambda name, shape: rng.integers(name, 2, shape).float())
    return Batch({"x": x("x", (D,))})


def codec(kind, values):
    datum = SampleSpec(shape=(D,), values=values)
    if kind == "rbm":
        model = RBM(RbmSettings(datum=datum, units=12, spread=0.5, chains=5))
        model.begin(rows(values), Streams.of(0, 1))
        return model
    decoder = "bernoulli" if values == "binary" else "gaussian"
    with initialised(0):
        if kind == "wae":
            return WAE(WAESettings(datum=datum, latent=3, hidden=(16,))).eval()
        return VAE(VAESettings(datum=datum, latent=3, hidden=(16,), decoder=decoder)).eval()


EVERY = [("vae", "real"), ("vae", "binary"), ("wae", "unit"), ("wae", "binary"), ("rbm", "binary"), ("rbm", "real")]


@pytest.mark.parametrize("kind, values", EVERY)
def test_every_codec_is_edited_by_one_method(kind, values):
    model, start = codec(kind, values), rows(values)
    assert isinstance(model, Codec)
    assert isinstance(model, Proposes)
    base = model.decode(model.encode(start, Streams.of(0, 24)), Streams.of(0, 24))["x"].double().sum(1)
    objective = Objective((Target(TOTAL, 0.2, 0.2, relative=True),), lambda x: x["x"])
    trail = LatentEdit(FEW).run(model, start, objective, Constraint(), Budget(), Streams.of(1, 24))
    assert trail.batch["x"].shape == start["x"].shape
    before = (base - trail.scores["start_total"] - 0.2).abs()
    after = (trail.scores["total"] - trail.scores["start_total"] - 0.2).abs()
    assert bool((after <= before + 1e-6).all())
    assert float(after.mean()) < float(before.mean())


@pytest.mark.parametrize("kind, values", EVERY)
def test_a_small_strength_stays_near_and_a_whole_one_forgets(kind, values):
    model, x = codec(kind, values), rows(values)
    rng = Streams.of(5, 24)
    if kind != "rbm":
        code = model.encode(x, rng)["z"]
        near = model.mean(code)
        other = Batch({"x": x["x"].flip(0)})
        if values != "binary":
            assert torch.allclose(model.propose(x, 1e-4, rng)["x"], near, atol=1e-2)
        assert torch.equal(model.propose(x, 1.0, rng)["x"], model.propose(other, 1.0, rng)["x"])
    assert not torch.equal(model.propose(x, 0.9, rng)["x"], model.propose(x, 0.9, Streams.of(6, 24))["x"])
    for strength in (0.0, 1.5):
        with pytest.raises(InputError):
            model.propose(x, strength, rng)
    with pytest.raises(InputError):
        model.propose(x, 0.5, Streams.of(0, 3))


def test_the_machine_decodes_to_the_expected_visible_state():
    for values in ("binary", "real"):
        model = codec("rbm", values)
        h = Streams.of(2, 4).uniform("h", (12,))
        field = h @ model.w.T + model.a
        expected = torch.sigmoid(field) if values == "binary" else field * model.settings.noise
        assert torch.allclose(model.decode({"h": h}, Streams.of(0, 4))["x"], expected, atol=1e-5)


def test_the_machine_decodes_to_the_likeliest_level():
    datum = SampleSpec(shape=(4,), values="levels", levels=3)
    model = RBM(RbmSettings(datum=datum, units=6, spread=1.0, chains=5))
    h = Streams.of(2, 5).uniform("h", (6,))
    field = (h @ model.w.T + model.a).unflatten(1, (4, 3))
    back = model.decode({"h": h}, Streams.of(0, 5))
    assert torch.equal(back["x"], field.argmax(2).float())
    datum.check(datum.flat(back))


def test_strength_of_the_machine_is_a_number_of_sweeps(monkeypatch):
    from zsteer.sample.gibbs import Gibbs

    seen = []
    run = Gibbs.run
    monkeypatch.setattr(Gibbs, "run", lambda self, v, steps, *rest: (seen.append(steps), run(self, v, steps, *rest))[1])
    model, x = codec("rbm", "binary"), rows("binary")
    for strength in (1e-6, 0.5, 1.0):
        model.propose(x, strength, Streams.of(0, 24))
    assert seen == [1, 10, 100]
