"""Wrong command lines, made of good ones and of the flags that the help pages list, each broken in one place.

A wrong line must end with the status 2, say so in at most three lines and 700 letters, leave nothing behind, and end
within a limit of time. Each runs in a process of its own, forked from one that has imported everything.
"""

import contextlib
import io
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random

__all__ = ["GOOD", "Answer", "answers", "ask", "breaks", "flags_of", "prepare"]

HANG = 30
"""Seconds of the processor after which a command line hangs; of the clock six times as many."""
SPACE = 12 << 30
LONGEST = 700
LINES = 3

RECEPTORS = "junction_aa\nCASSLGQAYEQYF\nCASSPVTGGIYGYTF\n"
ROWS = "x,y\n" + "".join(f"{k * 0.1:.1f},{(k * 7) % 5 * 0.3:.1f}\n" for k in range(60))
WATER = "3\nwater\nO 0.0 0.0 0.1173\nH 0.0 0.7572 -0.4692\nH 0.0 -0.7572 -0.4692\n"
FILES = {
    "r.tsv": RECEPTORS,
    "rows.csv": ROWS,
    "m.smi": "CCO ethanol\n",
    "w.xyz": WATER,
    "broken.tsv": "junction_aa\nCASSLG7\n",
    "empty.csv": "",
    "r.yaml": "name: vae\ndataset: ring-8\nsize: xs\nsteps: 4\n",
    "binary.sdf": "\x00\x01\x02",
    "bad.yaml": "name: [vae\n",
    "key.yaml": "name: vae\nstepz: 4\n",
    "type.yaml": "name: vae\nsteps: lots\n",
    "list.yaml": "- 1\n- 2\n",
    "notes.txt": "hello\n",
    "folder/keep.txt": "mine\n",
}

GOOD: Mapping[str, Sequence[str]] = {
    "train": (
        "train vae --dataset ring-8 --size xs --steps 2 --out new",
        "train ddpm --dataset ring-8 --size xs --steps 1 --out new",
        "train rbm --dataset ring-8 --size xs --steps 1 --out new",
        "train wgan --dataset ring-8 --size xs --steps 1 --out new",
        "train molecules --size xs --steps 1 --out new",
        "train r.yaml --out new",
    ),
    "sample": (
        "sample vae --number 3 --out new.csv",
        "sample tcr-lm --number 2 --out new.fasta",
        "sample fashion-ddpm --number 1 --steps 1 --given class=boot --out new.npz",
        "sample qm9-edm --number 1 --steps 1 --out new.sdf",
    ),
    "steer": (
        "steer tcr-editor --input r.tsv --toward binds=YLQPRTFLL --max-edits 1 --out new.tsv",
        "steer fashion-ddpm --toward brightness=0.4 --number 1 --steps 1 --out new.png",
        "steer qm9-edm --toward logp=2 --number 1 --steps 1 --out new.sdf",
        "steer vae --input rows.csv --toward x=1 --by search --out new.csv",
    ),
    "evaluate": (
        "evaluate r.tsv --protocol tcr --toward binds=YLQPRTFLL",
        "evaluate rows.csv --protocol likelihood --models vae",
        "evaluate rows.csv --protocol two-sample --reference rows.csv",
        "evaluate w.xyz --protocol edm-2022 --reference w.xyz",
    ),
    "convert": (
        "convert m.smi new.sdf --workers 1",
        "convert w.xyz new.extxyz",
        "convert rows.csv --report",
    ),
    "bench": ("bench tcr --quick --out new",),
    "recipes": ("recipes",),
    "doctor": ("doctor",),
    "demo": ("demo --out new",),
}
"""Command -> lines that work."""

