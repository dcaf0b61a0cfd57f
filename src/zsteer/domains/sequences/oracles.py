r"""Numbers about sequences, and the three simple models of the judge: none of them is a neural network.

A receptor meets its peptide with the core of its CDR3; the first and last three residues come from the genes. So:

- ``kmer_features``: which residue stands at which place from either end, the length, and the k-mers of the core,
  for a logistic regression with a ridge, fitted by L-BFGS:
  .. math:: \min_w \sum_i c_i \ln(1 + e^{-s_i (w \cdot x_i + b)}) + \tfrac{\lambda}{2} \lVert w \rVert^2
- ``descriptors``: a random projection of the chemistry along the core, for similarity to the nearest binders.
  They are lossy on purpose: a judge that ships holds these, and no sequence.
- ``tree_features``: chemistry, composition and length, for boosted trees.

``tail`` puts the three on one scale: t = -log10 of the share of background receptors that score at least as high.

Sources: Kyte and Doolittle 1982 (hydropathy), Zamyatnin 1972 (volumes, cubic angstrom).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy import optimize, sparse
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.rng import Streams
from zsteer.domains.sequences.measures import HYDROPATHY
from zsteer.errors import InputError, MissingExtraError
from zsteer.maths.trees import Trees

__all__ = [
    "DESCRIPTOR_INPUTS",
    "KMER_FEATURES",
    "TAILS",
    "descriptors",
    "fit_logistic",
    "fit_trees",
    "kmer_features",
    "nearest_similarity",
    "projection",
    "tail",
    "tail_table",
    "tree_features",
]

Tokens = Int[Tensor, "b n"]
ENDS = 3
"""Residues at each end that the genes encode almost alone."""

_REACH = 12
_K = PROTEIN.size
_KMERS = ((0,), (0, 1), (0, 2), (0, 1, 2), (0, 3))
KMER_FEATURES = 2 * _REACH * _K + 31 + sum(_K ** len(offsets) for offsets in _KMERS)
"""Columns of ``kmer_features``."""

_VOLUME = "A 88.6 R 173.4 N 114.1 D 111.1 C 108.5 Q 143.8 E 138.4 G 60.1 H 153.2 I 166.7 L 166.7 K 168.6 M 162.9 F 189.9 P 112.7 S 89.0 T 116.1 W 227.8 Y 193.6 V 140.0"  # noqa: E501


def _scale(text: str) -> Mapping[str, float]:
    parts = text.split()
    return {letter: float(value) for letter, value in zip(parts[::2], parts[1::2], strict=True)}


def _chemistry() -> Float[np.ndarray, "20 8"]:
    """Hydropathy, volume, charge, ring, then marks for G, P, hydroxyl and amide; columns of similar spread."""
    hydropathy, volume = HYDROPATHY, _scale(_VOLUME)
    charge = {"R": 2.0, "K": 2.0, "D": -2.0, "E": -2.0, "H": 0.6}
    ring = {"F": 2.0, "W": 2.0, "Y": 2.0, "H": 1.0}
    rows = [
        (
            hydropathy[a] / 3.0,
            (volume[a] - 140.0) / 40.0,
            charge.get(a, 0.0),
            ring.get(a, 0.0),
            2.0 * (a == "G"),
            2.0 * (a == "P"),
            1.5 * (a in "ST"),
            1.5 * (a in "NQ"),
        )
        for a in PROTEIN.letters
    ]
    return np.array(rows)


# The three special tokens have no chemistry.
_PROPERTIES = np.vstack([_chemistry(), np.zeros((3, 8))])
_LETTERS = np.vstack([1.5 * np.eye(_K), np.zeros((3, _K))])


def _arrays(tokens: Tokens) -> tuple[Int[np.ndarray, "b n"], Int[np.ndarray, " b"]]:
    t = tokens.cpu().numpy().astype(np.int64)
    if t.shape[1] < 20:
        t = np.pad(t, ((0, 0), (0, 20 - t.shape[1])), constant_values=PROTEIN.pad)
    return t, (t < _K).sum(1)


def _from_right(
    values: Shaped[np.ndarray, "b n ..."], length: Int[np.ndarray, " b"], first: int, count: int
) -> tuple[Shaped[np.ndarray, "b count ..."], Int[np.ndarray, "b count"]]:
    """Entries ``first ... first + count - 1`` counted from the last residue, and their places (negative: none)."""
    place = length[:, None] - 1 - first - np.arange(count)[None, :]
    rows = np.arange(len(values))[:, None]
    return values[rows, np.maximum(place, 0)], place


def kmer_features(tokens: Tokens) -> sparse.csr_matrix:
    """Residues by place from either end, the length, and which k-mers (some gapped) the core holds.

    Returns:
        Matrix of zeros and ones, ``(b, KMER_FEATURES)``.
    """
    t, length = _arrays(tokens)
    near = np.arange(_REACH)[None, :]
    left = np.where(near < length[:, None], t[:, :_REACH] + _K * near, -1)
    letters, place = _from_right(t, length, 0, _REACH)
    right = np.where(place >= 0, letters + _K * near, -1)
    blocks = [(left, _K * _REACH), (right, _K * _REACH), (length[:, None], 31)]
    blocks += [(_kmers(t, length, offsets), _K ** len(offsets)) for offsets in _KMERS]
    columns, start = [], 0
    for block, width in blocks:
        columns.append(np.where(block >= 0, block + start, -1))
        start += width
    index = np.concatenate(columns, 1)
    row, slot = np.nonzero(index >= 0)
    return sparse.csr_matrix((np.ones(len(row)), (row, index[row, slot])), shape=(len(t), start))


def _kmers(t: Int[np.ndarray, "b n"], length: Int[np.ndarray, " b"], offsets: Sequence[int]) -> Int[np.ndarray, "b m"]:
    """Codes of the k-mers of the core, each once, -1 elsewhere."""
    width = max(offsets)
    count = t.shape[1] - 2 * ENDS - width
    code = np.zeros((len(t), count), dtype=np.int64)
    for offset in offsets:
        code = _K * code + np.minimum(t[:, ENDS + offset : ENDS + offset + count], _K - 1)
    last = ENDS + np.arange(count)[None, :] + width
    code = np.sort(np.where(last < length[:, None] - ENDS, code, -1), 1)
    code[:, 1:][code[:, 1:] == code[:, :-1]] = -1
    return code


def tree_features(tokens: Tokens) -> Float[np.ndarray, "b f"]:
    """Chemistry by place from either end, composition and mean chemistry of the core, and the length."""
    t, length = _arrays(tokens)
    places = np.arange(t.shape[1])[None, :]
    core = (places >= ENDS) & (places < length[:, None] - ENDS)
    chemistry = _PROPERTIES[t]
    left = chemistry[:, ENDS : ENDS + 8, :5] * (places[:, ENDS : ENDS + 8] < length[:, None] - 2)[..., None]
    values, place = _from_right(chemistry[..., :5], length, 2, 10)
    right = values * (place >= ENDS)[..., None]
    composition = np.stack([((t == a) & core).sum(1) for a in range(_K)], 1)
    mean = (chemistry * core[..., None]).sum(1) / np.maximum(core.sum(1), 1)[:, None]
    flat = [left.reshape(len(t), -1), right.reshape(len(t), -1)]
    return np.concatenate([*flat, composition, length[:, None], mean], 1)


DESCRIPTOR_INPUTS = 28 * (6 + 8)
"""Numbers along the core before projection."""


def projection(dims: int, *, seed: int = 0) -> Float[Tensor, "inputs dims"]:
    """The fixed random projection of ``descriptors``: normal entries of variance 1 / inputs."""
    drawn = Streams.of(seed, DESCRIPTOR_INPUTS).normal("descriptor projection", (dims,))
    return drawn / DESCRIPTOR_INPUTS**0.5


def descriptors(
    tokens: Tokens, centre: Float[Tensor, " dims"], project: Float[Tensor, "inputs dims"]
) -> Float[Tensor, "b dims"]:
    """Unit vectors: smoothed chemistry and letters along the core, projected, less ``centre``.

    Args:
        tokens: receptors.
        centre: mean projection of background receptors; zeros to find it.
        project: see ``projection``.
    """
    t, length = _arrays(tokens)
    places = np.arange(t.shape[1])[None, :]
    core = (places >= ENDS) & (places < length[:, None] - 2)
    values = np.concatenate([_PROPERTIES, _LETTERS], 1)[t] * core[..., None]
    left = values[:, ENDS : ENDS + 6]
    right, place = _from_right(values, length, 2, 8)
    right = right * (place >= 0)[..., None]
    flat = np.concatenate([_smooth(left), _smooth(right)], 1).reshape(len(t), -1)
    return torch.nn.functional.normalize(torch.from_numpy(flat).float() @ project - centre, dim=1)


def _smooth(x: Float[np.ndarray, "b m c"]) -> Float[np.ndarray, "b m c"]:
    # Half of each neighbour: a motif one place further counts as near, not as foreign.
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    return x + 0.5 * padded[:, :-2] + 0.5 * padded[:, 2:]


def nearest_similarity(
    z: Float[Tensor, "b dims"], binders: Float[Tensor, "k dims"], others: Float[Tensor, "m dims"]
) -> Float[Tensor, " b"]:
    """Mean cosine to the 3 nearest binders, less half of that to the 10 nearest of ``others``."""
    near = (z @ binders.T).topk(min(3, len(binders)), 1).values.mean(1)
    far = (z @ others.T).topk(min(10, len(others)), 1).values.mean(1)
    return near - 0.5 * far


def _balance(y: Float[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
    """Weights that make both classes count alike, mean 1."""
    weight = np.where(y == 1, 0.5 / max(y.mean(), 1e-9), 0.5 / max(1 - y.mean(), 1e-9))
    return weight / weight.mean()


def fit_logistic(
    x: sparse.csr_matrix, y: Float[np.ndarray, " b"], *, ridge: float = 3.0
) -> tuple[Float[np.ndarray, " f"], float]:
    """Weights and bias of a class-balanced logistic regression.

    Args:
        x: ``kmer_features``.
        y: 1 or 0.
        ridge: lambda of the penalty; the bias is free.
    """
    sign, weight = 2 * y - 1, _balance(y)

    def loss(w: Float[np.ndarray, " g"]) -> tuple[float, Float[np.ndarray, " g"]]:
        margin = sign * (x @ w[:-1] + w[-1])
        value = (weight * np.logaddexp(0, -margin)).sum() + 0.5 * ridge * (w[:-1] ** 2).sum()
        pull = -weight * sign / (1 + np.exp(np.minimum(margin, 500)))
        return value, np.append(x.T @ pull + ridge * w[:-1], pull.sum())

    start = np.zeros(KMER_FEATURES + 1)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x[:-1], float(found.x[-1])


def fit_trees(x: Float[np.ndarray, "b f"], y: Float[np.ndarray, " b"], *, trees: int = 150, seed: int = 0) -> Trees:
    """Boosted trees of 8 leaves, class-balanced.

    Raises:
        MissingExtraError: if LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("lightgbm", "trees", "fitting boosted trees") from None

    settings = {
        "objective": "binary",
        "num_leaves": 8,
        "learning_rate": 0.06,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "min_data_in_leaf": 15,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "num_threads": 1,
        "verbose": -1,
    }
    fitted = lightgbm.train(settings, lightgbm.Dataset(x, y, weight=_balance(y)), trees)
    return Trees.from_lightgbm(fitted)


TAILS = torch.linspace(0.0, 4.0, 65)
"""The values of t at which a tail table holds the score."""


def tail_table(background: Float[Tensor, " m"]) -> Float[Tensor, " 65"]:
    """Scores that a share 10^-t of the background reaches, for t in ``TAILS``.

    Raises:
        InputError: with fewer than 1,000 scores the high tails would be guesses.
    """
    if len(background) < 1000:
        raise InputError(f"expected at least 1,000 background scores, got {len(background)}")
    return torch.quantile(background.double(), 1 - 10.0 ** -TAILS.double()).float()


def tail(score: Float[Tensor, " b"], table: Float[Tensor, " 65"]) -> Float[Tensor, " b"]:
    """How far in the tail of the background a score lies: t = -log10 of the share that reaches it.

    Linear between the values of the table; above, the last slope is followed up to t = 6, so that order is kept.
    """
    t = torch.from_numpy(np.interp(score.double().numpy(), table.double().numpy(), TAILS.double().numpy())).float()
    step = (table[-1] - table[-9]).clamp(min=1e-6) / (TAILS[-1] - TAILS[-9])
    return torch.where(score > table[-1], (TAILS[-1] + (score - table[-1]) / step).clamp(max=6.0), t)
