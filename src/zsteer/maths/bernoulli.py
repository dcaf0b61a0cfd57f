"""Independent binary variables by their logits, so that no probability is ever rounded to 0 or 1."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["log_probability"]


def log_probability(x: Float[Tensor, "b d"], logit: Float[Tensor, "b k d"]) -> Float[Tensor, "b k"]:
    r"""Log-probability of binary vectors, summed over dimensions. [nats]

    .. math:: \sum_j x_j l_j - \log(1 + e^{l_j}), \quad p_j = 1 / (1 + e^{-l_j})

    Args:
        x: 0 or 1.
        logit: l, for k sets of probabilities of each x.
    """
    # A product of matrices reads the logits once and keeps no product of their size.
    return (logit @ x[:, :, None])[..., 0] - softplus(logit).sum(-1)
