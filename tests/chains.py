"""Chains of atoms with bonds, as batches: what molecules are to a model, without any chemistry behind them."""

import torch

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams, initialised
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.settings import EDMSettings

KINDS = ((6, 0, 0), (7, 0, 0), (7, 1, 0), (8, 0, 0))
NAMES = ("mu_debye", "logp")


def chains(sizes=(4, 5, 5, 1, 4, 6), *, seed=0, aromatic=False, kinds=KINDS, names=NAMES):
    """Chains of the given sizes, padded to the largest, with properties."""
    rng, n = Streams.of(seed, len(sizes)).child("chains"), max(sizes)
    mask = torch.arange(n) < torch.tensor(sizes)[:, None]
    kind = rng.integers("kind", len(kinds), (n,))
    table = torch.tensor(kinds)
    walk = rng.normal("walk", (n, 3)).cumsum(1) * 0.8
    bond = torch.zeros(len(sizes), n, n, dtype=torch.long)
    for i in range(n - 1):
        order = 1 + rng.integers(f"order {i}", 3)
        bond[:, i, i + 1] = bond[:, i + 1, i] = order * (mask[:, i + 1])
    fields = {
        "xyz": walk * mask[..., None],
        "z": table[kind][..., 0] * mask,
        "charge": table[kind][..., 1] * mask,
        "hydrogens": torch.zeros(len(sizes), n, dtype=torch.long),
        "bond": bond,
        "aromatic": (bond == 2) & aromatic,
        **{name: 2 * (k == 0) + rng.normal(name) for k, name in enumerate(names)},
    }
    return Batch(fields, mask)


def small(**values):
    """A small model of such chains."""
    shared = {"kinds": KINDS, "width": 16, "pair_width": 12, "layers": 2, "largest": 6, "steps": 20}
    with initialised(0):
        model = EDM(EDMSettings(**{**shared, **values}))
    rng = Streams.of(0, 1).child("stirred")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.add_(0.05 * rng.normal(name, tuple(weight.shape))[0].to(weight.dtype))
    model.sizes.count.zero_()[:6] = torch.tensor([1.0, 0.0, 1.0, 3.0, 3.0, 1.0])
    return model.eval()


CONDITIONS = {"properties": NAMES, "means": (2.0, 0.0), "stds": (1.0, 1.0), "ranges": ((0.0, 5.0), (-3.0, 3.0))}
VARIANTS = {
    "bonds": CONDITIONS,
    "no properties, not asked again": {"self_conditioning": False},
    "triangles": {"triangles": 4, **CONDITIONS},
    "aromatic": {"bonds": ("none", "single", "double", "triple", "aromatic")},
    "categorical": {"features": "categorical", **CONDITIONS},
    "atoms alone": {"bonds": (), "hydrogens": "explicit"},
    "the lecture's": {
        "bonds": (),
        "hydrogens": "explicit",
        "unit": 1.0,
        "scale": 0.25,
        "numbers": 0.1,
        "schedule": "polynomial",
        "gap": 1e-5,
        "target": "eps",
        "early": 1.0,
        "self_conditioning": False,
        "net": "egnn",
        **CONDITIONS,
    },
}
