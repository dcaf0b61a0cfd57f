"""diffusers: cost of its UNet2DModel on 28x28 images, what it learns in a number of CPU-seconds, and its file format.

diffusers_unet.py step REPEATS                                         (32, 64, 128), 2 layers, attention at 14
diffusers_unet.py train FASHION_MNIST.npz SECONDS IMAGES STEPS LR OUT  the same with class embedding
diffusers_unet.py write OUT SETTING...    random weights of a small net, with inputs and outputs in example.safetensors
diffusers_unet.py read FOLDER             outputs of the net in FOLDER at the inputs of its example.safetensors
diffusers_unet.py kernel FOLDER           a DDIM step and the last DDPM step of FOLDER/scheduler_config.json

Training follows its example of unconditional generation (AdamW with betas 0.95 and 0.999, decay 1e-6, EMA with power
3/4, linear schedule of 1,000 steps) at a constant learning rate as given; its default is 1e-4 after a warm-up of 500
steps, longer than the budget. Samples are drawn by its DDIM; the net has classes, the package no guidance for it.
"""

import io
import json
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path

import images
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file


def unet(**changed):
    torch.manual_seed(0)
    settings = {
        "sample_size": 28,
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 2,
        "block_out_channels": (32, 64, 128),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DModel(**(settings | changed))


def loss_of(net, scheduler, x, y=None):
    noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
    noisy = scheduler.add_noise(x * 2 - 1, noise, t)
    return torch.nn.functional.mse_loss(net(noisy, t, class_labels=y).sample, noise)


def step(repeats):
    net, scheduler = unet(), DDPMScheduler(num_train_timesteps=1000)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    x, t = torch.rand(images.BATCH, 1, 28, 28), torch.full((images.BATCH,), 500)

    def train():
        optimiser.zero_grad()
        loss_of(net, scheduler, x).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()

    def call():
        with torch.no_grad():
            net(x, t)

    return {
        "train_seconds": images.quickest(train, repeats),
        "call_seconds": images.quickest(call, repeats),
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def train(path, seconds, n, steps, lr, out):
    net, scheduler = unet(num_class_embeds=10), DDPMScheduler(num_train_timesteps=1000)
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, betas=(0.95, 0.999), weight_decay=1e-6)
    average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def update(x, y):
        loss = loss_of(net, scheduler, x, y)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.step(net.parameters())
        return float(loss)

    found = images.trained(update, images.batches(path, 0), seconds)
    average.copy_to(net.parameters())
    walk = DDIMScheduler.from_config(scheduler.config)
    walk.set_timesteps(steps)

    @torch.no_grad()
    def sample(classes):
        x = torch.randn(len(classes), 1, 28, 28)
        for t in walk.timesteps:
            x = walk.step(net(x, t, class_labels=classes).sample, t, x).prev_sample
        return (x + 1) / 2

    found |= images.drawn(sample, n, out)
    DDPMPipeline(unet=net, scheduler=scheduler).save_pretrained(out)
    return found | {"sampler": f"its DDIM, {steps} steps, no guidance"}


def example(net, size):
    """Inputs that a net can be asked at: noise, its own count of steps, classes."""
    generator = torch.Generator().manual_seed(1)
    channels = net.config.in_channels
    asked = {
        "x": torch.randn(4, channels, size, size, generator=generator),
        "k": torch.tensor([0, 1, 500, 999]),
        "y": torch.arange(4) % (net.config.num_class_embeds or 1),
    }
    return asked | {"out": answered(net, asked)}


@torch.no_grad()
def answered(net, asked):
    labels = asked["y"] if net.config.num_class_embeds else None
    return net.eval()(asked["x"], asked["k"], class_labels=labels).sample


def write(out, *words):
    changed = dict(word.split("=", 1) for word in words)
    net = unet(**{key: json.loads(value) for key, value in changed.items()})
    with torch.no_grad():  # norms and biases start as ones and zeros, which would hide a mistake
        for value in net.parameters():
            value.add_(0.05 * torch.randn_like(value))
    DDPMPipeline(unet=net, scheduler=DDPMScheduler()).save_pretrained(out)
    save_file(example(net, net.config.sample_size), Path(out) / "example.safetensors")
    return {"parameters": sum(p.numel() for p in net.parameters())}


def read(folder):
    made = DDPMPipeline.from_pretrained(folder)
    asked = load_file(Path(folder) / "example.safetensors")
    found = answered(made.unet, asked)
    apart = (found - asked["out"]).abs().max()
    return {"apart": float(apart), "scale": float(found.abs().max()), "abar": made.scheduler.alphas_cumprod.tolist()}


def kernel(folder):
    """A deterministic step and the last one, with a fixed output of the net, and the squared signals."""
    settings = json.loads((Path(folder) / "scheduler_config.json").read_text())
    generator = torch.Generator().manual_seed(2)
    x, out = (0.5 * torch.randn(2, 1, 4, 4, generator=generator) for _ in range(2))
    walk, ddim = DDPMScheduler.from_config(settings), DDIMScheduler.from_config(settings)
    ddim.set_timesteps(2)
    first, second = (int(k) for k in ddim.timesteps)
    moved = ddim.step(out, first, x, use_clipped_model_output=True).prev_sample
    last = walk.step(out, 0, x).prev_sample  # draws nothing
    save_file({"x": x, "out": out, "moved": moved, "last": last}, Path(folder) / "kernel.safetensors")
    return {"first": first, "second": second, "abar": walk.alphas_cumprod.tolist()}


def main():
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    what, *words = sys.argv[1:]
    if what == "step":
        answer = step(int(words[0]))
    elif what == "train":
        path, seconds, n, steps, lr, out = words
        answer = train(path, float(seconds), int(n), int(steps), float(lr), out)
    else:
        answer = {"write": write, "read": read, "kernel": kernel}[what](*words)
    return answer | {"version": version("diffusers")}


if __name__ == "__main__":
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        result = main()
    print(json.dumps(result))
