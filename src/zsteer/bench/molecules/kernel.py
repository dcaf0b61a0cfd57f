"""The network of EDM beside the one it was published with, and the rate of sampling that follows.

The peer is ``egnn/egnn_new.py`` of a checkout of ehoogeboom/e3_diffusion_for_molecules that the person who runs this
has fetched (``--peer FOLDER``); it is run as it is, and its weights are put into ours. One thread, CPU-seconds, the
least of several repeats; ours and the peer take turns, so that whatever else the machine does falls on both.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zsteer.core.rng import Streams, initialised
from zsteer.errors import InputError
from zsteer.evaluate.report import Cell, Table
from zsteer.models.edm.edm import EDM
from zsteer.models.edm.settings import EDMSettings
from zsteer.nets.egnn import EGNN, EGNNSettings
from zsteer.sample.solvers import walk
from zsteer.train.threads import threads_of

__all__ = ["Kernels", "Padded", "edm_model", "edm_size", "peer_net", "tables", "with_weights_of"]

Watch = Callable[[dict[str, Any]], None]
FEATURES, WIDTH, LAYERS, PADDED = 7, 256, 9, 29
"""Features of an atom (five kinds, charge, time), sizes of the published net, and the largest molecule of QM9."""
SHAPES = ((8, 18), (4, 29))
QUICK_SHAPES = ((2, 18), (1, 29))
MEAN_SIZE, WALK = 18, 20
WAYS = ("peer", "fp32", "bf16", "shared", "shared bf16")


def edm_size(*, fused: bool = True, shared: bool = False) -> EGNN:
    """The published network in our layout, moves of some size (fresh ones are a thousandth)."""
    with initialised(0):
        net = EGNN(EGNNSettings(FEATURES, width=WIDTH, layers=LAYERS, fused=fused, shared=shared))
    return net


def peer_net(folder: Path) -> nn.Module:
    """The peer's network with the settings of its published run.

    Raises:
        InputError: if the folder is no checkout of the peer.
    """
    path = folder / "egnn" / "egnn_new.py"
    spec = importlib.util.spec_from_file_location("peer_egnn", path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise InputError(
            f"expected a checkout of ehoogeboom/e3_diffusion_for_molecules, but {path} is not there; clone it and pass "
            f"--peer FOLDER"
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with initialised(1):
        made: nn.Module = module.EGNN(
            *(FEATURES, 1, WIDTH),
            n_layers=LAYERS,
            attention=True,
            tanh=True,
            norm_constant=1,
            inv_sublayers=1,
            normalization_factor=1,
        )
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if name.endswith("coord_mlp.4.weight"):
                # Fresh weights hardly move: of that size the moves are worth comparing.
                weight.mul_(10)
    return made


def with_weights_of(peer: nn.Module) -> EGNN:
    """Our network with the peer's weights: the layers are the same, the names are ours."""
    net, theirs = edm_size(), dict(peer.state_dict())
    found: dict[str, Tensor] = {}
    pairs = {"enter": "embedding", "leave": "embedding_out"}
    for k in range(LAYERS):
        ours, block = f"blocks.{k}", f"e_block_{k}"
        pairs |= {
            f"{ours}.messages.0.first": f"{block}.gcl_0.edge_mlp.0",
            f"{ours}.messages.0.second": f"{block}.gcl_0.edge_mlp.2",
            f"{ours}.messages.0.attention": f"{block}.gcl_0.att_mlp.0",
            f"{ours}.nodes.0.0": f"{block}.gcl_0.node_mlp.0",
            f"{ours}.nodes.0.2": f"{block}.gcl_0.node_mlp.2",
            f"{ours}.moves.first": f"{block}.gcl_equiv.coord_mlp.0",
            f"{ours}.moves.second": f"{block}.gcl_equiv.coord_mlp.2",
            f"{ours}.moves.move": f"{block}.gcl_equiv.coord_mlp.4",
        }
    for ours, other in pairs.items():
        for kind in ("weight", "bias"):
            if f"{other}.{kind}" in theirs:
                found[f"{ours}.{kind}"] = theirs[f"{other}.{kind}"]
    net.load_state_dict(found)
    return net


