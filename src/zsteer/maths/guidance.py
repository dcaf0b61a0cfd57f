r"""Guidance without a classifier: conditional and unconditional scores, combined."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["classifier_free"]


def classifier_free(
    null: Float[Tensor, "*any"], conditional: Float[Tensor, "*any"], scale: float | Tensor
) -> Float[Tensor, "*any"]:
    r"""s_u + scale (s_c - s_u): 0 ignores the condition, 1 is the conditional model, more exaggerates.

    On log-probabilities the sum over a sequence is log p(x) + scale log p(c | x) + const: unnormalised, which is
    what ranks whole sequences.

    Args:
        null: score without the condition, s_u.
        conditional: score with it, s_c.
        scale: strength, one number or one that broadcasts.

    Source: Ho and Salimans, "Classifier-free diffusion guidance", 2022.
    """
    return null + scale * (conditional - null)
