r"""Generation probability of human CDR3-beta by OLGA, a separate program that is run, never imported.

Pgen(x) is the probability that V(D)J recombination makes the amino-acid sequence x, summed over all ways to make it.
OLGA is GPL-3: it is no dependency of zsteer and no part of it; whoever wants the figure runs ``pip install olga``, and
the program ``olga-compute_pgen`` is then found on the PATH. It takes about 14 ms a sequence.

Source: Sethna, Elhanati, Callan, Walczak, Mora, "OLGA: fast computation of generation probabilities of B- and T-cell
receptor amino acid sequences and motifs", Bioinformatics 2019.
"""

import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from zsteer.errors import MissingExtraError, ScoringError

__all__ = ["LEAST_LOG10", "PROGRAM", "log10_generation"]

PROGRAM = "olga-compute_pgen"
LEAST_LOG10 = -13.5
"""log10 Pgen that 95 % of human background receptors exceed; a lenient filter, one shuffled core in four passes."""


def log10_generation(sequences: Sequence[str], *, program: str = PROGRAM) -> Float[Tensor, " b"]:
    """log10 of the generation probability of each sequence, minus infinity where it is zero.

    Args:
        sequences: human CDR3b with both anchors, ``b`` of them; repeats are computed once.
        program: name or path of the program.

    Raises:
        MissingExtraError: if the program is not on the PATH.
        ScoringError: if the program fails or leaves a sequence out.
    """
    found = shutil.which(program)
    if found is None:
        raise MissingExtraError("olga", None, "the generation probability (--pgen)")
    unique = sorted(set(sequences))
    with tempfile.TemporaryDirectory(prefix="zsteer-olga-") as folder:
        given, made = Path(folder) / "sequences.tsv", Path(folder) / "pgen.tsv"
        given.write_text("".join(f"{sequence}\n" for sequence in unique), encoding="utf-8")
        done = subprocess.run(
            [found, "--humanTRB", "-i", str(given), "-o", str(made)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not made.is_file():
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1][:200]
            raise ScoringError(
                f"{program} failed with status {done.returncode}: {last}; try it by hand on one sequence"
            )
        known = _table(made.read_text(encoding="utf-8"))
    missing = [sequence for sequence in unique if sequence not in known]
    if missing:
        raise ScoringError(f"{program} gave no probability for {len(missing)} of {len(unique)}, first {missing[0]}")
    return torch.tensor([known[sequence] for sequence in sequences], dtype=torch.float64)


def _table(text: str) -> dict[str, float]:
    """Rows of sequence, tab, probability; anything else (a header) is left out."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        cells = line.split("\t")
        try:
            value = float(cells[-1])
        except ValueError:
            continue
        if len(cells) > 1 and 0 <= value <= 1:
            found[cells[0].strip()] = math.log10(value) if value > 0 else -math.inf
    return found
