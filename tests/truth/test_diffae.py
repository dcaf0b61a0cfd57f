"""The diffusion autoencoder against what must hold of any weights: round trip, windows, where the code enters."""

import pytest
import torch
from tests.contract.test_diffusion_models import stirred
from tests.vectors import datum, samples

import zsteer
from zsteer.core.batch import Batch
from zsteer.core.protocols import Codec, Generative, Proposes, ReadsCode, Trainable, Windowed
from zsteer.core.rng import Streams, initialised
from zsteer.domains.images.properties import FACES
from zsteer.errors import ArtifactError, InputError, SettingsError
from zsteer.maths.directions import slerp
from zsteer.models.diffae.diffae import DiffAE, View
from zsteer.models.diffae.settings import DiffAESettings
from zsteer.nets.unet import UNet
from zsteer.steer.heads import fit_head, gather
from zsteer.steer.latent import interpolate
from zsteer.steer.latent_options import LatentOptions

SHAPE = (3, 16, 16)
SMALL = {"semantic": 6, "width": 8, "encoder": 8, "multiples": (1, 2), "hidden": (12,), "steps": 50, "calls": 4}


def small(**changes):
    with initialised(0):
        model = DiffAE(DiffAESettings(datum=datum("unit", SHAPE), **{**SMALL, **changes}))
    return stirred(model).eval()


@pytest.fixture(scope="module")
def model():
    return small()


@pytest.fixture(scope="module")
def x():
    return samples("unit", n=5, shape=SHAPE)


def streams(x):
    return Streams.of(0, len(x))


def test_it_keeps_the_contracts(model, x):
    states = {verdict.name: verdict.state for verdict in zsteer.check(model, x)}
    assert "failed" not in states.values(), states
    assert states["code"] == states["losses_are_per_sample"] == states["proposals"] == states["save_and_load"] == "ok"
    for protocol in (Codec, Generative, Proposes, ReadsCode, Trainable, Windowed):
        assert isinstance(model, protocol)
    assert isinstance(model.within(), Codec)


def test_with_noise_as_the_target_it_learns_by_algorithm_1(x):
    """Weights that predict nothing (zero) have the loss |eps|^2, with either target's own right side."""
    model = small(target="eps")
    torch.nn.init.zeros_(model.net.leave.weight)
    torch.nn.init.zeros_(model.net.leave.bias)
    eps = streams(x).normal("eps", SHAPE)
    found = model.losses(x, "autoencoder", streams(x))["squared_error"]
    assert torch.allclose(found, eps.square().flatten(1).sum(1), rtol=1e-5)


def test_the_round_trip_is_closed_by_more_iterations(x):
    """Decoding inverts encoding on the same grid: the gap of the implicit steps shrinks with each iteration."""
    gaps: list[float] = []
    for refine in (1, 3, 9):
        model = small(refine=refine)
        again = model.decode(model.encode(x, streams(x)), streams(x))
        gaps.append(float((again["x"] - x["x"]).square().mean().sqrt()))
    assert gaps[2] < gaps[1] < gaps[0]
    assert gaps[2] < 0.01  # of the range; these weights are random, the shipped ones come to 1e-3 in two


@pytest.mark.lecture("diffae.levels")
def test_all_levels_and_all_times_are_the_whole_edit(model, x, measured):
    """An edit shown everywhere is the plain one; shown nowhere it is none; at one level it is something between."""
    rng = streams(x)
    code = model.encode(x, rng)
    moved = {**code, "z": code["z"] + 1}
    whole = model.decode(moved, rng)["x"]
    gap = (model.within(levels=(0, 1)).decode({**moved, "still": code["z"]}, rng)["x"] - whole).abs().max()
    measured(float(gap), "difference of an edit at all levels from the plain one")
    assert float(gap) == 0
    view = model.within(levels=(0,))
    assert set(view.encode(x, rng)) == {"z", "x_T", "still"}
    one = view.decode({**moved, "still": code["z"]}, rng)["x"]
    none = view.decode({**code, "still": code["z"]}, rng)["x"]
    assert torch.equal(none, model.decode(code, rng)["x"])
    assert not torch.allclose(one, whole)
    assert not torch.allclose(one, none)
    # No time of the grid lies between 0.4 and 0.401, so that nothing of the edit is seen.
    empty = model.within(window=(0.4, 0.401)).decode({**moved, "still": code["z"]}, rng)["x"]
    assert torch.equal(empty, none)


