"""Options of steering sequences. Imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EditorKnobs", "LatentKnobs", "MultinomialKnobs"]


class MultinomialKnobs(BaseModel):
    """Knobs of steering a multinomial diffusion model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(default=16, ge=1, description="new samples, where there is no --input")
    steps: int | None = Field(default=None, ge=1, description="steps of the walk; the model's own T when absent")
    solver: str = Field(default="ancestral", description="ancestral, ddim, multistep2, multistep3 or heun")
    strength: float = Field(default=1.0, ge=0, description="of the property's gradient")
    tolerance: float = Field(default=0.5, gt=0, description="how near a property should come to its value")
    depth: float = Field(default=0.5, gt=0, lt=1, description="time that --input is taken back to; more changes more")


class EditorKnobs(BaseModel):
    """Knobs of steering with the z-free editor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rerank: Literal["oracle", "psi", "both", "none"] = Field(
        default="oracle", description="who chooses among the proposals: the design oracle, or none (the most likely)"
    )
    pool: int = Field(default=60, ge=1, description="proposals of each template that are ranked")
    scale: float | None = Field(default=None, description="strength of guidance; by the model when absent")
    indels: bool = Field(default=True, description="allow one insertion or deletion")
    width: int = Field(default=6, ge=1, description="hypotheses for each number of edits")
    force: bool = Field(default=False, description="go on with a peptide that the judge cannot judge")


class LatentKnobs(EditorKnobs):
    """Knobs of steering with a disentangled autoencoder."""

    rerank: Literal["oracle", "psi", "both", "none"] = Field(
        default="both", description="who chooses among the proposals: the design oracle, the model's own Psi, or both"
    )
    z_from: Literal["mean", "best", "random", "null", "interpolated", "gradient"] = Field(
        default="mean", description="where the new z_f comes from"
    )
    amount: float = Field(default=1.0, description="share of the way (interpolated), or the logit of Psi (gradient)")
    structure: float | None = Field(
        default=None, ge=0, le=1, description="factor on the template's z_s; 0 within an edit budget, 1 when free"
    )
    free: bool = Field(default=False, description="decode once without an edit budget, as published")
    temperature: float = Field(default=0.5, ge=0, description="of a free rewrite; 0 takes the best residue each time")
