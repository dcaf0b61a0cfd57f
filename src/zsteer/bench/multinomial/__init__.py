"""The benchmark of multinomial diffusion: sequences, then cut pictures."""

from collections.abc import Sequence
from pathlib import Path

from zsteer.bench.multinomial import segments
from zsteer.bench.multinomial import sequences as receptors
from zsteer.bench.multinomial.trained import Watch
from zsteer.evaluate.report import Table
from zsteer.train.threads import threads_of

__all__ = ["tables"]


def tables(*, data: Path, quick: bool, watch: Watch, models: Path | None = None) -> Sequence[Table]:
    """Bits a residue, the bound term by term, samples, guidance; then the same of cut pictures. One thread.

    Args:
        data: the data folder.
        quick: short trainings and few rows, whose figures mean little.
        watch: called with progress.
        models: folder with models to take instead of training them: tcr-uniform, tcr-absorbing, tcr-lm, segments.
    """
    with threads_of(1):
        own = receptors.tables(data=data, quick=quick, watch=watch, models=models)
        return [*own, *segments.tables(data=data, quick=quick, watch=watch, models=models)]
