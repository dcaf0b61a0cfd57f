"""``zsteer.check``: the contract that every model keeps, as an executable suite for anyone's model.

A model is asked only for what it declares by the protocols it implements. Each check is a function ``check_*`` of a
model and an example batch; its first docstring line is the rule. The test suite runs them over the whole catalog.
"""

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsteer.core.artifact import Pretrained
from zsteer.core.batch import Batch
from zsteer.core.protocols import Codec, Generative, Likelihood, Proposes, Trainable
from zsteer.core.rng import Streams
from zsteer.errors import ContractError, InputError

__all__ = ["CHECKS", "Verdict", "check"]

LEAST = 4
"""Samples of an example batch."""
MAKE = "give what the model is trained on, with its labels; loaded.kit.encode(loaded.read(FILE), ...) makes samples"
TOLERANCE = 1e-5
"""Sums of float32 in another order, relative to the largest number; the losses are of order 1 to 100."""


@dataclass(frozen=True)
class Verdict:
    """What one check found: ``state`` is ``ok``, ``failed`` or ``not declared``."""

    name: str
    state: str
    detail: str = ""


class _NotDeclared(Exception):  # noqa: N818 - it is no error
    """The model does not claim this ability."""


def _need(model: object, protocol: type) -> Any:
    if not isinstance(model, protocol):
        raise _NotDeclared
    return model


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ContractError(message)


def _same(a: Tensor, b: Tensor, what: str) -> None:
    _require(a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)} differ")
    a, b = a.detach(), b.detach()
    if a.is_floating_point():
        a, b = a.detach(), b.detach()
        gap = float((a - b).abs().max()) if a.numel() else 0.0
        scale = max(1.0, float(a.abs().max()) if a.numel() else 1.0)
        _require(gap <= TOLERANCE * scale, f"{what}: differs by {gap:.3g}")
    else:
        _require(torch.equal(a, b), f"{what}: differs")


def _all_losses(model: Any, x: Batch, rng: Streams) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for turn in model.turns:
        terms: Mapping[str, Tensor] = model.losses(x, turn.player, rng)
        found |= {f"{turn.player}/{name}": value.detach() for name, value in terms.items()}
    return found


def check_declares_something(model: Any, x: Batch) -> None:
    """A model implements at least one of Trainable, Generative, Likelihood, Codec."""
    del x
    kinds = (Trainable, Generative, Likelihood, Codec)
    _require(any(isinstance(model, kind) for kind in kinds), "it implements none of the protocols")


def check_losses_are_per_sample(model: Any, x: Batch) -> None:
    """Losses are finite, one number for each sample, never averaged."""
    for name, value in _all_losses(_need(model, Trainable), x, Streams.of(0, len(x))).items():
        _require(value.shape == (len(x),), f"loss {name} has shape {tuple(value.shape)}, expected ({len(x)},)")
        _require(torch.isfinite(value).all(), f"loss {name} is not finite")


def check_every_weight_learns(model: Any, x: Batch) -> None:
    """Every parameter belongs to a player and gets a gradient in that player's turn."""
    model = copy.deepcopy(_need(model, Trainable))
    players = {name: list(parameters) for name, parameters in model.players().items()}
    owned = {id(parameter) for parameters in players.values() for parameter in parameters}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    orphans = [name for key, name in names.items() if key not in owned]
    _require(not orphans, f"no player owns {orphans[:3]}")
    for player, parameters in players.items():
        model.zero_grad(set_to_none=True)
        terms = model.losses(x, player, Streams.of(0, len(x)))
        torch.stack([value.mean() for value in terms.values()]).sum().backward()
        still = [names.get(id(p), "?") for p in parameters if p.grad is None or not bool((p.grad != 0).any())]
        _require(not still, f"in the turn of {player!r} no gradient reaches {still[:3]}")


def check_same_seed_same_losses(model: Any, x: Batch) -> None:
    """The same streams give the same losses; other streams may not."""
    model = _need(model, Trainable)
    first, second = (_all_losses(model, x, Streams.of(1, len(x))) for _ in range(2))
    for name, value in first.items():
        _require(torch.equal(value, second[name]), f"loss {name} differs between two calls with the same streams")


