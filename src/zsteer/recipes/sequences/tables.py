"""Receptor tables ready for training, from a data folder or, for ``--data synthetic``, from the shipped models.

Synthetic tables are drawn from the shipped language model and editor: they let everything run where no data are, and
are called synthetic in every card.
"""

import functools
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zsteer.core.alphabet import PROTEIN
from zsteer.core.batch import Batch
from zsteer.core.catalog import load_model
from zsteer.core.protocols import Generative
from zsteer.core.rng import Streams
from zsteer.domains.sequences.data import CALIBRATION, DESIGN, JUDGE, TcrData, load_tcr
from zsteer.domains.sequences.epitopes import host
from zsteer.domains.sequences.own import LEAST, load_own
from zsteer.domains.sequences.panel import Panel
from zsteer.domains.sequences.rows import check
from zsteer.domains.sequences.space import SequenceSpace
from zsteer.errors import InputError, SettingsError
from zsteer.recipes.sequences.settings import PanelRecipe, ReceptorRecipe
from zsteer.scoring.card import Card, card_of

__all__ = [
    "SYNTHETIC",
    "background",
    "binders",
    "calibrate",
    "check_swaps",
    "judgeable",
    "least_of",
    "left_out",
    "of_recipe",
    "origin_of",
    "panel_of",
    "table",
    "test_rows",
]

SYNTHETIC = Path("synthetic")
_LEAST = 50
FIT, TEST = 20, 5
"""Receptors in eval and in test that a judge of a peptide needs."""
SHOWN = 50
"""Peptides left out that a card names; the user's own first."""


@functools.lru_cache(maxsize=2)
def table(folder: Path | None, subset: str) -> TcrData:
    """The receptor tables of a folder, or synthetic ones.

    Args:
        folder: the data folder; ``synthetic`` draws from the shipped models; None takes ZSTEER_DATA.
        subset: ``permissive`` or ``all``.
    """
    if folder is not None and folder == SYNTHETIC and not folder.exists():
        return _synthetic()
    return _said(load_tcr(folder, subset="all" if subset == "all" else "permissive"))


def of_recipe(recipe: ReceptorRecipe, folder: Path | None) -> TcrData:
    """The tables that a recipe learns from: of a folder, or of one file of the user's own.

    Args:
        recipe: what is trained.
        folder: as for ``table``, or a table of CDR3-beta and peptide.

    Raises:
        SettingsError: if the recipe learns no binders and gets a file of them, or flags of files go with a folder.
    """
    if folder is None or not folder.is_file():
        if recipe.column is not None or recipe.skip_invalid:
            raise SettingsError("--column and --skip-invalid are for a table of your own: --data FILE")
        return table(folder, recipe.subset)
    if not isinstance(recipe, PanelRecipe):
        raise SettingsError(
            f"{recipe.name} learns what receptors look like, from a background; {folder} holds binders of peptides, "
            "which tcr-dwae, tcr-dvae, tcr-editor, tcr-oracle and tcr-judge learn"
        )
    return _own(folder, recipe.column, recipe.skip_invalid)


@functools.lru_cache(maxsize=2)
def _own(path: Path, column: str | None, skip_invalid: bool) -> TcrData:  # noqa: FBT001 - the key of the cache
    check(path, column=column, skip_invalid=skip_invalid)
    back = _drawn(load_model("tcr-lm", kind="autoregressive"), 12000)
    return _said(load_own(path, back, column=column, skip_invalid=skip_invalid))


def _said(data: TcrData) -> TcrData:
    for note in data.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return data


def _drawn(model: Generative, count: int, seed: int = 0) -> list[str]:
    """Distinct receptors of a language model, in alphabetical order; those that are no junction are left out."""
    made = model.sample(count, rng=Streams.of(seed, count).child("synthetic background"))
    found = sorted(set(SequenceSpace().decode(made)))
    return [text for text in found if text[0] == "C" and text[-1] in "FW"]


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


