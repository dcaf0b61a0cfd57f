"""Options of the latent edit. Imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["LatentOptions"]


class LatentOptions(BaseModel):
    """How a code is edited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rounds: int = Field(default=3, ge=0, description="corrections by measurement after the linear step; 0: that step")
    head_samples: int = Field(
        default=2000, ge=50, description="samples of the model to fit heads on, without --examples"
    )
    parts: tuple[str, ...] = Field(default=(), description="parts of the code that move; all when absent")
    ridge: float = Field(default=1e-3, ge=0, description="penalty of the heads, in units of the codes' variance")
    eps: float = Field(default=1e-6, ge=0, description="share of the heads' variance that settles heads that coincide")
    metric: Literal["covariance", "identity"] = Field(
        default="covariance",
        description="which step is the smallest: covariance stays where codes are; identity is the lecture's, along w",
    )
    hold: Literal["measured", "head"] = Field(
        default="measured", description="held properties are corrected by what is measured, or held in the heads only"
    )
    draws: int = Field(default=100, ge=20, description="bootstrap draws of a head's interval")
    within: float = Field(default=0.99, gt=0, lt=1, description="share of codes that counts as on the manifold")
    series: int = Field(
        default=1, ge=1, description="strengths of each edit, from none to the whole step, a result each; 1: the whole"
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        description="of the decoding of a diffusion autoencoder; the model's own when absent",
        json_schema_extra={"domains": ["images"]},
    )
    levels: tuple[int, ...] = Field(
        default=(),
        description="of the U-Net of a diffusion autoencoder that see the edit, 0 the finest; all when absent",
        json_schema_extra={"domains": ["images"]},
    )
    window: tuple[float, float] = Field(
        default=(0.0, 1.0),
        description="times of the decoding that see the edit, data 0 to noise 1: two numbers",
        json_schema_extra={"domains": ["images"]},
    )
    force: bool = Field(default=False, description="edit also along heads that read nothing")

    @field_validator("levels", "window", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        return tuple(value.split(",")) if isinstance(value, str) else value

    @property
    def partial(self) -> bool:
        """Whether the decoding is set in a way that a model must know."""
        return self.steps is not None or bool(self.levels) or self.window != (0.0, 1.0)
