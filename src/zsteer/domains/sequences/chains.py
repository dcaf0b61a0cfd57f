"""Which chain of a receptor a row holds, by the columns that exports have for it: locus or chain, then its genes.

Everything here is about the beta chain (TRB). A row that says nothing of its chain is taken as beta; one that says
anything else is no beta chain, also where a program could not tell (``Multi`` of Cell Ranger).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

__all__ = ["BETA", "GENE_COLUMNS", "LOCUS_COLUMNS", "MISSING", "Chains", "fold", "locus_of", "tally"]

BETA = "TRB"

MISSING = frozenset({"", "none", "na", "n/a", "nan", "null", "nil", "-", ".", "?", "_", "out_of_frame", "unresolved"})
"""What programs write where there is no value, in lower case."""

LOCUS_COLUMNS = ("locus", "chain", "chains", "topchains", "tcr_chain", "chain_type", "receptor_chain", "chain_2_type")
"""Columns that hold the chain itself, folded."""

GENE_COLUMNS = (
    "gene",
    *("v_call", "v_gene", "v", "vgene", "v_segm", "v_segment", "bestvhit", "bestvgene", "allvhits"),
    *("allvhitswithscore", "v_gene_and_allele", "vmaxresolved", "v_resolved", "vgenename", "vfamilyname", "v_family"),
    *("j_call", "j_gene", "j", "jgene", "j_segm", "j_segment", "bestjhit", "bestjgene", "alljhits"),
    *("alljhitswithscore", "j_gene_and_allele", "jmaxresolved", "j_resolved", "jgenename", "j_family"),
    *("c_call", "c_gene", "c", "description"),
)
"""Columns that name genes, folded; the first that names one tells the chain."""

_WORDS = {"a": "TRA", "b": "TRB", "g": "TRG", "d": "TRD", "alpha": "TRA", "beta": "TRB", "gamma": "TRG", "delta": "TRD"}
_GENE = re.compile(r"(?<![A-Z])(TCR|TR|IG)([ABGDHKL])(?:[VDJC](?=[0-9\-/* (,;|]|$)|(?![A-Z0-9]))")


def fold(name: str) -> str:
    """A heading without case, with one underscore for whatever stands between its words."""
    return re.sub(r"[^0-9a-z#]+", "_", name.strip().lower()).strip("_")


@lru_cache(maxsize=65536)
def _of_gene(value: str) -> str:
    """The chain that a gene's name tells; empty where it tells none, or several."""
    found = {("IG" if m[1] == "IG" else "TR") + m[2] for m in _GENE.finditer(value.upper())}
    return found.pop() if len(found) == 1 else ""


@lru_cache(maxsize=65536)
def locus_of(value: str) -> str:
    """The chain that a word tells, as TRA, TRB, IGH, ...; the word itself where it is no chain; empty for none."""
    word = value.strip()
    if word.lower() in MISSING:
        return ""
    plain = word.lower().removeprefix("tcr").removesuffix("chain").strip(" -_")
    if "TRA" in word.upper() and BETA in word.upper():
        return ""  # a pair: which of the two is read is the column's business
    return _WORDS.get(plain) or _of_gene(word) or word[:20]


class Chains:
    """What the columns of a table say of the chain of each row.

    Args:
        header: names of the columns.
    """

    def __init__(self, header: Sequence[str]) -> None:
        places = {fold(name): place for place, name in reversed(list(enumerate(header)))}
        self.loci = [places[name] for name in LOCUS_COLUMNS if name in places]
        self.genes = [places[name] for name in GENE_COLUMNS if name in places]

    def of(self, values: Sequence[str]) -> str:
        """The chain of a row; empty where nothing tells it."""
        for place in self.loci:
            found = locus_of(values[place])
            if found:
                return found
        for place in self.genes:
            found = _of_gene(values[place])
            if found:
                return found
        return ""


def tally(names: Iterable[str]) -> str:
    """Names with their counts, most first: ``10 TRA, 1 Multi``."""
    counts = Counter(names)
    return ", ".join(f"{counts[name]} {name}" for name in sorted(counts, key=lambda name: (-counts[name], name)))