@dataclass(frozen=True)
class Padded:
    """The peer's call on molecules of n atoms that are padded to m: rows of all atoms, pairs listed one by one.

    Args:
        net: the peer.
        h: features, ``(b, n, f)``.
        x: coordinates, ``(b, n, 3)``.
        m: atoms with padding.
    """

    net: nn.Module
    h: Tensor
    x: Tensor
    m: int

    def __post_init__(self) -> None:
        (b, n, _), m = self.h.shape, self.m
        place = torch.arange(b * m).view(b, m)
        rows, cols = place[:, :, None].expand(b, m, m), place[:, None].expand(b, m, m)
        real = (torch.arange(m) < n).float().expand(b, m)
        mask = real[:, :, None] * real[:, None] * (1 - torch.eye(m))
        for name, value in {
            "edges": [rows.flatten(), cols.flatten()],
            "real": real.reshape(-1, 1),
            "mask": mask.reshape(-1, 1),
            "flat": tuple(nn.functional.pad(one, (0, 0, 0, m - n)).flatten(0, 1) for one in (self.h, self.x)),
        }.items():
            object.__setattr__(self, name, value)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Features and moves of the real atoms, as ours gives them."""
        h, x = self.__dict__["flat"]
        out, moved = self.net(h, x, self.__dict__["edges"], self.__dict__["real"], self.__dict__["mask"])
        b, n = self.h.shape[:2]
        move = (moved - x).view(b, self.m, 3)[:, :n]
        return out.view(b, self.m, -1)[:, :n], move - move.mean(1, keepdim=True)


def _seconds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least CPU-seconds of each call; they take turns."""
    best = dict.fromkeys(calls, float("inf"))
    for k in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            # The first round warms up.
            best[name] = min(best[name], time.process_time() - start) if k else best[name]
    return best


def _both(call: Callable[[], tuple[Tensor, Tensor]]) -> Callable[[], None]:
    def run() -> None:
        h, v = call()
        (h.square().sum() + v.square().sum()).backward()

    return run


def _forward(call: Callable[[], tuple[Tensor, Tensor]]) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return call()

    return run


def _half(call: Callable[[], tuple[Tensor, Tensor]], *, on: bool) -> Callable[[], tuple[Tensor, Tensor]]:
    def run() -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16) if on else nullcontext():
            return call()

    return run


@dataclass(frozen=True)
class Kernels:
    """What is compared: the peer (if it is there), ours with its weights, and ours with shared messages."""

    peer: nn.Module | None
    ours: EGNN
    shared: EGNN

    def calls(self, shape: tuple[int, int, int]) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
        """A call of each on the same molecules: how many, of how many atoms, padded to how many for the peer."""
        b, n, m = shape
        rng = Streams.of(0, b)
        h, x = rng.normal("h", (n, FEATURES)), 2 * rng.normal("x", (n, 3))
        found: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {}
        if self.peer is not None:
            found["peer"] = Padded(self.peer, h, x, m)
        for name, net in (("fp32", self.ours), ("shared", self.shared)):
            for half in (False, True):
                way = f"{name} bf16" if half and name == "shared" else "bf16" if half else name
                found[way] = _half(lambda net=net: net(h, x), on=half)
        return found

    def gap(self, calls: dict[str, Callable[[], tuple[Tensor, Tensor]]]) -> float:
        """Largest difference of a number of ours in fp32 from the peer's."""
        if "peer" not in calls:
            return float("nan")
        with torch.no_grad():
            return max(float((a - b).abs().max()) for a, b in zip(calls["peer"](), calls["fp32"](), strict=True))


