r"""Exponential moving average of the weights, by torch's ``AveragedModel``.

.. math:: \bar\theta \leftarrow d \bar\theta + (1 - d) \theta
"""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

__all__ = ["averaged"]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of ``model`` that follows its weights; ``.module`` is the averaged model.

    Args:
        model: the model in training.
        decay: weight of the past, for example 0.999.
    """
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=False)