WEIGHTS = {"recipes": 0.3, "doctor": 0.3, "demo": 0.6, "bench": 0.7}
WRONG_OF = {
    "INT": ("abc", "", "1.5", "nan", "inf", "1e3", "0x10", "--", "1 2", "\u4e09", "one", "None,", "1,000", "true"),
    "FLOAT": ("abc", "", "1,5", "one", "--", "1..2", "\u221e", "1e", "0x1p3"),
    "device": ("gpu", "cuda:99", "", "mps", "meta", "cpu:-1", "xla", "CPU ", "cuda:x", "\u4e2d", "hpu", "cpu,cpu"),
}
COUNTS = {
    *(
        "number",
        "top",
        "limit",
        "max-heavy",
        "threads",
        "devices",
        "steps",
        "batch",
        "pool",
        "width",
        "layers",
        "units",
    ),
    *("k", "chains", "samples", "latent", "largest", "pair-width", "temperatures", "runs"),
}
BOUNDLESS = {"max-heavy", "largest", "limit", "top", "pool"}
"""Counts that may be larger than anything there is."""
NOT_NEGATIVE = {"workers", "max-edits", "triangles", "decay", "strength", "scale"}
POSITIVE = {"lr", "tolerance", "noise", "weight", "penalty"}
PLACES = ("input", "reference", "models", "splits", "resume", "examples")
NO_FILE = (
    *("nowhere.tsv", "no/where.csv", "a\nb.csv", "x" * 300 + ".csv", "\u4e16.npz", "/dev/null", "notes.txt"),
    *("empty.csv", "folder", "broken.tsv/x", "binary.sdf"),
)
NO_OUT = (
    "notes.txt/x.csv",
    "folder",
    "x" * 300 + ".csv",
    "/proc/new.csv",
    "/dev/full",
    "r.tsv",
    "vae",
    "new.csv.bz2",
    ".",
)
TERMS = (
    *("", "=", "a", "a=", "=b", "nosuch=1", "class=", "class=boat", "steps=0", "solver=fast", "scale=inf", "binds=XYZ"),
    *("binds=" + "A" * 3000, "logp=nan", "logp=1e300", "\u00e9=1", "mu=1e999", "peptide=", "like=nowhere.tsv"),
    *("like=folder", "brightness=2e400", "brightness=x", "brightness=50", "ends=-1", "length=maybe", "a\nb=1", "x=1e9"),
)
NO_MODEL = (
    "tcr-lmm",
    "",
    "nowhere/x",
    "folder",
    "notes.txt",
    "..",
    "tcr_lm",
    "https://example.org/x",
    "vae/checkpoints",
    "a\nb",
)
NO_RECIPE = ("vaee", "", "VAE", "../vae", "bad.yaml", "key.yaml", "type.yaml", "list.yaml", "nowhere.yaml", "a\nb")

Break = tuple[str, list[str]]
"""What was broken, and the line."""


@dataclass(frozen=True)
class Answer:
    """What came of a wrong line.

    Args:
        number: of the line.
        what: was broken.
        line: the words.
        problem: what is wrong with the answer; empty where it is right.
        said: on standard error.
    """

    number: int
    what: str
    line: Sequence[str]
    problem: str
    said: str


def prepare(folder: Path) -> None:
    """Small inputs, a small model, and files that are inputs of nothing.

    Raises:
        RuntimeError: if the model cannot be trained.
    """
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    words = ["train", "vae", "--dataset", "ring-8", "--size", "xs", "--steps", "4", "--out", "vae"]
    code, _, said = ask(words)
    if code != "0":
        raise RuntimeError(f"the small model cannot be trained: {said}")


def flags_of(page: str) -> dict[str, str | list[str] | None]:
    """Flags of a help page: name -> INT, FLOAT, PATH, STR, a list of choices, or None for a switch."""
    found: dict[str, str | list[str] | None] = {}
    for line in page.splitlines():
        hit = re.match(r"^[\u2502|\s]*(?:-\w \w+, )?--([a-z][\w-]*)(?:, --no-[\w-]+| ((?:\{[^}]*\}\|?)*[A-Z]*))?", line)
        if hit and hit[1] != "help":
            kind = (hit[2] or "").replace("{None}|", "").strip()
            found[hit[1]] = kind[1:-1].split(",") if kind.startswith("{") else kind or None
    return found


def _with(words: Sequence[str], flag: str, value: str) -> list[str]:
    """The line with this value of a flag."""
    line = list(words)
    if f"--{flag}" in line[:-1]:
        line[line.index(f"--{flag}") + 1] = value
        return line
    return [*line, f"--{flag}", value]


