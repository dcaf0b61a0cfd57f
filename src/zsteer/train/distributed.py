"""Several processes, one run: launch by torchrun, check the world, average gradients by DDP.

Every process draws the same global batch and takes its own slice, with the stream ids of the global batch, so one and
two processes see the same numbers. Terms that couple the samples of a batch (MMD, for one) see a process's slice only.
"""

import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from zsteer.core.batch import Batch
from zsteer.core.rng import Streams
from zsteer.errors import SettingsError

__all__ = ["World", "launch", "parallel"]


@dataclass(frozen=True)
class World:
    """The processes of a run: ``rank`` of ``size``."""

    rank: int = 0
    size: int = 1

    @staticmethod
    def join(expected: int) -> "World":
        """Join the processes that torchrun started, or be alone.

        Args:
            expected: how many there should be.

        Raises:
            SettingsError: if another number of processes came up.
        """
        if "RANK" in os.environ and "WORLD_SIZE" in os.environ and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        world = World(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else World()
        if world.size != expected:
            raise SettingsError(f"expected {expected} processes, {world.size} came up; start with --devices {expected}")
        return world

    def leave(self) -> None:
        """End the group of processes."""
        if dist.is_initialized():
            # DDP keeps the group, with its threads, in reference cycles. A thread that is left when the interpreter
            # ends may abort the process, and torchrun would then kill the one that still writes the artifact.
            gc.collect()
            dist.destroy_process_group()
            gc.collect()

    def share(self, n: int) -> slice:
        """The rows of a global batch of ``n`` that belong to this process.

        Raises:
            SettingsError: if ``n`` does not divide by the number of processes.
        """
        if n % self.size:
            raise SettingsError(f"a batch of {n} cannot be cut for {self.size} processes; choose a multiple")
        each = n // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def total(self, value: Tensor) -> Tensor:
        """Sum of a number over all processes."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def wait(self) -> None:
        """Wait for the others."""
        if self.size > 1:
            dist.barrier()


class _Losses(nn.Module):
    """A model's losses as a forward pass, which is what DDP can wrap."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Batch, player: str, rng: Streams) -> Mapping[str, Tensor]:
        return self.model.losses(x, player, rng)  # type: ignore[operator]


def parallel(model: nn.Module, world: World, *, several_players: bool) -> Callable[..., Mapping[str, Tensor]]:
    """A callable that gives the model's losses, with gradients averaged over the processes."""
    if world.size == 1:
        return model.losses  # type: ignore[return-value]
    with warnings.catch_warnings():
        # Newer releases rename the argument, older ones know only this name.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)
        return DistributedDataParallel(_Losses(model), broadcast_buffers=False, find_unused_parameters=several_players)


def launch(arguments: Sequence[str], processes: int) -> int:
    """Start the command line again in ``processes`` processes by torchrun.

    Args:
        arguments: what follows ``zsteer`` on the command line.
        processes: how many.

    Returns:
        The exit status.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    return subprocess.run([*torchrun, "-m", "zsteer.cli.main", *arguments], env=environment, check=False).returncode