def check_order_does_not_matter(model: Any, x: Batch) -> None:
    """Permuting a batch together with its streams permutes the losses."""
    model = _need(model, Trainable)
    order = torch.arange(len(x) - 1, -1, -1)
    rng = Streams.of(2, len(x))
    plain, turned = _all_losses(model, x, rng), _all_losses(model, x.take(order), rng.take(order))
    for name, value in plain.items():
        _same(value[order], turned[name], f"loss {name} of the permuted batch")


def check_padding_is_ignored(model: Any, x: Batch) -> None:
    """What stands where the mask is false changes no loss."""
    model = _need(model, Trainable)
    if x.mask is None or bool(x.mask.all()):
        raise _NotDeclared
    other = {}
    for name, value in x.fields.items():
        if value.shape[: x.mask.ndim] == x.mask.shape:
            hole = x.mask.reshape(*x.mask.shape, *[1] * (value.ndim - x.mask.ndim))
            other[name] = torch.where(hole, value, torch.zeros_like(value))
        else:
            other[name] = value
    rng = Streams.of(3, len(x))
    plain, holed = _all_losses(model, x, rng), _all_losses(model, replace(x, fields=other), rng)
    for name, value in plain.items():
        _same(value, holed[name], f"loss {name} with other padding")


def check_float64(model: Any, x: Batch) -> None:
    """The model works in float64."""
    model = copy.deepcopy(_need(model, Trainable)).double()
    fields = {name: value.double() if value.is_floating_point() else value for name, value in x.fields.items()}
    for name, value in _all_losses(model, replace(x, fields=fields), Streams.of(0, len(x))).items():
        _require(torch.isfinite(value).all(), f"loss {name} is not finite in float64")


def check_no_global_rng(model: Any, x: Batch) -> None:
    """Neither losses nor samples touch the global random state."""
    before = torch.random.get_rng_state()
    if isinstance(model, Trainable):
        _all_losses(model, x, Streams.of(0, len(x)))
    if isinstance(model, Generative):
        model.sample(2, rng=Streams.of(0, 2))
    _require(torch.equal(before, torch.random.get_rng_state()), "the global random state has changed")


def check_samples_do_not_depend_on_the_batch(model: Any, x: Batch) -> None:
    """Sample 3 of a seed is the same alone and among 5, and the same again."""
    del x
    model = _need(model, Generative)
    rng = Streams.of(4, 5)
    whole, again, alone = model.sample(5, rng=rng), model.sample(5, rng=rng), model.sample(1, rng=rng.take(slice(3, 4)))
    if whole.mask is not None and alone.mask is not None:
        _same(whole.mask[3:4].sum(1), alone.mask.sum(1), "length of sample 3 alone")
    for name, value in whole.fields.items():
        _require(torch.equal(value, again[name]), f"field {name} differs between two calls with the same streams")
        row, own = value[3:4], alone[name]
        if whole.mask is not None:
            # Padding goes by the largest sample of a batch.
            row = row[tuple(slice(size) for size in own.shape)]
        _same(row, own, f"field {name} of sample 3 alone")


def check_likelihood(model: Any, x: Batch) -> None:
    """Log p(x) is finite, names its bound, and does not depend on the batch."""
    model = _need(model, Likelihood)
    _require(model.bound in {"exact", "lower", "unnormalised"}, f"unknown bound {model.bound!r}")
    rng = Streams.of(5, len(x))
    whole, alone = model.log_prob(x, rng), model.log_prob(x.take(slice(1, 2)), rng.take(slice(1, 2)))
    _require(whole.shape == (len(x),), f"log_prob has shape {tuple(whole.shape)}, expected ({len(x)},)")
    _require(torch.isfinite(whole).all(), "log_prob is not finite")
    _same(whole[1:2], alone, "log_prob of sample 1 alone")


def check_code(model: Any, x: Batch) -> None:
    """A code has named parts with one row a sample, does not depend on the batch, and decodes to as many samples.

    The parts that heads read are there, one vector a sample, and a code decodes alone to what it decodes to in company.
    """
    model = _need(model, Codec)
    rng = Streams.of(6, len(x))
    code, alone = model.encode(x, rng), model.encode(x.take(slice(1, 2)), rng.take(slice(1, 2)))
    for name, value in code.items():
        _require(len(value) == len(x), f"part {name} has {len(value)} rows for {len(x)} samples")
        _same(value[1:2], alone[name], f"part {name} of sample 1 alone")
    _require(len(model.parts) > 0, "it names no part of its code under parts")
    for name in model.parts:
        _require(name in code, f"parts names {name!r}, which the code has not")
        _require(code[name].ndim == 2, f"part {name} has shape {tuple(code[name].shape)}, expected (b, d)")
    back = model.decode(code, rng)
    _require(len(back) == len(x), "decode gives another number of samples")
    _same_row(back, model.decode(alone, rng.take(slice(1, 2))), 1, "decoded sample 1")


