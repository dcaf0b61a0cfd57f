"""Options of steering molecules. Imports no torch."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MoleculeKnobs"]


class MoleculeKnobs(BaseModel):
    """Knobs of steering a model of molecules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(default=16, ge=1, description="new molecules, where there is no --input")
    steps: int = Field(default=50, ge=1, description="steps of the walk")
    solver: str = Field(default="sde2", description="sde2, ancestral, ddim, multistep2, multistep3 or heun")
    scale: float = Field(default=2.0, ge=0, description="classifier-free guidance towards properties that were learned")
    guide: str = Field(default="", description="a model of noisy properties, as qm9-properties: classifier guidance")
    strength: float = Field(default=1.0, ge=0, description="of the pull towards a value")
    tolerance: float = Field(default=0.05, gt=0, description="how near a geometric property should come to its value")
