"""The plan of a training from its length: one rule for all recipes, whose constants each recipe names."""

from collections.abc import Mapping

from zsteer.train.loop import Optim, Plan

__all__ = ["plan_for", "warmup_for"]


def warmup_for(steps: int, most: int = 100) -> int:
    """Steps over which the rate rises: a tenth of the run, at most ``most``."""
    return min(most, steps // 10)


def plan_for(
    steps: int,
    optim: Optim | Mapping[str, Optim],
    *,
    memory: int | None,
    shortest: int = 10,
    longest: int | None = None,
    checkpoint: int = 1000,
    bf16: bool | None = None,
) -> Plan:
    """The plan of a run of so many steps.

    The average of the weights remembers the last part of the run only: a short run must not average in its first
    weights. Its decay of 1 - 1/n is a memory of about n updates.

    Args:
        steps: of the run.
        optim: for every player, or one for each by name.
        memory: the average remembers this fraction of the run (20 for a twentieth); None for no average.
        shortest: updates that it remembers at least.
        longest: updates that it remembers at most.
        checkpoint: steps between two checkpoints; four of them at least in a run.
        bf16: bfloat16 autocast; None means on CUDA only.
    """
    average = None
    if memory is not None:
        updates = max(shortest, steps // memory)
        average = 1 - 1 / (updates if longest is None else min(longest, updates))
    return Plan(steps=steps, optim=optim, ema=average, checkpoint_every=max(1, min(checkpoint, steps // 4)), bf16=bf16)
