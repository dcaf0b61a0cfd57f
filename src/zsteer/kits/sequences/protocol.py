"""The protocol ``tcr``: receptors for a peptide, by judges that no method saw."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsteer.domains.sequences import files
from zsteer.errors import InputError
from zsteer.evaluate.report import Report
from zsteer.kits.protocols import EvaluationRequest
from zsteer.kits.sequences.companions import Family, unknown_peptide
from zsteer.kits.sequences.reading import read_receptors
from zsteer.kits.sequences.report import report_like, report_on

__all__ = ["ReceptorProtocol", "receptors"]


@dataclass(frozen=True)
class ReceptorProtocol:
    """Receptors for a peptide.

    Args:
        family: where the judges are.
    """

    family: Family

    def read(self, path: Path, *, skip_invalid: bool, column: str | None = None) -> files.Table:
        """Read sequences by the file's ending; of the other columns only templates are kept."""
        return read_receptors(path, skip_invalid=skip_invalid, column=column, keep=("template",))

    def evaluate(self, samples: Any, request: EvaluationRequest) -> Report:
        """Report on receptors for a peptide with baselines, or on receptors like examples.

        Raises:
            InputError: if no peptide and no file is named, the peptide is unknown, or a reference is given.
        """
        toward = request.goal.toward
        peptide = toward.get("binds")
        if request.reference is not None:
            raise InputError("the tcr protocol has its own baselines; omit --reference")
        if set(toward) == {"like"}:
            if request.pgen:
                raise InputError("--pgen goes with --toward binds=PEPTIDE; omit it")
            return report_like(
                self.family, samples, read_receptors(Path(str(toward["like"])), **request.reading).sequences
            )
        if peptide is None or set(toward) != {"binds"}:
            raise InputError("the tcr protocol needs --toward binds=PEPTIDE or like=FILE, and nothing else")
        if str(peptide) not in self.family.oracle.cards:
            raise InputError(unknown_peptide(self.family, str(peptide), where="--toward binds"))
        return report_on(self.family, samples, str(peptide), pgen=request.pgen, watch=request.watch)


def receptors(models: Path | None) -> ReceptorProtocol:
    """With the judges of a folder, or the shipped ones.

    Raises:
        InputError: if the folder does not exist.
    """
    if models is not None and not models.is_dir():
        raise InputError(f"there is no folder {models} with judges")
    return ReceptorProtocol(Family(models))
