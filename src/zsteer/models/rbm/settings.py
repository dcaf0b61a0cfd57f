"""What a restricted Boltzmann machine is built from, and what it keeps about its normalising constant."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from zsteer.core.artifact import Settings
from zsteer.core.sample_spec import SampleSpec
from zsteer.maths.boltzmann import Visible
from zsteer.sample.annealed import LogZ

__all__ = ["RbmSettings", "from_numbers", "to_numbers"]


class RbmSettings(Settings):
    """Units, learning rule and chains."""

    datum: SampleSpec = Field(description="what one sample is; its values decide the kind of the visible units")
    units: int = Field(default=500, ge=1, description="number of hidden units")
    hidden: Literal["bernoulli", "gaussian", "relu"] = Field(default="bernoulli", description="kind of hidden unit")
    noise: float = Field(
        default=1.0, gt=0, description="standard deviation of real visible units given the hidden, in units of the data"
    )
    method: Literal["cd", "pcd", "pt"] = Field(
        default="pcd", description="chains from the data (cd), chains that go on (pcd), or these at many temperatures"
    )
    k: int = Field(default=1, ge=1, description="Gibbs sweeps of every chain in an update")
    chains: int = Field(default=100, ge=1, description="persistent chains (pcd), or chains of each temperature (pt)")
    temperatures: int = Field(default=8, ge=2, description="temperatures of pt, evenly from the base rates to 1")
    centre: bool = Field(default=True, description="centred gradient; offsets are means over data")
    decay: float = Field(default=0.0, ge=0, description="weight decay: adds decay / 2 times the squared weights")
    spread: float = Field(default=0.01, gt=0, description="standard deviation of the initial weights")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="products in training; auto is bfloat16 where the hardware multiplies it"
    )
    seed: int = Field(default=0, description="of the initial weights")

    @model_validator(mode="after")
    def _fits(self) -> "RbmSettings":
        if self.datum.values == "unit":
            raise ValueError("values in [0, 1] have no visible unit here; cut them into 0 and 1 (binary=true)")
        if self.datum.values == "real" and self.hidden != "bernoulli":
            # Real and real together are normalisable only while the weights are small, which no update ensures.
            raise ValueError(f"real visible units need hidden=bernoulli, got hidden={self.hidden}")
        return self

    @property
    def visible(self) -> Visible:
        """Kind of the visible units."""
        return "levels" if self.datum.values == "levels" else "real" if self.datum.values == "real" else "binary"

    @property
    def levels(self) -> int:
        """K of the visible units; 1 unless they are softmax units."""
        return max(self.datum.levels, 1)

    @property
    def numbers(self) -> int:
        """Visible numbers: one for each unit, for levels one for each level of each place."""
        return self.datum.size * self.levels

    @property
    def keeps_hidden(self) -> bool:
        """Whether chains are kept by their hidden states, which saves a product in every update."""
        return self.method == "pcd" and self.hidden == "bernoulli"

    @property
    def rows(self) -> int:
        """Rows of chains that are kept; none for cd, whose chains start at the data."""
        return {"cd": 0, "pcd": self.chains, "pt": self.chains * self.temperatures}[self.method]


def to_numbers(z: LogZ) -> Float[Tensor, " f"]:
    """What is known about log Z as a tensor, to be stored with the weights."""
    return torch.tensor([z.value, z.se, z.ess, z.upper, z.upper_ess, z.chains, z.temperatures], dtype=torch.float64)


def from_numbers(stored: Float[Tensor, " f"]) -> LogZ | None:
    """What is known about log Z, or None."""
    value, se, ess, upper, upper_ess, chains, temperatures = stored.tolist()
    if math.isnan(value):
        return None
    return LogZ(value, se, ess, upper, upper_ess, int(chains), int(temperatures))
