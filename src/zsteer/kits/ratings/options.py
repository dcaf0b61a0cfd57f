"""What ``--toward`` takes for ratings, the files, and the options of recommendation. Imports no torch."""

from pydantic import Field

from zsteer.core.options import Option, Options
from zsteer.steer.options import SteerOptions

__all__ = ["OPTIONS", "RecommendOptions"]

OPTIONS = Options(
    "ratings",
    ".csv, .tsv, .dat, .txt (also Netflix's form), each also as .gz",
    (Option("rating", "toward", "text", "high, low, or a level of the scale: the most probable to be rated so"),),
)


class RecommendOptions(SteerOptions):
    """Options of recommendation."""

    user: str | None = Field(default=None, description="a known user; one in --input is taken by name as well")
    support: int = Field(default=5, ge=0, description="ratings that an item must have in the training data")
