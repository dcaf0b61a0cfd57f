"""Receptor tables ready for training, from a data folder or, for ``--data synthetic``, from the shipped models.

Synthetic tables are drawn from the shipped language model and editor: they let everything run where no data are, and
are called synthetic in every card.
"""

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.catalog import load_model
from zsteer.core.rng import Streams
from zsteer.domains.sequences.data import CALIBRATION, DESIGN, TcrData, load_tcr
from zsteer.domains.sequences.epitopes import host
from zsteer.domains.sequences.panel import Panel
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.scoring.card import Card, card_of

__all__ = ["SYNTHETIC", "background", "binders", "calibrate", "origin_of", "panel_of", "table", "test_rows"]

SYNTHETIC = Path("synthetic")
_LEAST = 50


@functools.lru_cache(maxsize=2)
def table(folder: Path | None, subset: str) -> TcrData:
    """The receptor tables of a folder, or synthetic ones.

    Args:
        folder: the data folder; ``synthetic`` draws from the shipped models; None takes ZSTEER_DATA.
        subset: ``permissive`` or ``all``.
    """
    if folder is not None and folder == SYNTHETIC and not folder.exists():
        return _synthetic()
    found = load_tcr(folder, subset="all" if subset == "all" else "permissive")
    for note in found.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return found


def _synthetic(seed: int = 0, each: int = 160, others: int = 12000) -> TcrData:
    from zsteer.models.autoregressive import Autoregressive

    loaded: list[Autoregressive] = [load_model(name, kind=Autoregressive.kind) for name in ("tcr-editor", "tcr-lm")]
    editor, model = loaded
    space = SequenceSpace()
    cdr3: list[str] = []
    peptides: list[str] = []
    for number, peptide in enumerate(editor.settings.panel.peptides):
        rng = Streams.of(seed, each, start=number * each).child("synthetic binders")
        made = sorted(set(space.decode(editor.sample(each, given={"peptide": peptide}, rng=rng))))
        cdr3 += made
        peptides += [peptide] * len(made)
    drawn = model.sample(others, rng=Streams.of(seed, others).child("synthetic background"))
    back = sorted(set(space.decode(drawn)) - set(cdr3))
    u = Streams.of(seed, 1).uniform("split", (len(cdr3),), dtype=torch.float64)[0].numpy()
    v = Streams.of(seed, 1).uniform("background split", (len(back),), dtype=torch.float64)[0].numpy()
    splits, parts = np.array(["train", "valid", "eval", "test"]), np.array(["design", "judge", "valid", "test"])
    return TcrData(
        "permissive",
        np.array(cdr3),
        np.array(peptides),
        splits[np.searchsorted([0.45, 0.5, 0.8], u)],
        space.encode(cdr3)["tokens"].to(torch.uint8),
        np.array(back),
        parts[np.searchsorted([0.5, 0.8, 0.9], v)],
        space.encode(back)["tokens"].to(torch.uint8),
        {"synthetic": f"seed {seed}, drawn from the shipped tcr-editor and tcr-lm"},
    )


def panel_of(data: TcrData, *, least: int = _LEAST) -> Panel:
    """Peptides with at least ``least`` recorded binders to design with, most first."""
    names = data.peptides(at_least=least)
    return Panel(peptides=tuple(names), hosts=tuple(host(name) for name in names))


def _tokens(data: TcrData, rows: np.ndarray, peptide: Tensor, label: int) -> Batch:
    tokens = data.tokens[torch.from_numpy(rows)].long()
    return Batch(
        {"tokens": tokens, "peptide": peptide, "label": torch.full((len(rows),), label)}, mask=PROTEIN.real(tokens)
    )


def binders(data: TcrData, panel: Panel, splits: Sequence[str] = DESIGN) -> Batch:
    """Recorded binders of a panel: ``tokens``, ``peptide``, ``label`` 1."""
    index = {name: number for number, name in enumerate(panel.peptides)}
    rows = np.flatnonzero(np.isin(data.split, splits) & np.isin(data.peptide, panel.peptides))
    return _tokens(data, rows, torch.tensor([index[name] for name in data.peptide[rows].tolist()]), 1)


def background(data: TcrData, part: str) -> Batch:
    """Background receptors: ``tokens``, ``peptide`` -1, ``label`` 0."""
    tokens = data.background_tokens[torch.from_numpy(data.background_rows(part))].long()
    none = torch.full((len(tokens),), -1)
    fields = {"tokens": tokens, "peptide": none, "label": torch.zeros(len(tokens), dtype=torch.long)}
    return Batch(fields, PROTEIN.real(tokens))


def calibrate(data: TcrData, panel: Panel, scores: Tensor, swaps_seed: int = 0) -> dict[str, Card]:
    """Cards of a design oracle on the test split, for the peptides with at least 5 binders there.

    Args:
        data: the tables.
        panel: peptides of the oracle.
        scores: of the test binders of all peptides and then the test background, one column a peptide.
        swaps_seed: of the choice of swapped negatives.
    """
    test = np.flatnonzero(np.isin(data.split, CALIBRATION))
    place = {int(row): number for number, row in enumerate(test)}
    of_back = scores[len(test) :]
    cards = {}
    for column, name in enumerate(panel.peptides):
        own = [place[int(row)] for row in data.rows(name, CALIBRATION)]
        if len(own) < 5:
            continue
        swaps = np.array([place[int(row)] for row in data.swaps(name, CALIBRATION)])
        order = Streams.of(swaps_seed, 1).permutation(f"swaps {name}", len(swaps))[0].numpy()
        chosen = swaps[order[: max(5 * len(own), 500)]]
        cards[name] = card_of(
            name,
            scores[own, column],
            scores[torch.from_numpy(chosen), column],
            of_back[:, column],
            trained_on=len(data.rows(name, DESIGN)),
        )
    return cards


def test_rows(data: TcrData) -> Batch:
    """The test binders of all peptides, then the test background, as ``calibrate`` wants them scored."""
    rows = np.flatnonzero(np.isin(data.split, CALIBRATION))
    tokens = torch.cat([data.tokens[torch.from_numpy(rows)], background(data, "test")["tokens"].to(torch.uint8)]).long()
    return PROTEIN.batch(tokens)


def origin_of(data: TcrData) -> dict[str, object]:
    """Name, subset, rows, SHA-256 and licence of the tables, for a card."""
    synthetic = "synthetic" in data.files
    licence = (
        "pairs recorded in permissively licensed repositories (TITAN, ERGO, IMMREP23: MIT), CDR3b and peptide only; "
        "background: TCRdb through tcr-bert (Apache-2.0)"
        if data.subset == "permissive"
        else "all rows; some come from VDJdb alone (AGPL-3.0, CC BY-ND): not for redistribution"
    )
    return {
        "name": "synthetic receptors of the shipped models" if synthetic else "T-cell receptor pairs and background",
        "subset": data.subset,
        "pairs": len(data.cdr3),
        "background": len(data.background),
        "sha256": data.digest,
        "licence": "generated by zsteer" if synthetic else licence,
    }
