"""What the codes of a disentangled autoencoder know about binding, measured by fresh probes.

For each peptide of the core panel a new reader is trained on codes of train + valid (recorded binders against
negatives, half swapped and half background) and judged on the test split, whose clusters it has not seen.
"""

import torch
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.domains.sequences.data import CALIBRATION, DESIGN, TcrData, labelled, pools
from zsteer.domains.sequences.epitopes import CORE
from zsteer.evaluate.disentangle import fresh_probe
from zsteer.maths.ranks import area_under_curve
from zsteer.models.dwae.dwae import DisentangledWAE

__all__ = ["probes"]


def probes(model: DisentangledWAE, data: TcrData, *, least: int = 5) -> dict[str, float]:
    """Mean area under the curve over the core panel: of Psi, and of fresh probes on z_f and on z_s.

    Args:
        model: the trained model.
        data: tables with splits.
        least: test binders that a peptide must have to be counted.
    """
    known = set(model.settings.panel.peptides)
    chosen = [name for name in CORE if name in known and len(data.rows(name, CALIBRATION)) >= least]
    chosen = (
        chosen or [name for name in model.settings.panel.peptides if len(data.rows(name, CALIBRATION)) >= least][:3]
    )
    if not chosen:
        return {}
    learn = pools(data, chosen, splits=DESIGN, background="design")
    judge = pools(data, chosen, splits=CALIBRATION, background="test")
    sums = {"area_psi": 0.0, "area_z_f": 0.0, "area_z_s": 0.0}
    for name in chosen:
        rng = Streams.of(0, 1).child("probe")
        a, b = labelled(learn, name, rng, negatives=10), labelled(judge, name, rng, negatives=10)
        codes_a, codes_b = _codes(model, a), _codes(model, b)
        bound_a, bound_b = a["label"] > 0.5, b["label"] > 0.5
        psi = model.binds(name)(b).mean
        sums["area_psi"] += area_under_curve(psi[bound_b], psi[~bound_b])
        for part, key in (("z_f", "area_z_f"), ("z_s", "area_z_s")):
            sums[key] += fresh_probe((codes_a[part], bound_a), (codes_b[part], bound_b))
    return {key: value / len(chosen) for key, value in sums.items()} | reconstruction(model, data)


def _codes(model: DisentangledWAE, x: Batch) -> dict[str, Tensor]:
    parts = [model.encode(piece, Streams.of(0, len(piece))) for piece in x.chunks(2048)]
    return {name: torch.cat([part[name] for part in parts]) for name in ("z_f", "z_s")}


def reconstruction(model: DisentangledWAE, data: TcrData) -> dict[str, float]:
    """How much of a held-out receptor its codes hold: nats that z_s, and both codes, save the decoder."""
    rows = torch.from_numpy(data.background_rows("test"))[:2000]
    tokens = data.background_tokens[rows].long()
    x = PROTEIN.batch(tokens)
    with torch.no_grad():
        both = model.log_likelihood(x)
        structure = model.log_likelihood(x, function=False)
        nothing = model.log_likelihood(x, function=False, structure=False)
    return {
        "nats_saved_by_z_s": float((structure - nothing).mean()),
        "nats_saved_by_both": float((both - nothing).mean()),
    }
