r"""Several oracles as one: their mean, and as spread both what each doubts and how far they disagree.

.. math:: \mu = \tfrac{1}{M} \sum_m \mu_m, \qquad
          \sigma^2 = \tfrac{1}{M} \sum_m \sigma_m^2 + \tfrac{1}{M} \sum_m (\mu_m - \mu)^2

Source: Lakshminarayanan, Pritzel, Blundell, "Simple and scalable predictive uncertainty estimation", NeurIPS 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from zsteer.core.batch import Batch
from zsteer.core.protocols import Belief, Oracle
from zsteer.errors import SettingsError

__all__ = ["Ensemble"]


@dataclass(frozen=True)
class Ensemble:
    """An equal mixture of oracles, as one ``Oracle``.

    Args:
        oracles: the members.

    Raises:
        SettingsError: if there is none.
    """

    oracles: Sequence[Oracle]

    def __post_init__(self) -> None:
        if not self.oracles:
            raise SettingsError("expected at least one oracle in an ensemble, got none")

    def __call__(self, x: Batch) -> Belief:
        """Mean and spread of the mixture; a sample that any member could not score carries that member's reason."""
        beliefs = [oracle(x) for oracle in self.oracles]
        means = torch.stack([belief.mean for belief in beliefs])
        variances = torch.stack([belief.std**2 for belief in beliefs])
        spread = variances.mean(0) + means.var(0, unbiased=False)
        columns = [belief.status or ["ok"] * len(x) for belief in beliefs]
        status = [next((s for s in row if s != "ok"), "ok") for row in zip(*columns, strict=True)]
        statuses = tuple(status) if any(s != "ok" for s in status) else ()
        return Belief(means.mean(0), spread.sqrt(), statuses)
