"""Options of steering images and rows. Imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["DiffusionKnobs"]


class DiffusionKnobs(BaseModel):
    """Knobs of steering a diffusion model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(default=16, ge=1, description="new samples, where there is no --input")
    steps: int = Field(default=20, ge=1, description="steps of the walk")
    solver: str = Field(
        default="multistep2", description="ancestral, ddim, multistep2, multistep3, corrected, heun or sde2"
    )
    strength: float = Field(default=1.0, ge=0, description="of the gradient: of the classifier, or of the property")
    tolerance: float = Field(default=0.02, gt=0, description="how near a property should come to its value")
    guide: str = Field(default="fashion-guide", description="classifier of noisy samples, for --toward class=NAME")
    mode: Literal["score", "mean"] | None = Field(
        default=None, description="of the classifier: score (every solver) or mean (the lecture's); by the solver"
    )
    depth: float = Field(default=0.5, gt=0, lt=1, description="time that --input is taken back to; more changes more")

    def words(self) -> dict[str, object]:
        """The words about the walk."""
        return {"steps": self.steps, "solver": self.solver}
