"""Small data sets of plain numbers for the tests: images and tables of every kind of value."""

import torch

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.core.sample_spec import SampleSpec

IMAGE = (1, 8, 8)


def datum(values, shape=IMAGE, levels=0):
    return SampleSpec(shape=shape, values=values, levels=levels)


def samples(values, n=12, shape=IMAGE, levels=0):
    rng = Streams.of(0, n).child("vectors")
    x = rng.normal("x", shape) if values == "real" else rng.uniform("x", shape)
    if values == "binary":
        x = (x > 0.5).float()
    if values == "levels":
        x = (x * levels).floor()
    return Batch({"x": x, "y": torch.arange(n) % 3})
