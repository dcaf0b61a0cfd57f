"""pythae's VAE and WAE-MMD, 784-400-20, on 5,000 images: CPU-seconds an epoch by its own trainer, and of its bound.

python pythae_autoencoders.py vae|wae|bound FASHION_MNIST.npz EPOCHS
"""

import io
import json
import logging
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, WAE_MMD, VAEConfig, WAE_MMD_Config
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import nn


class Encoder(BaseEncoder):
    def __init__(self, *, variance):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())
        self.mu = nn.Linear(400, 20)
        self.log_var = nn.Linear(400, 20) if variance else None

    def forward(self, x):
        hidden = self.body(x)
        out = ModelOutput(embedding=self.mu(hidden))
        if self.log_var is not None:
            out["log_covariance"] = self.log_var(hidden)
        return out


class Decoder(BaseDecoder):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid())

    def forward(self, z):
        return ModelOutput(reconstruction=self.body(z).reshape(-1, 1, 28, 28))


def main():
    what, path, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.from_numpy((np.load(path)["x_train"][:5000] > 127).astype(np.float32))[:, None]
    if what == "wae":
        model = WAE_MMD(WAE_MMD_Config(input_dim=(1, 28, 28), latent_dim=20), Encoder(variance=False), Decoder())
    else:
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
        model = VAE(config, Encoder(variance=True), Decoder())
    if what == "bound":
        started = time.process_time()
        with torch.no_grad():
            value = model.get_nll(images[:20], n_samples=1000, batch_size=1000)
        return {"cpu_seconds": time.process_time() - started, "value": float(value)}
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, num_epochs=epochs, per_device_train_batch_size=100, learning_rate=1e-3, no_cuda=True
        )
        trainer = BaseTrainer(model, BaseDataset(images, torch.zeros(len(images))), training_config=settings)
        trainer.prepare_training()
        times = []
        for epoch in range(1, epochs + 1):
            started = time.process_time()
            loss = trainer.train_step(epoch)
            times.append(time.process_time() - started)
    return {"cpu_seconds": sorted(times)[len(times) // 2], "loss": float(loss)}


if __name__ == "__main__":
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        answer = main()
    print(json.dumps(answer))
