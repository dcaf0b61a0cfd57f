r"""How a solver weighs predictions of x_0: the mean of their polynomial over a step, exactly.

In half the log signal-to-noise ratio, lambda, the deterministic walk from t to s is

.. math:: x_s = \frac{\sigma_s}{\sigma_t} x_t + \sigma_s \int_{\lambda_t}^{\lambda_s} e^\lambda \hat x_0(\lambda)\,
          d\lambda ,

which is one DDIM step with the mean of x_0 under the weight e^lambda. A solver of order p puts a polynomial of degree
p - 1 through p predictions and takes that mean, so that every solver is "combine predictions, then step".

Source: Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", 2022, section 4;
Hochbruck, Ostermann, "Exponential integrators", Acta Numerica 2010, section 2.
"""

import math
from collections.abc import Sequence

import torch

__all__ = ["mean_weights", "midpoint_weights", "value_weights"]


def _solve(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    """Weights that give the polynomials u^k the values ``moments``."""
    places = torch.tensor(nodes, dtype=torch.float64)
    powers = torch.stack([places**k for k in range(len(nodes))])
    return torch.linalg.solve(powers, torch.tensor(moments, dtype=torch.float64)).tolist()


def mean_weights(h: float, nodes: Sequence[float]) -> list[float]:
    r"""Weights of predictions whose sum is the mean of their polynomial over the step.

    .. math:: w_j = \int_0^h e^u L_j(u)\, du \Big/ \int_0^h e^u\, du, \quad L_j \text{ of Lagrange on the nodes}

    The moments of the weight follow by parts: :math:`\mu_k = h^k / (1 - e^{-h}) - k \mu_{k-1}`.

    Args:
        h: lambda_s - lambda_t; negative on the way to noise, never 0; where it is infinite (s = 0) only the newest
            prediction counts.
        nodes: lambda of each prediction less lambda_t, the newest first.

    Returns:
        A weight for each node; they sum to 1.
    """
    if len(nodes) == 1 or math.isinf(h) or any(math.isinf(node) for node in nodes):
        return [1.0] + [0.0] * (len(nodes) - 1)
    moments = [1.0]
    for k in range(1, len(nodes)):
        moments.append(h**k / -math.expm1(-h) - k * moments[-1])
    # In units of h the system is well conditioned however short the step is.
    return _solve([node / h for node in nodes], [moment / h**k for k, moment in enumerate(moments)])


def value_weights(place: float, nodes: Sequence[float]) -> list[float]:
    """Weights of predictions whose sum is the value of their polynomial at ``place``, on the scale of the nodes."""
    scale = max(abs(node) for node in (*nodes, place)) or 1.0
    return _solve([node / scale for node in nodes], [(place / scale) ** k for k in range(len(nodes))])


def midpoint_weights(h: float, nodes: Sequence[float]) -> list[float]:
    r"""Weights of the straight line through two predictions at the middle of the step, h / 2.

    It differs from the mean of the line by O(h^2), which leaves order 2, and extrapolates less over long steps.

    Args:
        h: lambda_s - lambda_t; where it is infinite (s = 0) only the newest prediction counts.
        nodes: lambda of each prediction less lambda_t, the newest first.

    Source: Lu et al., "DPM-Solver++", 2022, algorithm 2.
    """
    if len(nodes) == 1 or math.isinf(h) or any(math.isinf(node) for node in nodes):
        return [1.0] + [0.0] * (len(nodes) - 1)
    return value_weights(h / 2, nodes)