def _of_flags(rng: Random, words: Sequence[str], flags: Mapping[str, str | list[str] | None]) -> Iterator[Break]:
    for flag, kind in flags.items():
        if kind is None:
            continue
        typed = kind if isinstance(kind, str) else ""
        yield "a flag without a value", [*words, f"--{flag}"]
        wrong = WRONG_OF["device"] if flag == "device" else WRONG_OF.get(typed, ())
        if wrong:
            yield f"a value of another type of {flag}", _with(words, flag, rng.choice(wrong))
        if isinstance(kind, list):
            choice = rng.choice(["", "nope", kind[0].upper(), kind[0] + " ", ",".join(kind)])
            yield f"no choice of {flag}", _with(words, flag, choice)
        if typed == "INT" and flag in COUNTS:
            yield f"{flag} below 1", _with(words, flag, rng.choice(["0", "-1", "-999999999999"]))
            if flag not in BOUNDLESS:
                yield f"{flag} beyond any machine", _with(words, flag, rng.choice(["9" * 19, "1" + "0" * 30]))
        if flag in NOT_NEGATIVE | POSITIVE and typed in WRONG_OF:
            yield f"{flag} below 0", _with(words, flag, "-1")
        if flag in PLACES:
            yield f"{flag} that is none", _with(words, flag, rng.choice(NO_FILE))


def _of_names(rng: Random, words: Sequence[str], flags: Mapping[str, str | list[str] | None]) -> Iterator[Break]:
    name = rng.choice(sorted(flags)) if flags else "json"
    for wrong in (f"--{name}z", f"--{name.upper()}", f"--{name}{name}", "--\u0441eed", "---", "-x", "-\u00e9"):
        yield "an unknown flag", [*words, wrong]
    yield "a word too many", [*words, rng.choice(["extra", "\u00e9", "", "{}", "a=b"])]
    yield "an unknown command", [rng.choice(["trian", "", "TRAIN", "run", "-", "--help=yes", "train\n"]), *words[1:]]


def _of_command(rng: Random, words: Sequence[str], flags: Mapping[str, str | list[str] | None]) -> Iterator[Break]:
    command = words[0]
    if "out" in flags and command in {"sample", "steer", "train"}:
        names = [
            name for name in NO_OUT if command != "train" or not name.endswith(".bz2")
        ]  # a folder may be called so
        yield "an output that cannot be", _with(words, "out", rng.choice(names))
    if command in {"sample", "steer"}:
        yield "no such model", [command, rng.choice(NO_MODEL), *words[2:]]
        for flag in ("given", "toward", "keep"):
            if flag in flags:
                yield f"a wrong term of {flag}", [*words, f"--{flag}", rng.choice(TERMS)]
    if command == "train":
        yield "no such recipe", [command, rng.choice(NO_RECIPE), *words[2:]]
        yield "a recipe beside --resume", [*words, "--resume", "vae"]
        yield "no such data", [*words, "--data", rng.choice(["nowhere.csv", "empty.csv", "notes.txt", "binary.sdf"])]
        yield "no output", list(words[: words.index("--out")])
    if command == "convert":
        yield "an input that is none", [command, rng.choice([*NO_FILE, "r.tsv", "vae"]), "new.sdf"]
        yield "an output that cannot be", [command, "m.smi", rng.choice([*NO_OUT, "new.exe", "new.npz.gz", ""])]
        yield "a report of nothing", [command, rng.choice(NO_FILE), "--report"]
        yield (
            "no such domain",
            [command, "rows.csv", "--report", "--domain", rng.choice(["table", "", "TABLES", "\u00e9"])],
        )
    if command == "evaluate":
        yield "an input that is none", [command, rng.choice(NO_FILE), *words[2:]]
        yield (
            "no such protocol",
            _with(words, "protocol", rng.choice(["TCR", "all", "tcr,ratings", "\u00e9", "likeli"])),
        )
        yield "a report that cannot be", _with(words, "report", rng.choice(["notes.txt/x.html", "folder", "r.tsv"]))
    if command == "bench":
        yield "no such topic", [command, rng.choice(["", "tcrr", "TCR", "tcr,diffusion"]), "--quick", "--out", "new"]
        yield "no such part", [command, "diffusion", "--part", rng.choice(["", "speedy", "SPEED"]), "--out", "new"]
    if command == "demo":
        yield "no such peptide", [*words, "--peptide", rng.choice(["", "YLQ", "ylqprtflL ", "A" * 5000, "<b>"])]


