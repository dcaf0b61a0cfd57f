r"""Gradient descent with momentum, in place and with nothing around it.

.. math:: m \leftarrow \mu m + g, \quad \theta \leftarrow \theta - \epsilon m

torch's own SGD does the same and spends more on its hooks than on small weights; a Boltzmann machine with batches of
ten takes thousands of such steps a second. It has the parts of ``torch.optim.Optimizer`` that the loop uses.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Sgd"]


class Sgd:
    """Plain gradient descent.

    Args:
        parameters: to learn.
        lr: learning rate; the loop sets it anew at every step.
        momentum: weight of the past gradients.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.0) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": lr, "momentum": momentum}]
        self._moving: dict[int, Tensor] = {}

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        del set_to_none
        for parameter in self.param_groups[0]["params"]:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        group = self.param_groups[0]
        for index, parameter in enumerate(group["params"]):
            gradient = parameter.grad
            if gradient is None:
                continue
            if group["momentum"]:
                if index not in self._moving:
                    self._moving[index] = torch.zeros_like(parameter)
                gradient = self._moving[index].mul_(group["momentum"]).add_(gradient)
            parameter.add_(gradient, alpha=-group["lr"])

    def state_dict(self) -> dict[str, Any]:
        """The moving gradients, by number of the parameter."""
        groups = [{key: value for key, value in group.items() if key != "params"} for group in self.param_groups]
        return {"state": {index: {"moving": value} for index, value in self._moving.items()}, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        parameters = self.param_groups[0]["params"]
        moving = {int(index): entry["moving"] for index, entry in state["state"].items()}
        self._moving = {index: value.clone().to(parameters[index]) for index, value in moving.items()}
        self.param_groups[0] |= dict(state["param_groups"][0])
