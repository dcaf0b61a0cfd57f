"""What ``--toward`` and ``--keep`` take for sequences, and the options of the editors of receptors. No torch."""

from typing import Literal

from pydantic import Field

from zsteer.core.options import Option, Options
from zsteer.domains.sequences.properties import PROPERTIES
from zsteer.steer.options import SteerOptions

__all__ = ["OPTIONS", "CodeEditorOptions", "EditorOptions"]

OPTIONS = Options(
    "sequences",
    ".tsv (AIRR and others), .csv, .txt or .fasta, each also as .gz",
    (
        Option("binds", "toward", "text", "a peptide that the receptors should bind; binds!=PEPTIDE avoids one"),
        Option("like", "toward", "file", "a file of receptors to be like, without a model of a property"),
        *(quantity.option for quantity in PROPERTIES.values()),
        Option("ends", "keep", "whole", "residues that stay at each end; editors keep 3 when absent", "residues", 0),
        Option("length", "keep", "flag", "whether the length stays: yes or no"),
    ),
)


class EditorOptions(SteerOptions):
    """Options of the z-free editor."""

    rerank: Literal["oracle", "psi", "both", "none"] = Field(
        default="oracle", description="who chooses among the proposals: the design oracle, or none (the most likely)"
    )
    pool: int = Field(default=60, ge=1, description="proposals of each template that are ranked")
    scale: float | None = Field(default=None, ge=0, description="strength of guidance; by the peptide when absent")
    indels: bool = Field(default=True, description="allow one insertion or deletion")
    width: int = Field(default=6, ge=1, description="hypotheses for each number of edits")


class CodeEditorOptions(EditorOptions):
    """Options of editing with a disentangled autoencoder."""

    rerank: Literal["oracle", "psi", "both", "none"] = Field(
        default="both", description="who chooses among the proposals: the design oracle, the model's own Psi, or both"
    )
    z_from: Literal["mean", "best", "random", "null", "interpolated", "gradient"] = Field(
        default="mean", description="where the new z_f comes from"
    )
    amount: float = Field(default=1.0, description="share of the way (interpolated), or the logit of Psi (gradient)")
    structure: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="factor on the template's z_s; 0 within an edit budget, 1 when decoded once",
    )
    unlimited: bool = Field(default=False, description="decode once without an edit budget, as published")
    temperature: float = Field(
        default=0.5, ge=0, description="of an unlimited rewrite; 0 takes the best residue each time"
    )
