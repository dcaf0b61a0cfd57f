"""``Batch``: named tensors that belong together, with a mask and a weight.

The first axis of every tensor is the sample. A mask is true on what is real and false on padding;
a weight multiplies a sample's loss (1 when absent).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from zsteer.errors import InputError

__all__ = ["Batch", "rows_of"]


@dataclass(frozen=True)
class Batch:
    """Named tensors over the same samples.

    Args:
        fields: tensors by name, each of shape ``(b, ...)``.
        mask: true on real positions, shape ``(b, n)``, or None when everything is real.
        weight: weight of each sample in a loss, shape ``(b,)``, or None for 1.

    Raises:
        InputError: if there is no field, or the first axes differ.
    """

    fields: Mapping[str, Shaped[Tensor, "b ..."]]
    mask: Bool[Tensor, "b n"] | None = None
    weight: Float[Tensor, " b"] | None = field(default=None)

    def __post_init__(self) -> None:
        if not self.fields:
            raise InputError("a batch needs at least one field, got none")
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))
        sizes = {name: len(value) for name, value in self._all()}
        if len(set(sizes.values())) > 1:
            raise InputError(f"expected tensors over the same samples, got first axes {sizes}")

    def _all(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.fields.items()
        if self.mask is not None:
            yield "mask", self.mask
        if self.weight is not None:
            yield "weight", self.weight

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    def __getitem__(self, name: str) -> Tensor:
        try:
            return self.fields[name]
        except KeyError:
            raise InputError(f"the batch has no field {name!r}; it has {sorted(self.fields)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return next(iter(self.fields.values())).device

    def take(self, index: Int[Tensor, " k"] | Bool[Tensor, " b"] | slice) -> "Batch":
        """Select samples, in the order of ``index``."""
        return self._map(lambda value: value[index])

    def to(self, device: torch.device | str) -> "Batch":
        """Move every tensor to ``device``."""
        if self.device == (torch.device(device) if isinstance(device, str) else device):
            return self
        return self._map(lambda value: value.to(device))

    def repeat(self, times: int) -> "Batch":
        """Repeat every sample ``times`` times, neighbours together: a, a, b, b."""
        return self._map(lambda value: value.repeat_interleave(times, 0))

    def with_fields(self, **fields: Tensor) -> "Batch":
        """Return the batch with fields added or replaced."""
        return replace(self, fields={**self.fields, **fields})

    def with_weight(self, weight: Tensor | None) -> "Batch":
        """Return the batch with another weight."""
        return replace(self, weight=weight)

    def chunks(self, size: int) -> Iterator["Batch"]:
        """Cut into pieces of at most ``size`` samples."""
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            {name: change(value) for name, value in self.fields.items()},
            None if self.mask is None else change(self.mask),
            None if self.weight is None else change(self.weight),
        )

    @staticmethod
    def cat(batches: Sequence["Batch"]) -> "Batch":
        """Join batches with the same fields; where their samples are padded to different widths, to the largest.

        Padding is zero, and false in the mask.

        Raises:
            InputError: if there is none, or the fields differ.
        """
        if not batches:
            raise InputError("expected at least one batch to join, got none")
        names = set(batches[0].fields)
        for other in batches:
            if set(other.fields) != names or (other.mask is None) != (batches[0].mask is None):
                raise InputError(f"expected batches with the fields {sorted(names)}, got {sorted(other.fields)}")
        masks = [x.mask for x in batches if x.mask is not None]
        weighted = any(x.weight is not None for x in batches)
        weights = [torch.ones(len(x), device=x.device) if x.weight is None else x.weight for x in batches]
        return Batch(
            {name: _joined([x.fields[name] for x in batches]) for name in batches[0].fields},
            _joined(masks) if masks else None,
            torch.cat(weights) if weighted else None,
        )


def _joined(values: Sequence[Tensor]) -> Tensor:
    """Tensors one after another, padded with zeros behind to the largest of each axis."""
    widest = [max(extents) for extents in zip(*(value.shape[1:] for value in values), strict=True)]

    def padded(value: Tensor) -> Tensor:
        lacks = [widest[k] - extent for k, extent in enumerate(value.shape[1:])]
        if not any(lacks):
            return value
        return torch.nn.functional.pad(value, [side for lack in reversed(lacks) for side in (0, lack)])

    return torch.cat([padded(value) for value in values])


def rows_of(value: object, rows: Int[Tensor, " m"], n: int) -> object:
    """The values of chosen samples, where there is one for each.

    Args:
        value: one for all, or one for each of ``n``.
        rows: which are chosen.
        n: how many there are.
    """
    if isinstance(value, Tensor) and value.ndim and len(value) == n:
        return value[rows]
    if isinstance(value, list | tuple) and len(value) == n:
        return [value[i] for i in rows.tolist()]
    return value
