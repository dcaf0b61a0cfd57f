"""diffusers' folders: the same function both ways, its schedules, and one line for what cannot be said.

Slow tests ask the installed package itself (``make peers``); the quick ones hold what does not need it.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import zsteer
from zsteer.bench.peers import run_peer
from zsteer.core.protocols import Conditional
from zsteer.core.rng import Streams, initialised
from zsteer.core.sample_spec import SampleSpec
from zsteer.errors import ArtifactError, CapabilityError, InputError, OutputError, SettingsError
from zsteer.interop import diffusers
from zsteer.maths.schedules import Listed
from zsteer.models.diffusion.ddpm import DDPM, DDPMSettings
from zsteer.nets.unet2d import UNet2D, UNet2DSettings
from zsteer.sample.ancestral import ancestral

SMALL = {
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
UNUSUAL = {
    "block_out_channels": [8, 16, 24],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "in_channels": 3,
    "out_channels": 3,
    "sample_size": 12,
    "norm_num_groups": 4,
    "num_class_embeds": 5,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "downsample_padding": 0,
    "attention_head_dim": None,
    "norm_eps": 1e-6,
    "mid_block_scale_factor": 1.5,
    "time_embedding_dim": 20,
    "center_input_sample": True,
}
SCALED = {
    "block_out_channels": [8, 16],
    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "sample_size": 8,
    "norm_num_groups": 4,
    "resnet_time_scale_shift": "scale_shift",
}
PLAIN = {"sample_size": 28, "layers_per_block": 1, "norm_num_groups": 8}


def model(**changed):
    """A small DDPM that the format can express, with weights that hide nothing."""
    settings = {
        "datum": SampleSpec(shape=(1, 8, 8), values="unit"),
        "schedule": "cosine",
        "steps": 50,
        "classes": ("bag", "boot"),
        "net": "unet2d",
        "unet2d": UNet2DSettings(**SMALL, num_class_embeds=3),
    }
    with initialised(0):
        made = DDPM(DDPMSettings(**(settings | changed))).eval()
    streams = Streams.of(0, 1)
    with torch.no_grad():
        for name, value in made.named_parameters():
            value.add_(0.05 * streams.normal(name, tuple(value.shape))[0])
    return made


@pytest.fixture
def folder(tmp_path):
    diffusers.write(model(), tmp_path / "net")
    return tmp_path / "net"


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_written_model_is_read_as_it_was(folder):
    ours, back = model(), diffusers.read(folder)
    assert isinstance(back, Conditional)
    assert back.settings.classes == ("bag", "boot")
    assert back.settings.target == ours.settings.target
    x, t = Streams.of(1, 4).normal("x", (1, 8, 8)), torch.tensor([0.02, 0.5, 0.98, 1.0])
    for given in (None, {"class": ["bag", "boot", "boot", "bag"]}):
        a, b = (each.denoiser(given, 4).predict(x, t).x0 for each in (ours, back))
        # abar is 1 less a product in one and a product in the other: x_0 = (x - sigma eps) / signal magnifies by 150
        assert torch.allclose(a, b, atol=1e-4)
    with pytest.raises(OutputError, match="exists"):
        diffusers.write(ours, folder)


def test_a_read_model_is_a_model_like_any_other(folder, tmp_path):
    back = diffusers.read(folder, classes=("a", "b", "c"))  # a name for every row: none is left for no class
    streams = Streams.of(0, 2)
    with torch.no_grad():
        x = back.noise.prior(back.like(2, streams), streams)
        made = back.finish(ancestral(back.denoiser({"class": "b"}, 2), x, [1.0, 0.5, 0.0], streams))
        assert made["x"].shape == (2, 1, 8, 8)
        with pytest.raises(CapabilityError, match="--given class"):
            back.denoiser(None, 2).predict(x, torch.ones(2))
    back.save_pretrained(tmp_path / "ours")
    again = DDPM.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        said = [each.denoiser({"class": "b"}, 2).predict(x, torch.ones(2)).x0 for each in (back, again)]
    assert torch.equal(*said)


def test_files_of_one_folder_are_read_too(folder):
    (folder / "unet" / "config.json").rename(folder / "config.json")
    (folder / "unet" / diffusers.WEIGHTS).rename(folder / diffusers.WEIGHTS)
    (folder / "scheduler" / "scheduler_config.json").rename(folder / "scheduler_config.json")
    for part in ("unet", "scheduler"):
        (folder / part).rmdir()
    assert diffusers.read(folder).settings.steps == 50


def test_weights_of_old_folders_are_read(folder):
    path = folder / "unet" / diffusers.WEIGHTS
    old = {new: before for before, new in diffusers.OLD_ATTENTION.items()}
    weights = {}
    for name, value in load_file(path).items():
        renamed = name
        for new, before in old.items():
            renamed = renamed.replace(f".{new}.", f".{before}.")
        weights[renamed] = value
    assert sum("proj_attn" in name for name in weights) > 0
    save_file(weights, path)
    assert torch.equal(diffusers.read(folder).net.conv_in.weight, model().net.conv_in.weight)


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({"beta_schedule": "linear"}, lambda i: 1e-4 + (0.02 - 1e-4) * i / 999),
        (
            {"beta_schedule": "scaled_linear", "beta_start": 0.01, "beta_end": 0.04},
            lambda i: (0.1 + 0.1 * i / 999) ** 2,
        ),
        (
            {"beta_schedule": "squaredcos_cap_v2"},
            lambda i: min(
                1 - math.cos((i + 1 + 8) / 1008 * math.pi / 2) ** 2 / math.cos((i + 8) / 1008 * math.pi / 2) ** 2,
                0.999,
            ),
        ),
        ({"trained_betas": [0.1] * 1000}, lambda _: 0.1),
    ],
)
def test_betas_are_those_of_their_formulas(keys, wanted):
    found = diffusers.betas_of(keys)
    assert found == pytest.approx([wanted(i) for i in range(1000)], rel=1e-9)  # float64, one subtraction from 1


def test_a_listed_schedule_is_the_chain_at_its_times_and_monotone_between():
    betas = tuple(diffusers.betas_of({}))
    curve = Listed(betas)
    t = torch.arange(1001, dtype=torch.float64) / 1000
    wanted = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - torch.tensor(betas).double(), 0)])
    assert torch.allclose(curve.abar(t), wanted, rtol=1e-12)
    assert torch.allclose(curve.betas(1000), torch.tensor(betas).double(), rtol=1e-9)
    assert bool((curve.log_snr(torch.linspace(0.001, 1, 777)).diff() < 0).all())
    for values in ((), (0.1, 1.0), (0.0,)):
        with pytest.raises(SettingsError, match=r"betas in \(0, 1\)"):
            Listed(values)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (5, 2)])
def test_the_net_takes_any_size_and_gives_it_back(size):
    with initialised(0):
        net = UNet2D(UNet2DSettings(**SMALL))
    assert net(Streams.of(0, 2).normal("x", (1, *size)), torch.ones(2)).shape == (2, 1, *size)


def test_rounded_times_of_the_chain_are_met():
    with initialised(0):
        net = UNet2D(UNet2DSettings(**SMALL)).eval()
    k = torch.arange(1000)
    with torch.no_grad():
        single = net._code((k.float() + 1) / 1000, None)
        whole = net.double()._code((k.double() + 1) / 1000, None)
    # float32 angles of up to 999 would be off by 6e-5 if k were not rounded; sums of 32 in float32 are within 1e-6
    assert torch.allclose(single.double(), whole, atol=2e-6)


@pytest.mark.parametrize(
    ("file", "values", "error", "hint"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, CapabilityError, "only a UNet2DModel"),
        ("unet/config.json", {"time_embedding_type": "fourier"}, CapabilityError, "time_embedding_type='fourier'"),
        ("unet/config.json", {"block_out_channels": [8, 18]}, SettingsError, "4 groups divide"),
        ("unet/config.json", {"down_block_types": ["DownBlock2D"]}, SettingsError, "one block type for each"),
        ("unet/config.json", {"attention_head_dim": 5}, SettingsError, "attention_head_dim to divide"),
        ("unet/config.json", {"sample_size": None}, InputError, "pass size="),
        ("unet/config.json", {"layers_per_block": 2}, ArtifactError, "does not hold the net of its config"),
        ("unet/config.json", {"time_embedding_dim": 20}, ArtifactError, "does not hold the net of its config"),
        ("unet/config.json", {"num_class_embeds": 9}, InputError, "embeds 9 classes, got 2 names"),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, CapabilityError, "no signal at the end"),
        ("scheduler/scheduler_config.json", {"thresholding": True}, CapabilityError, "dynamic thresholding"),
        ("scheduler/scheduler_config.json", {"variance_type": "learned_range"}, CapabilityError, "learned_range"),
        (
            "scheduler/scheduler_config.json",
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            CapabilityError,
            "Flow",
        ),
        (
            "scheduler/scheduler_config.json",
            {"trained_betas": None, "beta_schedule": "exp"},
            CapabilityError,
            "'exp' is not read",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(folder, file, values, error, hint):
    change(folder / file, **values)
    with pytest.raises(error, match=hint):
        diffusers.read(folder)


def test_damaged_folders_are_named(folder):
    path = folder / "unet" / diffusers.WEIGHTS
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(ArtifactError, match="cannot be read"):
        diffusers.read(folder)
    path.unlink()
    path.with_suffix(".bin").touch()
    with pytest.raises(ArtifactError, match="is a pickle"):
        diffusers.read(folder)
    (folder / "scheduler" / "scheduler_config.json").write_text("{")
    with pytest.raises(ArtifactError, match="as JSON"):
        diffusers.read(folder)
    with pytest.raises(ArtifactError, match="there is no"):
        diffusers.read(folder / "nowhere")


def test_what_the_format_cannot_express_is_refused(tmp_path):
    lean = DDPM(DDPMSettings(datum=SampleSpec(shape=(1, 8, 8), values="unit"), width=8))
    with pytest.raises(CapabilityError, match="folds pixels"):
        diffusers.write(lean, tmp_path / "a")
    learned = model(variance="learned", unet2d=UNet2DSettings(**SMALL | {"out_channels": 2}, num_class_embeds=3))
    with pytest.raises(CapabilityError, match="variance=posterior"):
        diffusers.write(learned, tmp_path / "a")
    dropping = UNet2D(UNet2DSettings(**SMALL, dropout=0.1))
    with pytest.raises(CapabilityError, match="dropout=0"):
        dropping(torch.zeros(1, 1, 8, 8), torch.ones(1))
    for wrong in ({"classes": ()}, {"unet2d": None}, {"schedule": "listed"}, {"betas": (0.1,)}):
        with pytest.raises(ValueError, match=r"expected num_class_embeds|belong to"):
            model(**wrong)


@pytest.mark.slow
def test_the_recipe_trains_a_net_that_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pixels = Streams.of(0, 30).integers("p", 256, (8, 8)).numpy().astype(np.uint8)
    np.savez(tmp_path / "own.npz", x=pixels, y=np.arange(30) % 2)
    keys = {"size": "xs", "steps": 1, "width": 8, "variance": "posterior", "net": "unet2d"}
    made = zsteer.fit("ddpm", out=tmp_path / "run", data=tmp_path / "own.npz", **keys).model
    assert made.settings.unet2d.num_class_embeds == 3
    diffusers.write(made, tmp_path / "there")
    back = diffusers.read(tmp_path / "there")
    assert torch.equal(back.net.conv_out.weight, made.net.conv_out.weight)
    with pytest.raises(SettingsError, match="takes images"):
        zsteer.fit("ddpm", out=tmp_path / "rows", dataset="ring-8", **keys)


def peer(*words):
    """Ask the installed package; where it is not, say so and skip."""
    found = run_peer("diffusers_unet.py", *words)
    if "not there" in found.missing or "No module named" in found.missing:
        pytest.skip(f"diffusers: {found.missing}")
    assert not found.missing, found.missing
    return found.figures


@pytest.mark.slow
@pytest.mark.parametrize("settings", [PLAIN, UNUSUAL, SCALED])
def test_the_net_is_the_packages_net_both_ways(tmp_path, settings):
    there, back = tmp_path / "there", tmp_path / "back"
    peer("write", there, *(f"{key}={json.dumps(value)}" for key, value in settings.items()))
    asked = load_file(there / "example.safetensors")
    read = diffusers.read(there)
    with torch.no_grad():
        found = read.net(asked["x"], (asked["k"] + 1) / 1000, asked["y"] if read.settings.classes else None)
    assert torch.allclose(found, asked["out"], atol=1e-5, rtol=0)  # float32 sums in another order, outputs of order 1
    diffusers.write(read, back)
    save_file(asked, back / "example.safetensors")
    told = peer("read", back)
    assert told["apart"] < 1e-5
    abar = read.noise.schedule.abar(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    assert torch.allclose(torch.tensor(told["abar"]).double(), abar, rtol=1e-4)  # it multiplies 1,000 float32 numbers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "target"),
    [("linear", "epsilon"), ("scaled_linear", "sample"), ("squaredcos_cap_v2", "v_prediction")],
)
def test_steps_are_the_packages_steps(tmp_path, folder, schedule, target):
    """With the same word of the net, a deterministic step and the last step of the chain."""
    path = folder / "scheduler" / "scheduler_config.json"
    values = {"num_train_timesteps": 1000, "trained_betas": None, "beta_schedule": schedule, "prediction_type": target}
    change(path, **values)
    (tmp_path / "scheduler_config.json").write_text(path.read_text())
    told, read = peer("kernel", tmp_path), diffusers.read(folder)
    given = load_file(tmp_path / "kernel.safetensors")
    abar = read.noise.schedule.abar(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    assert torch.allclose(torch.tensor(told["abar"]).double(), abar, rtol=1e-3)  # the cosine's last one is 2e-9

    class Said(torch.nn.Module):
        def forward(self, *_):
            return given["out"]

    read.net = Said()
    for k, to, wanted in ((told["first"], told["second"] + 1, given["moved"]), (0, 0, given["last"])):
        t, s = (k + 1) / 1000, to / 1000
        said = read.predict(given["x"], torch.full((2,), t), None)
        found = read.noise.step(given["x"], replace(said, variance_fraction=None), t, s, rng=Streams.of(0, 2), eta=0.0)
        assert torch.allclose(found, wanted, atol=2e-5)  # its float32 product of 501 steps