def breaks(rng: Random, words: Sequence[str], flags: Mapping[str, str | list[str] | None]) -> Break:
    """One wrong line: a kind of break first, then one of its lines, so that flags do not crowd out the rest."""
    found = [*_of_flags(rng, words, flags), *_of_names(rng, words, flags), *_of_command(rng, words, flags)]
    kinds: dict[str, list[Break]] = {}
    for what, line in found:
        kinds.setdefault(re.sub(r" (of|below|beyond|that) .*|^\w+ (?=below|beyond|that)", "", what), []).append(
            (what, line)
        )
    return rng.choice(kinds[rng.choice(sorted(kinds))])


def ask(words: Sequence[str]) -> tuple[str, str, str]:
    """Run one command line in a process forked from this one: its status, standard output and standard error."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        child = os.fork()
        if not child:
            _run(words, out, err)
        status, began = 0, time.monotonic()
        while time.monotonic() - began < 6 * HANG:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            time.sleep(0.01)
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang", "", f"more than {6 * HANG} s"
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return ("hang" if name in {"SIGXCPU", "SIGKILL"} else name), "", ""
        texts = [path.read_text(errors="replace") if path.exists() else "" for path in (out, err)]
        return str(os.WEXITSTATUS(status)), texts[0], texts[1]


def _run(words: Sequence[str], out: Path, err: Path) -> None:
    """What the forked process does; it never returns."""
    import traceback

    code = 70
    try:
        used = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + HANG, used + HANG + 5))
        resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
        for descriptor, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        from zsteer.cli.main import main

        try:
            code = main(list(words))
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    except BaseException:  # noqa: BLE001 - whatever comes is the answer
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below with its size and time of change."""
    paths = [(path, path.lstat()) for path in folder.rglob("*")]
    return {
        str(path.relative_to(folder)): (state.st_size, state.st_mtime_ns) for path, state in paths if path.is_file()
    }


def _problem(code: str, said: str, changed: Sequence[str]) -> str:
    """What is wrong with an answer, or empty."""
    lines = [line for line in said.splitlines() if line.strip()]
    rules = (
        (not code.isdecimal(), code),
        ("Traceback" in said, "traceback"),
        ("internal error" in said, "internal error"),
        (code == "0", "accepted"),
        (code != "2", f"status {code}"),
        (bool(changed), f"wrote {list(changed)[:3]}"),
        (not lines, "silent"),
        (len(lines) > LINES or len(said) > LONGEST, f"long: {len(lines)} lines of {len(said)} letters"),
    )
    return next((word for wrong, word in rules if wrong), "")


def answers(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    commands: Sequence[str] = (),
    first: int = 0,
) -> Iterator[Answer]:
    """Ask wrong lines, one after the other; the working folder of this process becomes ``folder``.

    Args:
        folder: an empty one.
        count: how many.
        seed: of the lines.
        commands: of which; all when empty.
        first: number of the first.

    Yields:
        What came of each.
    """
    import torch

    for name in ("zsteer.api", "zsteer.kits.contents"):  # once, before the forks
        import_module(name)
    torch.set_num_threads(1)
    os.chdir(folder)
    prepare(folder)
    chosen = list(commands or GOOD)
    pages: dict[str, dict[str, str | list[str] | None]] = {}
    for number in range(first, first + count):
        rng = Random(f"{seed}:{number}")
        command = rng.choices(chosen, [WEIGHTS.get(name, 2.0) for name in chosen])[0]
        words = rng.choice(list(GOOD[command])).split()
        page = [*words[: 2 if command in {"train", "steer", "sample"} else 1], "--help"]
        key = " ".join(page)
        if key not in pages:
            pages[key] = flags_of(ask(page)[1])
        what, line = breaks(rng, words, pages[key])
        before = _tree(folder)
        code, _, said = ask(line)
        after = _tree(folder)
        changed = sorted(name for name in after if before.get(name) != after[name])
        yield Answer(number, what, line, _problem(code, said.strip(), changed), said.strip())
        for name in set(after) - set(before):  # what it left behind does not disturb the next line
            (folder / name).unlink(missing_ok=True)
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()) and path.name not in {"folder", "vae"}:
                path.rmdir()