def check_proposals(model: Any, x: Batch) -> None:
    """Proposals have the fields that the model takes, as many rows, and row 1 does not depend on the others."""
    model = _need(model, Proposes)
    if "strength" not in signature(model.propose).parameters:  # a protocol is known by its names alone
        raise _NotDeclared
    rng = Streams.of(7, len(x))
    for strength in (0.2, 1.0):
        whole = model.propose(x, strength, rng)
        _require(len(whole) == len(x), "propose gives another number of samples")
        alone = model.propose(x.take(slice(1, 2)), strength, rng.take(slice(1, 2)))
        _same_row(whole, alone, 1, "proposal 1")
        model.propose(whole, strength, rng)


def _same_row(whole: Batch, alone: Batch, at: int, what: str) -> None:
    """Row ``at`` of a batch is the same in company and alone; padding goes by the largest sample of a batch."""
    if whole.mask is not None and alone.mask is not None:
        _same(whole.mask[at : at + 1].sum(1), alone.mask.sum(1), f"length of {what} alone")
    for name, value in whole.fields.items():
        row, own = value[at : at + 1], alone[name]
        if whole.mask is not None:
            row = row[tuple(slice(size) for size in own.shape)]
        _same(row, own, f"field {name} of {what} alone")


def check_save_and_load(model: Any, x: Batch) -> None:
    """A model stored and loaded is the same model."""
    del x
    model = _need(model, Pretrained)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "artifact")
        loaded = type(model).from_pretrained(Path(folder) / "artifact")
    _require(loaded.settings == model.settings, "the settings differ after loading")
    before, after = model.tensors(), loaded.tensors()
    _require(before.keys() == after.keys(), "the names of the tensors differ after loading")
    for name, value in before.items():
        # Compared as numbers with NaN equal to itself: NaN marks what is not measured yet.
        same = value.shape == after[name].shape and value.dtype == after[name].dtype
        same = same and bool(torch.isclose(value, after[name], rtol=0, atol=0, equal_nan=True).all())
        _require(same, f"tensor {name} differs after loading")


CHECKS: Sequence[Callable[[Any, Batch], None]] = (
    check_declares_something,
    check_losses_are_per_sample,
    check_every_weight_learns,
    check_same_seed_same_losses,
    check_order_does_not_matter,
    check_padding_is_ignored,
    check_float64,
    check_no_global_rng,
    check_samples_do_not_depend_on_the_batch,
    check_likelihood,
    check_code,
    check_proposals,
    check_save_and_load,
)


def check(model: Any, x: Any, *, strict: bool = True) -> list[Verdict]:
    """Ask a model to keep the contracts that it declares.

    Args:
        model: any model.
        x: an example batch of at least 4 samples, with padding if the model's data have any.
        strict: raise on the first broken contract.

    Returns:
        One verdict for each check.

    Raises:
        ContractError: if ``strict`` and a contract is broken; the message names check and model.
        InputError: if ``x`` is no batch that the model can learn from, or ``model`` is none.
    """
    if not isinstance(x, Batch):
        raise InputError(f"check takes an example batch of the model's samples, got {type(x).__name__}; {MAKE}")
    if not isinstance(model, Pretrained) and isinstance(inner := getattr(model, "model", None), Pretrained):
        raise InputError(
            f"check takes the model itself, got a {type(model).__name__} around a {type(inner).__name__}; "
            f"pass its .model"
        )
    if len(x) < LEAST:
        raise InputError(f"check needs an example batch of at least {LEAST} samples, got {len(x)}")
    verdicts = []
    for each in CHECKS:
        name = each.__name__.removeprefix("check_")
        try:
            each(model, x)
            verdicts.append(Verdict(name, "ok"))
        except _NotDeclared:
            verdicts.append(Verdict(name, "not declared"))
        except InputError as error:
            raise InputError(f"{type(model).__name__} cannot use the example batch ({name}): {error}; {MAKE}") from None
        except ContractError as error:
            if strict:
                raise ContractError(f"{type(model).__name__} breaks {name!r}: {error}") from None
            verdicts.append(Verdict(name, "failed", str(error)))
    return verdicts
