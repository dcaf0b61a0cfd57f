r"""Guidance without a classifier: conditional and unconditional scores, combined."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["classifier_free", "towards_value"]


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


def towards_value(gap: Float[Tensor, " b"], variance: Float[Tensor, " b"], tolerance: float) -> Float[Tensor, " b"]:
    r"""How far to go along Cov(x_0 | x_t) grad c so that a property c comes from its prediction to a wanted value y.

    With c(x_0) linear around the prediction, x_0 normal given x_t, and y = c(x_0) + N(0, tau^2), Bayes' rule moves the
    mean of x_0 by

    .. math:: \text{Cov}(x_0 \mid x_t) \nabla c \; \frac{y - c(\hat x_0)}{\tau^2 + v}, \quad
              v = \nabla c^T \text{Cov}(x_0 \mid x_t) \nabla c .

    The gradient of the likelihood of y alone, without v, overshoots by (tau^2 + v) / tau^2.

    Args:
        gap: y - c(x_0-hat).
        variance: v, the variance of the property given x_t.
        tolerance: tau > 0.

    Source: Song, Vahdat, Mardani, Kautz, "Pseudoinverse-guided diffusion models for inverse problems", 2023.
    """
    return gap / (tolerance**2 + variance.clamp(min=0))
