"""A short autotune: which precision and memory format trains a given net fastest on this machine.

Half precision pays on some processors and costs on others, and channels-last helps some nets and hurts the next: it is
measured, on the net itself, once a machine. The answer is kept in the user's cache folder, so that a run that is
resumed computes as it began; without a writable cache it is measured again.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zsteer.core.cache import cache_folder
from zsteer.core.files import new_file

__all__ = ["Tuned", "autotune", "cache_file"]

REPEATS = 3


@dataclass(frozen=True)
class Tuned:
    """What to run a net with.

    Args:
        half: bfloat16 autocast.
        channels_last: convolutions with the channels innermost in memory.
    """

    half: bool = False
    channels_last: bool = False

    def format(self, net: nn.Module) -> None:
        """Lay the weights of a net out in memory as chosen."""
        if self.channels_last:
            net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - torch's stub lacks it


def cache_file() -> Path:
    """Where the answers are kept."""
    return cache_folder() / "autotune.json"


def _machine() -> str:
    model = platform.processor()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model} {os.cpu_count()} torch {torch.__version__}"


def autotune(net: nn.Module, call: Callable[[nn.Module], Tensor]) -> Tuned:
    """Time a forward and backward pass in each precision and memory format, and take the fastest.

    Args:
        net: the net; its weights are left as they are, its gradients empty.
        call: runs the net on an example and returns what is differentiated, for example a sum.
    """
    device = next(net.parameters()).device
    if device.type == "cuda":
        return Tuned(half=True, channels_last=True)
    shapes = [(name, tuple(weight.shape)) for name, weight in net.named_parameters()]
    key = hashlib.blake2b(f"{_machine()} {shapes}".encode(), digest_size=12).hexdigest()
    known = _read()
    if key in known:
        return Tuned(**known[key])
    seconds = {Tuned(half=half, channels_last=last): _time(net, call, half, last) for half, last in _choices()}
    best = min(seconds, key=lambda tuned: seconds[tuned])
    net.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
    net.zero_grad(set_to_none=True)
    _write({**_read(), key: asdict(best)})
    return best


def _choices() -> list[tuple[bool, bool]]:
    return [(half, last) for half in (False, True) for last in (False, True)]


def _time(net: nn.Module, call: Callable[[nn.Module], Tensor], half: bool, last: bool) -> float:  # noqa: FBT001
    """Least seconds of a few passes: the one that no other process disturbed."""
    memory = torch.channels_last if last else torch.contiguous_format
    net.to(memory_format=memory)  # pyright: ignore[reportCallIssue] - torch's stub lacks it
    times: list[float] = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            found = call(net)
        found.backward()  # pyright: ignore[reportUnknownMemberType]
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _read() -> dict[str, dict[str, bool]]:
    with suppress(OSError, ValueError):
        found = json.loads(cache_file().read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items() if set(value) == {"half", "channels_last"}}
    return {}


def _write(known: dict[str, dict[str, bool]]) -> None:
    # A machine without a writable cache measures again; nothing else depends on it.
    with suppress(OSError):
        cache_file().parent.mkdir(parents=True, exist_ok=True)
        with new_file(cache_file(), overwrite=True) as partial:
            partial.write_text(json.dumps(known, indent=1), encoding="utf-8")
