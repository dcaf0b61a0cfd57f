"""``Counted``: an oracle that asks for every distinct sample once, counts, and stops at a budget.

The count is of distinct samples: what was scored before comes from memory and is free, within one call and between
calls. ``keys`` says what is the same: the bytes of all fields and of the mask.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief, Oracle
from zsteer.errors import BudgetExhaustedError

__all__ = ["Counted", "keys"]


def keys(x: Batch) -> list[bytes]:
    """One key of 16 bytes for each sample (BLAKE2b of its canonical bytes); equal for equal samples."""
    values = [x.fields[name] for name in sorted(x.fields)] + ([] if x.mask is None else [x.mask])
    head = ";".join(f"{name}:{x.fields[name].dtype}:{tuple(x.fields[name].shape[1:])}" for name in sorted(x.fields))
    parts = [np.ascontiguousarray(value.detach().cpu().numpy()).reshape(len(x), -1).view(np.uint8) for value in values]
    rows = np.concatenate(parts, 1) if len(x) else np.zeros((0, 1), dtype=np.uint8)
    start = hashlib.blake2b(head.encode(), digest_size=16)

    def digest(row: np.ndarray) -> bytes:
        state = start.copy()
        state.update(row.tobytes())
        return state.digest()

    return [digest(row) for row in rows]


class Counted:
    """An oracle with a memory, a count and a budget; itself an ``Oracle``.

    Args:
        oracle: whom to ask.
        budget: distinct samples that may be scored, or None for no limit.
    """

    def __init__(self, oracle: Oracle, budget: int | None = None) -> None:
        self.oracle = oracle
        self.budget = budget
        self._known: dict[bytes, tuple[float, float, str]] = {}

    @property
    def calls(self) -> int:
        """Distinct samples scored so far."""
        return len(self._known)

    @property
    def remaining(self) -> int | None:
        """Distinct samples that may still be scored; None for no limit."""
        return None if self.budget is None else self.budget - self.calls

    def knows(self, names: Sequence[bytes]) -> list[bool]:
        """Which samples, by their keys, are in memory."""
        return [name in self._known for name in names]

    def __call__(self, x: Batch) -> Belief:
        """Belief about each sample.

        Raises:
            BudgetExhaustedError: if the new samples do not fit into what is left; nothing is scored then.
        """
        return self.by_keys(x, keys(x))

    def by_keys(self, x: Batch, names: Sequence[bytes]) -> Belief:
        """Belief about each sample, when its keys are known already.

        Raises:
            BudgetExhaustedError: if the new samples do not fit into what is left; nothing is scored then.
        """
        new: dict[bytes, int] = {}
        for row, name in enumerate(names):
            if name not in self._known:
                new.setdefault(name, row)
        if self.remaining is not None and len(new) > self.remaining:
            raise BudgetExhaustedError(
                f"{len(new)} new samples would exceed the budget of {self.budget} oracle calls "
                f"({self.calls} are used); raise the budget or ask for fewer"
            )
        if new:
            belief = self.oracle(x.take(torch.tensor(list(new.values()), device=x.device)))
            means, stds = belief.mean.detach().cpu().tolist(), belief.std.detach().cpu().tolist()
            status = belief.status or ["ok"] * len(new)
            self._known.update(zip(new, zip(means, stds, status, strict=True), strict=True))
        found = [self._known[name] for name in names]
        statuses = tuple(entry[2] for entry in found) if any(entry[2] != "ok" for entry in found) else ()
        mean, std = (torch.tensor([entry[i] for entry in found], dtype=torch.float32, device=x.device) for i in (0, 1))
        return Belief(mean, std, statuses)