@pytest.mark.parametrize("wrong", [{"levels": (2,)}, {"levels": (-1,)}, {"window": (0.5, 0.5)}, {"window": (0.2, 1.4)}])
def test_windows_that_are_none_are_refused(model, wrong):
    with pytest.raises(SettingsError):
        model.within(**wrong)


def test_the_code_of_z_scales_each_level_and_nothing_else():
    """h <- (1 + delta(z)) ((1 + gamma) norm(h) + beta): where delta is 0 the net is the one without a code."""
    with initialised(0):
        net = UNet(3, 3, width=8, multiples=(1, 2), blocks=1, semantic=4)
    stirred(net)
    for name, weight in net.named_parameters():
        if ".scale." in name:
            torch.nn.init.zeros_(weight)
    x, t = Streams.of(0, 2).normal("x", (3, 8, 8)), torch.tensor([0.2, 0.7])
    z = Streams.of(1, 2).normal("z", (2, 4))
    assert torch.allclose(net(x, t, None, z), net(x, t, None, None), atol=1e-6)


def test_the_reading_is_the_code_without_the_inversion(model, x):
    assert torch.equal(model.read(x, streams(x))["z"], model.encode(x, streams(x))["z"])
    codes = small()
    z = codes.settle(x)
    assert torch.allclose(z.mean(0), torch.zeros(6), atol=1e-5)
    assert torch.allclose(z.std(0), torch.ones(6), atol=1e-4)


def test_between_two_pictures_the_noise_goes_on_a_circle(model, x):
    """Both ends are the reconstructions; in the middle x_T keeps its length, which the straight line would shorten."""
    rng = Streams.of(0, 2)
    a, b = x.take(slice(2)), x.take(slice(2, 4))
    line = interpolate(model, a, b, 3, rng)
    assert torch.allclose(line["x"][0::3], model.decode(model.encode(a, rng), rng)["x"], atol=1e-5)
    assert torch.allclose(line["x"][2::3], model.decode(model.encode(b, rng), rng)["x"], atol=1e-5)
    code, other = model.encode(a, rng), model.encode(b, rng)
    middle = slerp(code["x_T"].flatten(1), other["x_T"].flatten(1), 0.5).reshape(2, *SHAPE)
    own = model.decode({"z": (code["z"] + other["z"]) / 2, "x_T": middle}, rng)
    assert torch.allclose(line["x"][1::3], own["x"], atol=1e-5)


def test_heads_are_stored_with_it(tmp_path):
    model = small()
    z = Streams.of(0, 40).normal("z", (6,), dtype=torch.float64)
    heads = [fit_head(z, z[:, 1], FACES["smile"], "z", LatentOptions())]
    model.heads = gather(z, heads, ("z",), LatentOptions())
    model.save_pretrained(tmp_path / "model")
    again = DiffAE.from_pretrained(tmp_path / "model")
    assert again.heads is not None
    assert again.heads.names == ("smile",)
    assert torch.equal(again.heads["smile"].w, model.heads["smile"].w)
    assert [option.name for option in again.options] == ["smile"]
    artifact = model.artifact()
    with pytest.raises(ArtifactError):
        again.restore(artifact.tensors, {"heads.json": "{"})


def test_what_it_cannot_take_is_refused(model, x):
    with pytest.raises(InputError):
        model.sample(2, given={"class": "a"}, rng=Streams.of(0, 2))
    with pytest.raises(InputError):
        model.propose(x, 0.0, streams(x))
    with pytest.raises(InputError):
        model.encode(Batch({"x": torch.zeros(2, 3, 8, 8)}), Streams.of(0, 2))
    with pytest.raises(ValueError, match="images"):
        DiffAESettings(datum=datum("real", (4,)))
    assert isinstance(model.within(calls=2), View)
