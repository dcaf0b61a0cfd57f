r"""Muon: steps of one spectral size for matrices of weights, AdamW for everything else.

With M the running mean of the gradients G of a matrix of m rows and n columns,

.. math:: M \leftarrow \mu M + (1 - \mu) G, \quad
          W \leftarrow W - \epsilon \sqrt{\max(1, m / n)}\; \text{orth}(\mu M + (1 - \mu) G) ,

so that no direction of a layer waits for a larger one. The optimiser of this name in torch leaves all but matrices to
another one, and works in bfloat16 everywhere, which processors without such instructions take many times as long for.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from zsteer.maths.orthogonal import orthogonalised
from zsteer.nets.precision import bfloat16_pays

__all__ = ["Muon"]

SHARE = 0.1
"""Rate of AdamW in units of the rate of the matrices."""
LEAST = 16
"""Matrices with a shorter side below this are heads and embeddings of a few numbers, and are left to AdamW."""
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Muon and AdamW in one, with the state of one optimiser.

    Args:
        parameters: to learn.
        lr: rate of the matrices; the others learn with ``SHARE`` of it.
        betas: decay of AdamW's two moments.
        weight_decay: of AdamW.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        chosen = list(parameters)
        matrices = [p for p in chosen if p.ndim == 2 and min(p.shape) >= LEAST]
        known = {id(p) for p in matrices}
        others = [p for p in chosen if id(p) not in known]
        self._others: torch.optim.AdamW | None = None
        groups: list[dict[str, Any]] = [{"params": matrices}]
        if others:
            self._others = torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)
            groups += self._others.param_groups
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        del closure
        lr = self.param_groups[0]["lr"]
        if self._others is not None:
            # One state and one list of groups, so that what is saved is saved once.
            self._others.state, self._others.param_groups = self.state, [{**self.param_groups[1], "lr": SHARE * lr}]
            self._others.step()
        for weight in self.param_groups[0]["params"]:
            if weight.grad is not None:
                rate = lr * max(1, weight.shape[0] / weight.shape[1]) ** 0.5
                weight.add_(self._direction(weight, weight.grad), alpha=-rate)

    def _direction(self, weight: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[weight]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(weight)
        mean = state["mean"].lerp_(gradient, 1 - MOMENTUM)
        wanted = gradient.lerp(mean, MOMENTUM)
        return orthogonalised(wanted.bfloat16() if bfloat16_pays(weight.device) else wanted)