def panel_of(data: TcrData, *, least: int | None = None) -> Panel:
    """Peptides with enough recorded binders to design with, most first; the user's own that are left out are said.

    Args:
        data: the tables.
        least: fewest binders in train and valid; 50 when None, 20 in a table of one's own.

    Raises:
        InputError: if no peptide has enough.
    """
    bound = least_of(data, least)
    names = data.peptides(at_least=bound)
    small = left_out(data, bound)
    shown = ", ".join(f"{name} ({count})" for name, count in list(small.items())[:10])
    more = f" and {len(small) - 10} more" if len(small) > 10 else ""
    if not names:
        raise InputError(
            f"no peptide has the {bound} receptors in train and valid that it takes to learn one: {shown}{more}; give "
            "more receptors, or lower the bound with --least"
        )
    mine = [name for name in small if name in data.own]
    if mine:
        warnings.warn(
            f"{len(mine)} peptides with fewer than {bound} receptors in train and valid (--least) are not learned: "
            + ", ".join(f"{name} ({small[name]})" for name in mine[:10])
            + (f" and {len(mine) - 10} more" if len(mine) > 10 else ""),
            UserWarning,
            stacklevel=2,
        )
    return Panel(peptides=tuple(names), hosts=tuple(host(name) for name in names))


def least_of(data: TcrData, least: int | None) -> int:
    """Fewest binders in train and valid for a peptide to be learned."""
    return least if least is not None else LEAST if len(data.own) and "tcr_pairs.csv.gz" not in data.files else _LEAST


def left_out(data: TcrData, bound: int) -> dict[str, int]:
    """Peptides with fewer receptors in train and valid than the bound, most first."""
    names = data.peptides(at_least=0, splits=("train", "valid", "eval", "test"))
    counts = {name: len(data.rows(name, DESIGN)) for name in names}
    return {name: counts[name] for name in sorted(names, key=lambda one: -counts[one]) if counts[name] < bound}


def judgeable(data: TcrData, known: Collection[str]) -> list[str]:
    """Peptides of the user's own with enough receptors for a judge; those with fewer are said.

    Args:
        data: the tables.
        known: peptides that have enough to be learned.
    """
    counts = {name: [len(data.rows(name, split)) for split in (JUDGE, CALIBRATION)] for name in data.own & set(known)}
    few = [f"{name} ({fit}, {test})" for name, (fit, test) in sorted(counts.items()) if fit < FIT or test < TEST]
    if few:
        warnings.warn(
            f"no judge for {len(few)} peptides with fewer than {FIT} receptors in eval or {TEST} in test: "
            + ", ".join(few[:10]),
            UserWarning,
            stacklevel=2,
        )
    return sorted(name for name, (fit, test) in counts.items() if fit >= FIT and test >= TEST)


def check_swaps(data: TcrData, peptides: Sequence[str]) -> None:
    """Refuse to train an oracle that could not be tested: binders of other peptides of the same host are its negatives.

    Raises:
        InputError: if a peptide has no such negative among the test rows.
    """
    for name in peptides:
        if not len(data.swaps(name, CALIBRATION)):
            raise InputError(
                f"{name}: an oracle is tested against binders of other peptides, and the test rows hold none of the "
                "same host; add rows of other peptides to the table"
            )


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


def origin_of(data: TcrData, least: int | None = None) -> dict[str, object]:
    """Name, subset, rows, SHA-256 and licence of the tables, and what was left out, for a card.

    Args:
        data: the tables.
        least: the bound of ``panel_of``, where there is a panel.
    """
    synthetic, table_of_ones_own = "synthetic" in data.files, bool(data.own) and "tcr_pairs.csv.gz" not in data.files
    licence = (
        "pairs recorded in permissively licensed repositories (TITAN, ERGO, IMMREP23: MIT), CDR3b and peptide only; "
        "background: TCRdb through tcr-bert (Apache-2.0)"
        if data.subset == "permissive"
        else "all rows; some come from VDJdb alone (AGPL-3.0, CC BY-ND): not for redistribution"
    )
    name = "T-cell receptor pairs and background"
    if synthetic:
        name, licence = "synthetic receptors of the shipped models", "generated by zsteer"
    elif table_of_ones_own:
        name, licence = f"{next(iter(data.files))}; background drawn from tcr-lm", "the user's own"
    small = left_out(data, least) if least is not None else {}
    shown = dict(sorted(small.items(), key=lambda item: (item[0] not in data.own, -item[1]))[:SHOWN])
    lines = [note.rsplit("/", 1)[-1] for note in data.notes]
    if small:
        lines.append(f"{len(small)} peptides with fewer than {least} receptors in train and valid")
    too_small = {
        name: f"{int((data.peptide == name).sum())} receptors, {count} of them in train and valid, fewer than {least}"
        for name, count in shown.items()
    }
    return {
        "name": name,
        "subset": data.subset,
        "pairs": len(data.cdr3),
        "background": len(data.background),
        "sha256": data.digest,
        "licence": licence,
        **({"left_out": "; ".join(lines)} if lines else {}),
        **({"peptides_left_out": too_small} if too_small else {}),
    }
