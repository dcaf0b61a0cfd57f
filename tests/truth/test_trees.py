"""Trees as arrays: the same sums as LightGBM's own, and nothing that could lead a walk out of its tree."""

import numpy as np
import pytest
import torch

from zsteer.core.rng import Streams
from zsteer.errors import ArtifactError, InputError
from zsteer.maths.trees import Trees


@pytest.fixture(scope="module")
def booster():
    lightgbm = pytest.importorskip("lightgbm")
    x = np.round(Streams.of(0, 400).normal("x", (6,), dtype=torch.float64).numpy(), 1)
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(float)
    settings = {"objective": "binary", "num_leaves": 6, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}
    return lightgbm.train(settings, lightgbm.Dataset(x, y), 20), x


def test_the_sum_is_lightgbms(booster):
    trained, x = booster
    more = np.concatenate([x, 5 * x, np.zeros((1, 6))])
    trees = Trees.from_lightgbm(trained)
    wanted = trained.predict(more, raw_score=True)
    assert float((trees(torch.from_numpy(more)) - torch.from_numpy(wanted)).abs().max()) < 1e-12
    again = Trees.read(trees.tensors("t"), "t")
    assert torch.equal(again(torch.from_numpy(more)), trees(torch.from_numpy(more)))
    assert trees(torch.zeros(0, 6)).shape == (0,)
    with pytest.raises(InputError, match="column"):
        trees(torch.zeros(2, 1))


def test_a_tree_by_hand():
    """x_0 <= 1: then x_1 <= 2 decides between 10 and 20; else 30; and a tree of one leaf adds 5."""
    trees = Trees(
        torch.tensor([[0, 1], [0, 0]]),
        torch.tensor([[1.0, 2.0], [0.0, 0.0]]),
        torch.tensor([[1, -1], [-1, -1]]),
        torch.tensor([[-3, -2], [-1, -1]]),
        torch.tensor([[10.0, 20.0, 30.0], [5.0, 0.0, 0.0]]),
    )
    x = torch.tensor([[1.0, 2.0], [1.0, 2.1], [1.1, 0.0]])
    assert trees(x).tolist() == [15.0, 25.0, 35.0]


CHANGES = {
    "a child before its parent": ("left", (0, 1), 0),
    "itself": ("right", (0, 0), 0),
    "outside": ("left", (0, 0), 9),
    "no such leaf": ("right", (0, 1), -9),
    "a threshold that is no number": ("threshold", (0, 0), float("nan")),
    "a value that is none": ("value", (0, 0), float("inf")),
    "a negative column": ("feature", (0, 0), -1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_arrays_that_are_no_trees_are_refused(booster, name):
    part, place, value = CHANGES[name]
    tensors = {key: tensor.clone() for key, tensor in Trees.from_lightgbm(booster[0]).tensors("t").items()}
    tensors[f"t.{part}"][place] = value
    with pytest.raises(ArtifactError):
        Trees.read(tensors, "t")


@pytest.mark.parametrize("part", ["feature", "left", "value"])
def test_a_missing_part_is_named(booster, part):
    tensors = Trees.from_lightgbm(booster[0]).tensors("t")
    for wrong in ({}, {f"t.{part}": tensors[f"t.{part}"].bool()}, {f"t.{part}": tensors[f"t.{part}"][:, :1]}):
        broken = {key: value for key, value in tensors.items() if key != f"t.{part}"} | wrong
        with pytest.raises(ArtifactError):
            Trees.read(broken, "t")
