"""Independent binary variables by their logits, so that no probability is ever rounded to 0 or 1."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["log_probability"]


def log_probability(x: Float[Tensor, "*#b d"], logit: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    r"""Log-probability of binary vectors, summed over dimensions. [nats]

    .. math:: \sum_j x_j l_j - \log(1 + e^{l_j}), \quad p_j = 1 / (1 + e^{-l_j})

    Args:
        x: 0 or 1.
        logit: l.
    """
    return (x * logit).sum(-1) - softplus(logit).sum(-1)
