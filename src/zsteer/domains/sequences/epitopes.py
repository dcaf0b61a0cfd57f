"""Facts about epitopes, written by hand: where a peptide comes from, what presents it, and whose T cells see it.

The host matters: mouse and macaque receptors differ from human ones all over their CDR3, so that a model can tell
binders of SSYRRPVGI from human receptors by species alone. Negatives are therefore swapped within a host.

Nested peptides (FRDYVDRFYKTLRAEQASQE holds RFYKTLRAEQASQ) and near-identical ones (TTPESANL, STPESANL) are seen by the
same receptors: ``related`` keeps their binders out of each other's negatives.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from zsteer.errors import InputError, nearest

__all__ = ["CORE", "EPITOPES", "HARD", "HOSTS", "PANELS", "PAPER", "Epitope", "epitope", "host", "related", "relatives"]

Host = Literal["human", "mouse", "macaque"]


@dataclass(frozen=True)
class Epitope:
    """A peptide and its circumstances.

    Args:
        peptide: sequence in one-letter code.
        protein: protein and position.
        organism: where the protein comes from.
        mhc: the presenting molecule most often reported.
        mhc_class: 1 or 2; None where it is not recorded here.
    """

    peptide: str
    protein: str
    organism: str
    mhc: str
    mhc_class: Literal[1, 2] | None

    @property
    def host(self) -> Host:
        """Whose receptors are recorded for it."""
        return host(self.peptide)


CORE = (
    "TFEYVSQPFLMDLE",
    "FRDYVDRFYKTLRAEQASQE",
    "RFYKTLRAEQASQ",
    "KAFSPEVIPMF",
    "GTSGSPIINR",
    "YLQPRTFLL",
)
HARD = ("GILGFVFTL", "RAKFKQLL", "KRWIILGLNK", "EAAGIGILTV")
PAPER = ("TTPESANL", "CTPYDINQM", "SSYRRPVGI", "SSLENFRAYV")
PANELS = {"core": CORE, "hard": HARD, "paper": PAPER}

_FACTS: tuple[tuple[str, str, str, str, Literal[1, 2]], ...] = (
    ("TFEYVSQPFLMDLE", "spike 167-180", "SARS-CoV-2", "HLA-DPB1*04:01", 2),
    ("FRDYVDRFYKTLRAEQASQE", "Gag p24 293-312", "HIV-1", "HLA-DRB1", 2),
    ("RFYKTLRAEQASQ", "Gag p24 299-311", "HIV-1", "HLA-DRB1", 2),
    ("KAFSPEVIPMF", "Gag p24 162-172 (KF11)", "HIV-1", "HLA-B*57:01", 1),
    ("GTSGSPIINR", "NS3 133-142", "dengue virus", "HLA-A*11:01", 1),
    ("YLQPRTFLL", "spike 269-277", "SARS-CoV-2", "HLA-A*02:01", 1),
    ("GILGFVFTL", "matrix protein 1 58-66", "influenza A", "HLA-A*02:01", 1),
    ("RAKFKQLL", "BZLF1 190-197", "Epstein-Barr virus", "HLA-B*08:01", 1),
    ("KRWIILGLNK", "Gag p24 263-272 (KK10)", "HIV-1", "HLA-B*27:05", 1),
    ("EAAGIGILTV", "Melan-A/MART-1 26-35", "human", "HLA-A*02:01", 1),
    ("TTPESANL", "Tat 28-35 (TL8)", "SIV", "Mamu-A1*001:01", 1),
    ("CTPYDINQM", "Gag 181-189 (CM9)", "SIV", "Mamu-A1*001:01", 1),
    ("SSYRRPVGI", "PB1 703-711", "influenza A", "H-2Kb", 1),
    ("SSLENFRAYV", "PA 224-233", "influenza A", "H-2Db", 1),
)

EPITOPES = {facts[0]: Epitope(*facts) for facts in _FACTS}
"""The epitopes of the panels, by peptide."""

_MOUSE = (
    "SSLENFRAYV SSYRRPVGI ASNENMETM HGIRNASFI LSLRNPILV SQLLNAKYL TVYGFCLL KAVYNFATC SSPPMFRV SYIGSINNI NAITNAKII "
    "VEALYLVCG VEALYLVSG ANYKFTLV RALEYKNL QVYSLIRPNENPAH RGYVYQGL RGYVYEGL KGYVYQGL IGYVYQGL RGYVYDGL RGYVYKGL "
    "SIINFEKL SIYRYYGL"
)
_MACAQUE = "TTPESANL CTPYDINQM STPESANL"
HOSTS: dict[str, Host] = {**dict.fromkeys(_MOUSE.split(), "mouse"), **dict.fromkeys(_MACAQUE.split(), "macaque")}
"""Peptides whose recorded receptors are not human."""


def host(peptide: str) -> Host:
    """Whose receptors are recorded for a peptide: human unless ``HOSTS`` says otherwise."""
    return HOSTS.get(peptide, "human")


def epitope(peptide: str, known: Iterable[str] = EPITOPES) -> Epitope:
    """The facts about a peptide.

    Raises:
        InputError: if it is not in ``known``; names the nearest one that is.
    """
    if peptide not in known:
        raise InputError(nearest(peptide, known, what="peptide"))
    return EPITOPES.get(peptide, Epitope(peptide, "not recorded", "not recorded", "not recorded", None))


def related(a: str, b: str) -> bool:
    """Whether two peptides are seen by the same receptors, as far as their letters tell.

    True if they share 7 residues in a row (equal, nested or overlapping), or have equal length and differ at 1 or 2
    places.
    """
    if len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) <= 2:
        return True
    short, long = sorted((a, b), key=len)
    return any(short[i : i + 7] in long for i in range(len(short) - 6))


def relatives(peptide: str, others: Iterable[str]) -> frozenset[str]:
    """Those of ``others`` that are related to ``peptide``, itself included."""
    return frozenset(other for other in others if related(peptide, other)) | {peptide}