@contextmanager
def _no_subnormals() -> Iterator[None]:
    """Numbers below the least normal one are 0 in this thread, and in those that it starts."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


# Around all of it: threads take this from the one that starts them.
@_no_subnormals()
def tables(*, quick: bool, watch: Watch, peer: Path | None = None) -> Sequence[Table]:
    """The kernel beside its peer, and the rate of sampling.

    Args:
        quick: fewer molecules and repeats.
        watch: called with progress.
        peer: folder with the peer's repository; ours alone when None.
    """
    theirs = None if peer is None else peer_net(peer)
    made = Kernels(theirs, edm_size() if theirs is None else with_weights_of(theirs), edm_size(shared=True))
    shapes, repeats = (QUICK_SHAPES, 1) if quick else (SHAPES, 6)
    many = shapes[0][0]
    # Padding is the peer's alone.
    padding = () if theirs is None else ((many, MEAN_SIZE, PADDED),)
    rows: list[list[Cell]] = []
    padded = float("nan")
    with threads_of(1):
        for b, n, m in (*((b, n, n) for b, n in shapes), *padding):
            calls = made.calls((b, n, m))
            gap = made.gap(calls)
            for what, wrap in (("forward", _forward), ("forward + backward", _both)):
                watch({"doing": f"{what}, {b} molecules of {n} atoms"})
                seconds = _seconds({name: wrap(call) for name, call in calls.items()}, repeats)
                if m != n and what == "forward":
                    padded = seconds.get("peer", float("nan"))
                name = f"{b} x {n}" if m == n else f"{b} x {n}, peer padded to {m}"
                rows.append([name, what, *_cells(seconds), f"{gap:.1e}"])
    times = [head for way in WAYS[1:] for head in (f"{way} [s]", f"{way} x")]
    kernel = Table(
        "EDM's network, CPU-seconds on one thread, and how many times less than the peer",
        ["molecules x atoms", "pass", "peer [s]", *times, "max difference"],
        rows,
        NOTES if theirs is not None else (*NOTES, "no peer: pass --peer FOLDER, a checkout of its repository"),
    )
    return [kernel, _rate(padded / many, quick=quick, watch=watch)]


NOTES = (
    "peer: egnn/egnn_new.py of ehoogeboom/e3_diffusion_for_molecules, width 256, 9 layers; ours has its weights",
    "max difference: of outputs, ours in fp32 from the peer's; bf16: products in bfloat16, coordinates in float32",
    "shared: the coordinate head reads the message (another function, not the peer's); weights of its own",
    "subnormal numbers, which fresh weights make and trained ones do not, are flushed to 0 for all",
    "targets, forward + backward: fp32 2.5 times less, bf16 5, a molecule without padding 9",
)


def _cells(seconds: dict[str, float]) -> list[Cell]:
    peer = seconds.get("peer", float("nan"))
    return [peer, *(cell for way in WAYS[1:] for cell in (seconds[way], peer / seconds[way]))]


def _rate(padded: float, *, quick: bool, watch: Watch) -> Table:
    """Molecules a second with a net of EDM's size, on two threads; ``padded`` are the peer's seconds a molecule."""
    n = 2 if quick else 32
    rows: list[list[Cell]] = []
    model = edm_model()
    for_size = model.for_size(MEAN_SIZE)
    rng = Streams.of(0, n)
    for threads in (1, 2):
        watch({"doing": f"sampling {n} molecules, {threads} threads"})
        with threads_of(threads):
            x = for_size.noise.prior(for_size.like(n, rng), rng)
            walk(for_size.denoiser(None, n), x, rng, solver="multistep2", steps=2)
            start, used = time.perf_counter(), time.process_time()
            walk(for_size.denoiser(None, n), x, rng, solver="multistep2", steps=WALK)
            wall, cpu = time.perf_counter() - start, time.process_time() - used
        rows.append([f"ours, {WALK} steps", threads, n / wall, cpu / n])
    rows.append(["peer, 1000 steps, computed from its call", 1, f"{1 / (1000 * padded):.4f}", 1000 * padded])
    return Table(
        f"Sampling molecules of {MEAN_SIZE} atoms, net of EDM's size",
        ["what", "threads", "molecules / s", "CPU-s / molecule"],
        rows,
        (
            "the net is untrained: its cost does not depend on what it has learned; float32, wall time, multistep2",
            f"peer: 1000 of its forward calls padded to {PADDED} atoms, CPU-seconds of one thread, nothing else of it",
            "target: 5 molecules / s on two threads",
        ),
    )


def edm_model() -> EDM:
    """EDM as published for QM9, with fresh weights."""
    settings = EDMSettings(
        kinds=tuple((z, 0, 0) for z in (1, 6, 7, 8, 9)),
        bonds=(),
        hydrogens="explicit",
        unit=1.0,
        scale=0.25,
        numbers=0.1,
        schedule="polynomial",
        gap=1e-5,
        target="eps",
        self_conditioning=False,
        net="egnn",
        width=WIDTH,
        layers=LAYERS,
        largest=PADDED,
    )
    with initialised(0):
        return EDM(settings).eval()
