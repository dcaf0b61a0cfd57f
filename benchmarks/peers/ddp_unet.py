"""denoising-diffusion-pytorch: cost of its U-Net on 28x28 images, and what it learns in a number of CPU-seconds.

ddp_unet.py step REPEATS                                         the U-Net of its README with dim 32, (1, 2, 4)
ddp_unet.py train FASHION_MNIST.npz SECONDS IMAGES STEPS LR OUT  its class-conditional U-Net with its own guidance

Its trainer reads folders of pictures through accelerate and torchvision; here the same settings (Adam with betas 0.9
and 0.99, gradient norm 1, EMA 0.995 every 10 steps) run on arrays: learning rate as given, its default is 1e-4. Samples
are drawn by its own DDIM in STEPS of 1,000 with its default scale 6.
"""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path

import images
import torch

images.stub("torchvision.transforms", "torchvision.utils", "accelerate", "pytorch_fid")

from denoising_diffusion_pytorch import GaussianDiffusion, Unet  # noqa: E402
from denoising_diffusion_pytorch import classifier_free_guidance as guided  # noqa: E402
from ema_pytorch import EMA  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


def step(repeats):
    net = Unet(dim=32, dim_mults=(1, 2, 4), channels=1)
    diffusion = GaussianDiffusion(net, image_size=28, timesteps=1000)
    optimiser = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
    x, t = torch.rand(images.BATCH, 1, 28, 28), torch.full((images.BATCH,), 500)

    def train():
        optimiser.zero_grad()
        diffusion(x).backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
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
    net = guided.Unet(dim=32, num_classes=10, dim_mults=(1, 2, 4), channels=1)
    diffusion = guided.GaussianDiffusion(net, image_size=28, timesteps=1000, sampling_timesteps=steps)
    optimiser = torch.optim.Adam(diffusion.parameters(), lr=lr, betas=(0.9, 0.99))
    average = EMA(diffusion, beta=0.995, update_every=10)

    def update(x, y):
        loss = diffusion(x, classes=y)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
        optimiser.step()
        average.update()
        return float(loss)

    found = images.trained(update, images.batches(path, 0), seconds)
    found |= images.drawn(lambda classes: average.ema_model.sample(classes=classes), n, out)
    weights = {name: value.contiguous() for name, value in average.ema_model.model.state_dict().items()}
    save_file(weights, Path(out) / "model.safetensors")
    return found | {"sampler": f"its DDIM, {steps} steps of 2 calls, scale 6"}


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if sys.argv[1] == "step":
        answer = step(int(sys.argv[2]))
    else:
        path, seconds, n, steps, lr, out = sys.argv[2:8]
        answer = train(path, float(seconds), int(n), int(steps), float(lr), out)
    return answer | {"version": version("denoising-diffusion-pytorch")}


if __name__ == "__main__":
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        result = main()
    print(json.dumps(result))
