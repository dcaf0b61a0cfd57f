r"""Layers whose largest singular value is 1: ``W / sigma(W)``.

The singular value is followed by power iteration: u and v are buffers, one step of

.. math:: v \leftarrow W^T u / \|W^T u\|, \quad u \leftarrow W v / \|W v\|, \quad \sigma = u^T W v

is done after each update of the weights (``iterate``) and never in ``forward``, so that a forward pass is a function of
its input alone. No random number is drawn after the layer is made.

Source: Miyato et al., "Spectral normalization for generative adversarial networks", ICLR 2018.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["SpectralConv", "SpectralLinear", "iterate"]

FIRST_ROUNDS = 30
"""Power iterations on the initial weights: enough for a few per cent on a random matrix; training does the rest."""


class _Spectral(nn.Module):
    """Weight and bias of a layer with the vectors of its largest singular value."""

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = nn.Parameter(torch.zeros(self.weight.shape[0]))
        self.u: Tensor
        self.v: Tensor
        rows = self.weight.detach().flatten(1)
        self.register_buffer("u", nn.functional.normalize(torch.ones(rows.shape[0]) + rows.sum(1), dim=0))
        self.register_buffer("v", torch.zeros(rows.shape[1]))
        for _ in range(FIRST_ROUNDS):
            self.iterate()

    @torch.no_grad()
    def iterate(self) -> None:
        """One step of the power iteration."""
        rows = self.weight.flatten(1)
        self.v.copy_(nn.functional.normalize(rows.T @ self.u, dim=0))
        self.u.copy_(nn.functional.normalize(rows @ self.v, dim=0))

    def normal(self) -> Tensor:
        """The weight over its largest singular value."""
        return self.weight / (self.u @ self.weight.flatten(1) @ self.v)


class SpectralLinear(_Spectral):
    """Linear layer with spectral norm 1.

    Args:
        inputs: width of the input.
        outputs: width of the output.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs, outputs))

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """Map the features of each sample."""
        return nn.functional.linear(x, self.normal(), self.bias)


class SpectralConv(_Spectral):
    """Convolution whose kernel, as a matrix from patches to channels, has spectral norm 1.

    Args:
        inputs: channels of the input.
        outputs: channels of the output.
        kernel: extent of the kernel.
        stride: step of the kernel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride))
        self.stride, self.padding = stride, (kernel - stride + 1) // 2

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k g v"]:
        """Convolve the pictures of a batch."""
        return nn.functional.conv2d(x, self.normal(), self.bias, self.stride, self.padding)


def iterate(net: nn.Module) -> None:
    """One step of the power iteration in every spectral layer of a net."""
    for layer in net.modules():
        if isinstance(layer, _Spectral):
            layer.iterate()
