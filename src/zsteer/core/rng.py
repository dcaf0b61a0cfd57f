r"""``Streams``: one stream of random numbers per sample, and no global state.

A draw is a pure function of (seed, purpose, sample id, step, position): the counter-based generator
Philox4x32-10 maps the counter (block, step, id) under the key hash(seed, purpose) to four 32-bit words.
Sample 17 of seed 5 is therefore the same for batch 1 or 256, for one process or eight, and after a resume.
Drawing twice for the same purpose gives the same numbers: name each draw, and count repeats by ``at``.

Uniforms lie in the open interval (0, 1); normals follow from pairs of uniforms by
.. math:: z_1 = \sqrt{-2 \ln u_1} \cos 2 \pi u_2, \quad z_2 = \sqrt{-2 \ln u_1} \sin 2 \pi u_2 .

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from zsteer.errors import InputError

__all__ = ["Streams", "initialised"]

_WORD = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def _philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox4x32-10 on int64 tensors that hold 32-bit words; products wrap modulo 2^64 as they should."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _WORD) ^ c1 ^ k0,
            p1 & _WORD,
            ((p0 >> 32) & _WORD) ^ c3 ^ k1,
            p0 & _WORD,
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


@dataclass(frozen=True)
class Streams:
    """One stream of random numbers for each of ``b`` samples.

    Args:
        seed: any integer; equal seeds give equal numbers.
        ids: the identity of each sample, shape ``(b,)``, int64, on the device to draw on.
        path: names of the parts of the program that the streams were handed down to.
        step: a count within a purpose, for example the time of a sampler.
    """

    seed: int
    ids: Int[Tensor, " b"]
    path: tuple[str, ...] = ()
    step: int = 0

    @staticmethod
    def of(seed: int, n: int, *, start: int = 0, device: torch.device | str = "cpu") -> "Streams":
        """Streams of the samples ``start ... start + n - 1`` of a seed."""
        return Streams(seed, torch.arange(start, start + n, device=device))

    def __len__(self) -> int:
        return len(self.ids)

    def child(self, name: str) -> "Streams":
        """Hand the streams down to a part of the program: other numbers, same samples."""
        return replace(self, path=(*self.path, name))

    def at(self, step: int) -> "Streams":
        """Numbers for another count of the same purposes."""
        return replace(self, step=step)

    def take(self, index: Tensor | slice) -> "Streams":
        """Streams of selected samples."""
        return replace(self, ids=self.ids[index])

    def spread(self, times: int) -> "Streams":
        """``times`` different streams for each sample, neighbours together."""
        index = torch.arange(times, device=self.ids.device)
        ids = (self.ids[:, None] * times + index[None, :]).flatten()
        return replace(self, ids=ids, path=(*self.path, f"spread:{times}"))

    def _words(self, purpose: str, count: int) -> Int[Tensor, "b count"]:
        """``count`` words of 32 bits for each sample."""
        text = "\x1f".join((str(self.seed), *self.path, purpose))
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        device = self.ids.device
        blocks = -(-count // 4)
        block = torch.arange(blocks, device=device)[None, :]
        step = torch.tensor(self.step & _WORD, device=device)
        ids = self.ids[:, None]
        words = _philox((block, step, ids & _WORD, (ids >> 32) & _WORD), (digest & _WORD, digest >> 32))
        shape = (len(self.ids), blocks)
        return torch.stack([word.expand(shape) for word in words], -1).reshape(shape[0], -1)[:, :count]

    def uniform(
        self, purpose: str, shape: tuple[int, ...] = (), *, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "b ..."]:
        """Uniform numbers in the open interval (0, 1).

        Args:
            purpose: what the numbers are for; the same purpose gives the same numbers.
            shape: shape of one sample.
            dtype: float32 (23 bits) or float64 (52 bits).

        Returns:
            Tensor of shape ``(b, *shape)``.
        """
        count = math.prod(shape)
        if dtype == torch.float64:
            words = self._words(purpose, 2 * count)
            bits = ((words[:, 0::2] >> 6) << 26) | (words[:, 1::2] >> 6)
            values = (bits.to(dtype) + 0.5) * 2.0**-52
        else:
            values = ((self._words(purpose, count) >> 9).to(dtype) + 0.5) * 2.0**-23
        return values.reshape(len(self), *shape)

    def normal(
        self, purpose: str, shape: tuple[int, ...] = (), *, dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "b ..."]:
        """Standard normal numbers, shape ``(b, *shape)``."""
        count = math.prod(shape)
        u = self.uniform(purpose, (-(-count // 2), 2), dtype=dtype)
        radius = torch.sqrt(-2.0 * torch.log(u[..., 0]))
        angle = 2.0 * math.pi * u[..., 1]
        pairs = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], -1)
        return pairs.reshape(len(self), -1)[:, :count].reshape(len(self), *shape)

    def gumbel(self, purpose: str, shape: tuple[int, ...] = ()) -> Float[Tensor, "b ..."]:
        """Standard Gumbel numbers: argmax(logits + gumbel) is a draw from softmax(logits)."""
        return -torch.log(-torch.log(self.uniform(purpose, shape, dtype=torch.float64))).float()

    def integers(self, purpose: str, high: int, shape: tuple[int, ...] = ()) -> Int[Tensor, "b ..."]:
        """Integers in ``0 ... high - 1``; the bias of at most ``high / 2^32`` is left as it is.

        Raises:
            InputError: if ``high`` is not in ``1 ... 2^31 - 1``.
        """
        if not 0 < high < 2**31:
            raise InputError(f"expected an upper bound in 1 ... 2^31 - 1 for {purpose!r}, got {high}")
        return ((self._words(purpose, math.prod(shape)) * high) >> 32).reshape(len(self), *shape)

    def bulk(self, purpose: str) -> torch.Generator:
        """One generator for the whole block of streams, about 20 times cheaper a number than the others.

        For what belongs to a setting and not to a sample: persistent Markov chains, annealing runs. Its numbers depend
        on seed, path, purpose, step and the lowest id, so they are the same in every run and for every order of the
        streams; they are NOT the same for another number of streams or another device. What a user asks for by
        number (samples, edits) takes the per-sample draws above.

        Returns:
            A new generator on the device of the ids; the global state is not touched.
        """
        first = int(self.ids.min()) if len(self.ids) else 0
        text = "\x1f".join(("bulk", str(self.seed), *self.path, purpose, str(self.step), str(first)))
        digest = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        # torch takes a signed number; the CPU's Mersenne twister uses its low 32 bits.
        return torch.Generator(device=self.ids.device).manual_seed(digest >> 1)

    def permutation(self, purpose: str, n: int) -> Int[Tensor, "b n"]:
        """A random order of ``0 ... n - 1`` for each sample."""
        return torch.argsort(self.uniform(purpose, (n,), dtype=torch.float64), dim=1, stable=True)


@contextmanager
def initialised(seed: int) -> Iterator[None]:
    """Build networks inside: their initial weights depend on ``seed`` alone, and the global state stays as it was.

    PyTorch layers draw their initial weights from the global generator, and only from there. This is the one
    place that seeds it, inside a fork that is put back on leaving.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
